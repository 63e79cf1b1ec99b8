"""The command line. Exit codes: 0 ok, 1 result not as expected, 2 bad input."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Literal

import typer

from graphrec import cli_check, cli_distill, cli_embed, cli_fusion, cli_lab, cli_tune
from graphrec import console as show
from graphrec import report as reports
from graphrec.cite import citable, citation
from graphrec.cli_data import JsonFlag, Moved, data_app
from graphrec.cli_explain import print_explained
from graphrec.config import FeatureConfig, Json, RunConfig
from graphrec.config_file import load_config, read_table
from graphrec.datasets import CATALOG, load, split
from graphrec.doctor import diagnose
from graphrec.errors import ConfigError, GraphRecError
from graphrec.evaluation import METRICS, PRESETS
from graphrec.features import ENCODERS, Modality
from graphrec.features import encode as encode_features
from graphrec.features.encode import reads_train
from graphrec.features.pretrained import DOWNLOADED, EncodedModality
from graphrec.fusion import FUSIONS
from graphrec.identity import experiment_identity
from graphrec.models import MODELS
from graphrec.names import folder_name, quantity
from graphrec.recommend import recommend as recommend_from
from graphrec.result import Result, read_result
from graphrec.run import run as run_config
from graphrec.run_folder import can_go_on

app = typer.Typer(
    help="Multimodal recommendation with graph neural networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.command("check")(cli_check.command)
app.command("tune")(cli_tune.command)
app.command("distill")(cli_distill.command)
app.command("embed")(cli_embed.command)
app.command("fusion")(cli_fusion.command)
app.command("modality")(cli_lab.modality)
app.command("missing")(cli_lab.missing)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings to change, as in model.num_layers=2.", metavar="[KEY=VALUE]..."),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Items without readable content are an error.")
]
AllowDownload = Annotated[
    bool, typer.Option("--allow-download", help="Download weights that are not on this machine.")
]
OUT_ROOT = Path("runs")


def main() -> None:
    """Run the command line; user errors become one paragraph and exit code 2.

    A class of your own is found in the working folder as well, after installed packages.
    """
    if "" not in sys.path:
        sys.path.append("")
    try:
        app()
    except GraphRecError as error:
        show.fail(str(error))
        sys.exit(2)


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="A TOML file or the config.json of a run.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default under runs/.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted run.")] = False,
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
        _print_result(result, folder)
    if any(verdict.verdict == "below" for verdict in result.verdicts):
        raise typer.Exit(1)


def _with_flags(
    path: Path, overrides: Sequence[str], strict: bool, allow_download: bool
) -> list[str]:
    """The overrides, and for each flag one in every table of features that has its setting."""
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
    """Whether a flag means something to an encoder: weights are downloaded of two kinds only."""
    downloaded = key != "allow_download" or table.encoder.startswith(DOWNLOADED)
    return hasattr(table, key) and downloaded


def _run_folder(config: RunConfig, resume: bool) -> Path:
    """A new folder, or with ``resume`` the newest one of the same configuration."""
    if resume:
        for path in sorted(OUT_ROOT.glob("*/config.json"), key=_when_started, reverse=True):
            if can_go_on(path.parent, config):
                return path.parent
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    label, identity = folder_name(config.run.name), experiment_identity(config)
    first = OUT_ROOT / f"{stamp}-{label}-{identity[:8]}"
    others = (first.with_name(f"{first.name}-{number}") for number in count(2))
    return next(each for each in chain([first], others) if not each.exists())


def _when_started(config: Path) -> tuple[str, float]:
    """The second in the name of a run folder; within one second the file that was written first."""
    return config.parent.name[: len("20260101-000000")], config.stat().st_mtime


def _print_result(result: Result, folder: Path) -> None:
    longest = max(int(name.partition("@")[2] or 0) for name in result.metrics["test"])
    metrics = [
        name
        for name in result.metrics["test"]
        if name.partition("@")[2] in ("", str(longest))
        and name.partition("@")[0] in ("recall", "ndcg", "hit", "coverage")
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


@app.command("list")
def list_names(
    kind: Annotated[
        Literal["models", "datasets", "encoders", "fusions", "metrics", "protocols", "papers"],
        typer.Argument(help="What to list."),
    ],
    as_json: JsonFlag = False,
) -> None:
    """List what can be named in a configuration.

    Example: graphrec list models
    """
    tables = {
        "models": {name: _first_line(cls.__doc__) for name, cls in MODELS.items()},
        "datasets": {name: entry.title for name, entry in CATALOG.items()},
        "encoders": {name: _first_line(cls.__doc__) for name, cls in ENCODERS.items()},
        "fusions": {name: _first_line(cls.__doc__) for name, cls in FUSIONS.items()},
        "metrics": {name: _first_line(metric.compute.__doc__) for name, metric in METRICS.items()},
        "protocols": {name: preset.valid_metric for name, preset in PRESETS.items()},
        "papers": {path.stem: str(path) for path in paper_configs() if _paper(path)},
    }
    if kind == "papers" and not as_json:
        show.print_table(
            f"papers: graphrec run {paper_configs()[0].parent}/NAME.toml",
            ["name", "published numbers"],
            [[path.stem, _paper(path)] for path in paper_configs() if _paper(path)],
        )
        return
    show.print_pairs(kind, tables[kind], as_json)


def paper_configs() -> list[Path]:
    """Paper configurations: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    folders = (package / "paper_configs", package.parent / "paper_configs")
    return sorted(path for folder in folders for path in folder.glob("*.toml"))


