"""Verify, or fill in, what each line of the results files was trained on.

    GRAPHREC_DATA=... python benchmarks/identities.py [--write] [FILE.csv ...]

The configuration of every line is made anew from the suites and paper configurations, its data are
loaded, split and encoded, and nothing is trained. From these follow the hash of the configuration
and the fingerprints of data, split, features and protocol. What a line says already must be the
same; with --write, what it does not say yet is filled in where all that it says is reproduced.

Networks, eigenvectors and reduced words differ in their last digits from machine to machine, and so
are not encoded here. A line keeps the fingerprint of such features; one that has none gets that of
a line with the same features of the same commit, and stays without one where there is none: what
was encoded then is not known.
"""

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from graphrec.config import RunConfig, load_config
from graphrec.config.identity import experiment_identity
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare, with_settings
from graphrec.experiment.prepared import Prepared
from graphrec.features.missing.config import MissingConfig
from graphrec.report.tables import RUN_KEY, identity_columns
from graphrec.studies.fusion_cells import Axes, plan_of
from graphrec.studies.missing import Grid, missing_variants
from graphrec.studies.variants import modality_variants

HERE = Path(__file__).parent
RESULTS = HERE / "results"
LOG = RunLog()

MOVING = ("spectral", "tfidf")
"""Encoders without weights whose last digits depend on the machine."""

Line = dict[str, str]
Trained = tuple[str, list[RunConfig]]
"""Hash of the configuration of a line, and the settings of its runs."""


@dataclass(frozen=True)
class Study:
    """A command that is on record in docs/fusion_results.md: its configuration and its options."""

    suite: str
    overrides: tuple[str, ...] = ()
    grid: Grid | None = None
    axes: Axes | None = None

    @property
    def config(self) -> RunConfig:
        """The configuration as the command read it."""
        (path,) = HERE.glob(f"suites/*/{self.suite}.toml")
        return load_config(path, self.overrides)


SHORT = ("training.max_epochs=15", "training.patience=3")
STANDARD = ("features.image.normalize=standard", "features.audio.normalize=standard")
L2 = ("features.image.normalize=l2", "features.audio.normalize=l2")
TIKTOK = "tiktok_image_audio"
ML, ML_SHORT = "training.num_negatives=4", "training.max_epochs=40"
LIGHTGCN, FUSED, TOLD = ("lightgcn",), ("early", "late"), ("graph", "early")
BOTH = ("attention", "mean")
HALF = Grid(rates=(0, 0.5), mechanisms=("random",), strategies=("mask", "mean"))

MODALITY = {
    "ml100k_text_image": Study("ml100k_text_image", (ML,)),
    "baby_freedom_like": Study(
        "baby_freedom_like",
        ("training.max_epochs=60", "training.eval_every=3", "training.patience=7"),
    ),
    "baby_tuned": Study("baby_tuned"),
    "sports_flagship": Study("sports_flagship"),
    TIKTOK: Study(TIKTOK),
    "tiktok_standard": Study(TIKTOK, STANDARD),
}
MISSING = {
    "ml100k_text_image": Study(
        "ml100k_text_image",
        (ML, ML_SHORT),
        Grid((0, 0.6), ("random", "popularity"), ("mask", "mean", "regression")),
    ),
    TIKTOK: Study(
        TIKTOK, (), Grid((0, 0.5, 0.9), ("random",), ("mask", "mean", "token", "neighbours"))
    ),
    "tiktok_standard": Study(TIKTOK, STANDARD, HALF),
    "tiktok_l2": Study(TIKTOK, L2, HALF),
    "baby_fusion": Study(
        "baby_fusion", (), Grid((0, 0.5, 0.9), ("random",), ("mask", "mean", "neighbours"))
    ),
    "sports_fusion": Study(
        "sports_fusion", SHORT, Grid((0, 0.5), ("random",), ("mask", "neighbours"))
    ),
}
FUSION = {
    ("ml100k_text_image", "0"): Study(
        "ml100k_text_image",
        (ML, ML_SHORT),
        axes=Axes(
            LIGHTGCN,
            ("early", "middle", "late", "sample", "model"),
            ("attention", "concat", "mean", "user"),
        ),
    ),
    ("tiktok_fusion", "2"): Study("tiktok_fusion", axes=Axes(("lightgcn", "none"), FUSED, BOTH)),
    ("tiktok_fusion_standard", "2"): Study(
        "tiktok_fusion", STANDARD, axes=Axes(("lightgcn", "none"), ("early",), BOTH)
    ),
    ("baby_fusion", "0"): Study("baby_fusion", axes=Axes(LIGHTGCN, TOLD, BOTH)),
    ("baby_fusion", "4"): Study("baby_fusion", axes=Axes(LIGHTGCN, TOLD, ("attention",))),
    ("sports_fusion", "0"): Study("sports_fusion", SHORT, axes=Axes(LIGHTGCN, TOLD, BOTH[:1])),
}


def configuration(name: str, *overrides: str) -> RunConfig:
    """The suite or paper configuration of this name."""
    (path,) = [*HERE.glob(f"suites/*/{name}.toml"), *HERE.parent.glob(f"paper_configs/{name}.toml")]
    return load_config(path, overrides)


def with_seeds(config: RunConfig, seeds: str) -> list[RunConfig]:
    """The settings under each seed; their features differ only where controls draw anew."""
    chosen = seeds.split() if config.controls else seeds.split()[:1]
    return [
        config.model_copy(update={"run": config.run.model_copy(update={"seed": int(seed)})})
        for seed in chosen
    ]


