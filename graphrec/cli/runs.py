"""Implement the commands that run experiments and encode content."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import console as show
from graphrec.cli.options import AllowDownload, JsonFlag, Overrides, Strict
from graphrec.config import EvaluationConfig, RunConfig, load_config
from graphrec.config.identity import experiment_identity
from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.core.names import folder_name
from graphrec.data import Modality, load, split
from graphrec.experiment.folder import STAMP, can_go_on, started
from graphrec.experiment.result import Result
from graphrec.experiment.run import run as run_config
from graphrec.features import encode as encode_features
from graphrec.features.config import FeatureConfig
from graphrec.features.content.config import DOWNLOADED
from graphrec.features.content.pretrained import EncodedModality
from graphrec.features.encode import reads_train


def run(
    config: Annotated[Path, typer.Argument(help="A TOML file or the config.json of a run.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default under runs/.")] = None,
    resume: Annotated[bool, typer.Option(help="Resume an interrupted run.")] = False,
    strict: Strict = False,
    allow_download: AllowDownload = False,
    as_json: JsonFlag = False,
) -> None:
    """Run an experiment: load, split, encode, train, evaluate, write the run folder.

    Example: graphrec run paper_configs/quickstart.toml model.dim=32 --out runs/first
    """
    changes = _with_flags(config, overrides or [], strict, allow_download)
    settings = load_config(config, changes)
    folder = out or _run_folder(settings, resume)
    again: list[str | Path] = [
        "run",
        config,
        *changes,
        "--out",
        folder,
        "--resume",
        *(["--json"] * as_json),
    ]
    with show.interruptible(again):
        result = run_config(settings, folder, resume=resume)
    if as_json:
        better = [asdict(baseline) for baseline in result.better_baselines]
        found = {"run_dir": str(folder), "metrics": result.metrics, "better_baselines": better}
        print(json.dumps(found))  # noqa: T201
    else:
        _print_result(result, folder, settings.evaluation.metrics)
    if any(verdict.verdict == "below" for verdict in result.verdicts):
        raise typer.Exit(1)


def _with_flags(
    path: Path, overrides: Sequence[str], strict: bool, allow_download: bool
) -> list[str]:
    """Return the overrides, with one more for each flag in every table of features that has it."""
    flags = {"strict": strict, "allow_download": allow_download}
    if not any(flags.values()):
        return list(overrides)
    features = load_config(path, overrides).features
    return [
        *overrides,
        *(
            f"features.{name}.{key}=true"
            for name, table in features.items()
            for key, given in flags.items()
            if given and _takes(table, key)
        ),
    ]


def _takes(table: FeatureConfig, key: str) -> bool:
    """Return whether a flag concerns an encoder: only two kinds of weights are downloaded."""
    downloaded = key != "allow_download" or table.encoder.startswith(DOWNLOADED)
    return hasattr(table, key) and downloaded


def _run_folder(config: RunConfig, resume: bool) -> Path:
    """Return a new folder, or with ``resume`` the newest one of the same configuration."""
    if resume:
        earlier = (path.parent for path in OUT_ROOT.glob("*/config.json"))
        for folder in sorted(earlier, key=started, reverse=True):
            if can_go_on(folder, config):
                return folder
    stamp = datetime.now().strftime(STAMP)
    label, identity = folder_name(config.run.name), experiment_identity(config)
    first = OUT_ROOT / f"{stamp}-{label}-{identity[:8]}"
    others = (first.with_name(f"{first.name}-{number}") for number in count(2))
    return next(folder for folder in chain([first], others) if not folder.exists())


def _print_result(result: Result, folder: Path, asked: Sequence[str]) -> None:
    """Print the table of metrics: those of ``SHOWN``, or those that were asked for."""
    longest = max(int(name.partition("@")[2] or 0) for name in result.metrics["test"])
    shown = SHOWN if asked == EvaluationConfig().metrics else asked
    metrics = [
        name
        for name in result.metrics["test"]
        if name.partition("@")[2] in ("", str(longest)) and name.partition("@")[0] in shown
    ]
    rows = [[name, *(f"{values[m]:.4f}" for m in metrics)] for name, values in _models(result)]
    title = f"{result.dataset}, test part, protocol {result.protocol['name']}"
    show.print_table(title, ["model", *metrics], rows)
    if result.selection == "best_test_epoch":
        show.say("* The epoch was chosen on the test part: an optimistic number.")
    for better in result.better_baselines:
        show.say(f"{better}.")
    if result.verdicts:
        lines = [
            [v.metric, f"{v.published:.4f}", f"{v.ours:.4f}", f"{v.tolerance:.4f}", v.verdict]
            for v in result.verdicts
        ]
        header = ["metric", "published", "ours", "tolerance", "verdict"]
        show.print_table("Beside the published numbers", header, lines)
    for example in result.examples:
        show.say(f"\nUser {example.user}")
        show.say("  had:         " + "; ".join(example.history))
        show.say("  recommended: " + "; ".join(example.recommended))
    show.say(f"\nRun folder: {folder}")


def _models(result: Result) -> list[tuple[str, dict[str, float]]]:
    own = result.model + ("*" if result.selection == "best_test_epoch" else "")
    return [(own, result.metrics["test"]), *result.baselines.items()]


def encode(
    config: Annotated[Path, typer.Argument(help="A TOML file or the config.json of a run.")],
    overrides: Overrides = None,
    strict: Strict = False,
    allow_download: AllowDownload = False,
    as_json: JsonFlag = False,
) -> None:
    """Encode the features of a configuration; pretrained rows are stored for later runs.

    Example: graphrec encode shop.toml --strict
    """
    changes = _with_flags(config, overrides or [], strict, allow_download)
    settings = load_config(config, changes)
    if not (settings.features or settings.user_features):
        raise ConfigError(f"{config} has no table [features.NAME]: there is nothing to encode.")
    with show.interruptible():
        dataset, train = load(settings.data), None
        if settings.user_features or reads_train(settings.features):
            train = split(dataset, settings.split).train
        features = encode_features(dataset, settings.features, train)
        users = encode_features(dataset, settings.user_features, train, side="users")
    counts = ("encoded", "reused", "nan", "zero", "duplicates", "unused")
    found = {
        name: _facts(settings.features[name].encoder, "items", modality)
        for name, modality in features.items()
    }
    found |= {
        f"user_features.{name}": _facts(settings.user_features[name].encoder, "users", modality)
        for name, modality in users.items()
    }
    if as_json:
        print(json.dumps(found))  # noqa: T201
        return
    sides = ["items", "users"] if users else ["items"]
    header = ["encoder", *sides, "present", "columns", *counts]
    rows = [[name, *(str(facts.get(key, "-")) for key in header)] for name, facts in found.items()]
    title = f"Features of {settings.data.name or config}"
    show.print_table(title, ["modality", *header], rows)


def _facts(encoder: str, side: str, modality: Modality) -> dict[str, Json]:
    facts: dict[str, Json] = {"encoder": encoder, side: len(modality.present)}
    facts |= {"present": int(modality.present.sum()), "columns": modality.values.shape[1]}
    facts |= {"fingerprint": modality.fingerprint}
    return facts | (asdict(modality.report) if isinstance(modality, EncodedModality) else {})


OUT_ROOT = Path("runs")

SHOWN = ("recall", "ndcg", "hit", "coverage")
"""Metrics of the printed table, where the configuration names none."""