def _paper(path: Path) -> str:
    """Where the published numbers of a configuration stand; empty for one that is an example."""
    paper = read_table(path).get("paper")
    return str(paper["table"]) if isinstance(paper, dict) else ""


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


@app.command()
def encode(
    config: Annotated[Path, typer.Argument(help="A TOML file or the config.json of a run.")],
    overrides: Overrides = None,
    strict: Strict = False,
    allow_download: AllowDownload = False,
    as_json: JsonFlag = False,
) -> None:
    """Encode the features of a configuration; pretrained rows stay in the store for runs.

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


@app.command()
def recommend(
    run_dir: Annotated[Path, typer.Argument(help="A run folder.")],
    user: Annotated[list[str], typer.Option(help="External user id; may be repeated.")],
    moved: Moved = None,
    k: Annotated[int, typer.Option(help="Items per user.")] = 10,
    include_seen: Annotated[bool, typer.Option(help="Also items the user already had.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say why (flagship only).")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Recommend items to users with the model of a run.

    Example: graphrec recommend runs/first --user 12347 --user 12348 --k 5
    """
    with show.showing(show.stderr()):
        found = recommend_from(
            run_dir, user, k, include_seen=include_seen, explain=explain, overrides=moved or []
        )
    if as_json:
        print(json.dumps(found.to_dicts()))  # noqa: T201
        return
    if explain:
        print_explained(found, f"Recommendations of {run_dir}")
        return
    rows = [
        [f"{value:.4f}" if isinstance(value, float) else str(value) for value in row]
        for row in found.rows()
    ]
    show.print_table(f"Recommendations of {run_dir}", found.columns, rows)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    metrics: Annotated[str, typer.Option(help="Test metrics, separated by commas.")] = (
        "recall@20,ndcg@20"
    ),
    style: Annotated[
        Literal["table", "md", "latex", "csv", "json"], typer.Option("--format", help="Form.")
    ] = "table",
    append: Annotated[
        Path | None, typer.Option(help="Also add one line per run to this CSV file.")
    ] = None,
) -> None:
    """Put runs into one table, seeds averaged; different protocols or splits are refused.

    Example: graphrec report runs/a runs/b --metrics recall@20,ndcg@20 --format md
    """
    results = [read_result(run_dir) for run_dir in runs]
    reports.require_comparable(results)
    names = [name.strip() for name in metrics.split(",")]
    last = [run_dir.name for run_dir in runs]
    folders = last if len(set(last)) == len(set(runs)) else list(map(str, runs))
    rows = reports.group(results, names, folders)
    header, body = reports.cells(rows, names)
    if style == "table":
        show.print_table(f"{results[0].dataset}, test part", header, body)
    elif style == "json":
        print(json.dumps([asdict(row) for row in rows]))  # noqa: T201
    else:
        forms = {"md": reports.to_markdown, "latex": reports.to_latex, "csv": reports.to_csv}
        print(forms[style](header, body))  # noqa: T201
    if append is not None:
        count = reports.append_csv(append, results)
        added = f"{count} of {quantity(len(results), 'run')} added to {append}"
        show.stderr().print(added, soft_wrap=True)


@app.command()
def cite(
    names: Annotated[
        list[str], typer.Argument(help="graphrec, models, data sets, or configuration files.")
    ],
) -> None:
    """Print BibTeX of graphrec, a model, a data set, or all that a configuration uses.

    Example: graphrec cite graphrec lightgcn gowalla
    """
    print("\n\n".join(dict.fromkeys(citation(name) for name in _citable(names))))  # noqa: T201


def _citable(names: Sequence[str]) -> list[str]:
    """Replace each configuration by graphrec and what the configuration uses."""
    found: list[str] = []
    for name in names:
        if not name.endswith((".toml", ".json")):
            found.append(name)
            continue
        config = load_config(name)
        used = [config.paper.key if config.paper else None, config.data.name]
        used += [config.model.name, *(config.evaluation.baselines or ())]
        found += ["graphrec", *(each for each in used if each is not None and citable(each))]
    return found


@app.command()
def doctor(as_json: JsonFlag = False) -> None:
    """Show versions, backends, devices and missing extras.

    Example: graphrec doctor
    """
    findings = diagnose()
    if as_json:
        print(json.dumps(findings))  # noqa: T201
        return
    for topic, facts in findings.items():
        show.print_pairs(topic, facts, False, ("name", "state"))