class Data:
    """Fingerprints of configurations; what the last one loaded and encoded is kept."""

    def __init__(self) -> None:
        self.prepared: Prepared | None = None

    def fingerprints(self, config: RunConfig) -> dict[str, str]:
        """Those of a run under these settings."""
        before = self.prepared
        same = before is not None and all(
            getattr(before.config, table) == getattr(config, table)
            for table in ("data", "split", "evaluation", "user_features")
        )
        if before is not None and same:
            self.prepared = with_settings(before, config, LOG)
        else:
            self.prepared = prepare(config, LOG)
        return self.prepared.fingerprints


def runs(lines: Sequence[Line]) -> Iterator[Trained]:
    """What lines that are one run each are of."""
    for line in lines:
        config = configuration(line["name"], f"run.seed={line['seed']}")
        yield experiment_identity(config), [config]


def studies(lines: Sequence[Line]) -> Iterator[Trained]:
    """What lines of graphrec tune are of."""
    for line in lines:
        config = configuration(line["name"])
        yield experiment_identity(config, searched=True), [config]


def variants(lines: Sequence[Line]) -> Iterator[Trained]:
    """What lines of graphrec modality and missing are of."""
    known: dict[str, dict[str, RunConfig | None]] = {}
    for line in lines:
        name = line["name"]
        if name not in known:
            study = (MODALITY if line["study"] == "modality" else MISSING)[name]
            made = (
                modality_variants(study.config)
                if study.grid is None
                else missing_variants(study.config, study.grid)
            )
            known[name] = {each.label: each.settings for each in made}
        first = next(iter(known[name].values()))
        settings = known[name][line["variant"]] or first
        assert settings is not None
        yield experiment_identity(settings), with_seeds(settings, line["seeds"])


def cells(lines: Sequence[Line]) -> Iterator[Trained]:
    """What lines of graphrec fusion are of; a cell that was skipped has the reference's."""
    for line in lines:
        trials = line["budget_trials"]
        study = FUSION[line["grid"], trials]
        assert study.axes is not None
        tuned = trials != "0"
        plan = plan_of(study.config, study.axes, tuned=tuned)
        found = {cell.name: cell.config for cell in plan.cells}
        config = found[plan.reference if line["skipped"] else line["name"]]
        own = experiment_identity(config, searched=tuned)
        yield own, with_seeds(config, line["seeds"])


def trained(path: Path, lines: Sequence[Line]) -> Iterator[Trained]:
    """What each line of a results file is of, by the configurations in this repository."""
    kinds = {"modality": variants, "missing": variants, "grid": cells}
    made = studies if path.parent.name == "tuning" else kinds.get(path.stem, runs)
    yield from made(lines)


def differences(line: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The columns in which a line says otherwise than what was found."""
    return [key for key in RUN_KEY if line.get(key) and line[key] != found[key]]


def recorded() -> dict[tuple[str, str], str]:
    """Fingerprints on record of features as they were encoded, by their settings and the commit."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted(RESULTS.rglob("*.csv")):
        lines = read(path)[0]
        for line, (_, settings) in zip(lines, trained(path, lines), strict=True):
            if line.get("features") and not line.get("variant"):
                found[table_of(settings[0]), line["commit"]] = line["features"]
    return found


def table_of(config: RunConfig) -> str:
    """The settings of the features, as text."""
    return json.dumps({name: each.identity() for name, each in config.features.items()})


def moving(config: RunConfig) -> bool:
    """Whether the last digits of the features depend on the machine."""
    encoders = [each.encoder for each in config.features.values()]
    return any(":" in each or each in MOVING for each in encoders)


def features_of(line: Line, config: RunConfig, known: Mapping[tuple[str, str], str]) -> str:
    """The fingerprint of such features, as far as it can be known."""
    if line.get("features") or config.controls or config.missing.active:
        return line.get("features", "")
    return known.get((table_of(config), line["commit"]), "")


def without_features(config: RunConfig) -> RunConfig:
    """The settings of data, split and protocol alone."""
    nothing = {"features": {}, "controls": {}, "missing": MissingConfig()}
    return config.model_copy(update=nothing)


def read(path: Path) -> tuple[list[Line], list[str]]:
    """Lines and columns of a results file."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        return list(reader), list(reader.fieldnames or ())


def treat(path: Path, write: bool) -> int:
    """Verify a file, and fill it in; return how many lines are not of what they say."""
    lines, columns = read(path)
    known, data, wrong = recorded(), Data(), 0
    for line, (config_hash, settings) in zip(lines, trained(path, lines), strict=True):
        elsewhere = moving(settings[0])
        own = [without_features(each) if elsewhere else each for each in settings]
        found = identity_columns(config_hash, [data.fingerprints(each) for each in own])
        if elsewhere:
            found["features"] = features_of(line, settings[0], known)
        other = differences(line, found)
        if other:
            wrong += 1
            name = " ".join(line[key] for key in ("grid", "name", "variant", "seed") if key in line)
            shown = ", ".join(f"{key} {line[key]}, here {found[key]}" for key in other)
            print(f"{path.name}: {name}: {shown}", flush=True)
        else:
            line |= found
    empty = sum(not line.get(key) for line in lines for key in RUN_KEY)
    print(f"{path.name}: {len(lines)} lines, {wrong} differ, {empty} fields empty", flush=True)
    if write:
        rest = [name for name in columns if name not in RUN_KEY]
        at = min(columns.index(name) for name in RUN_KEY if name in columns)
        columns = [*rest[:at], *RUN_KEY, *rest[at:]]
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        path.write_text(buffer.getvalue(), encoding="utf-8")
    return wrong


def main() -> int:
    """Treat the named files, by default all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.csv")
    parser.add_argument("--write", action="store_true", help="fill in what is absent")
    given = parser.parse_args()
    paths = given.files or sorted(RESULTS.rglob("*.csv"))
    return int(sum([treat(path, given.write) for path in paths]) > 0)


if __name__ == "__main__":
    sys.exit(main())
