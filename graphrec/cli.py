"""The command line. Exit codes: 0 ok, 1 result not as expected, 2 bad input."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from graphrec import cli_distill, cli_embed, cli_fusion, cli_lab, cli_tune
from graphrec import console as show
from graphrec import report as reports
from graphrec.cite import citable, citation
from graphrec.cli_data import JsonFlag, data_app
from graphrec.cli_explain import explained
from graphrec.config import Json, RunConfig
from graphrec.config_file import config_hash, differing_settings, load_config
from graphrec.datasets import CATALOG, load, split
from graphrec.doctor import diagnose
from graphrec.errors import ConfigError, GraphRecError
from graphrec.evaluation import METRICS, PRESETS
from graphrec.features import ENCODERS, Modality
from graphrec.features import encode as encode_features
from graphrec.features.encode import reads_train
from graphrec.features.pretrained import EncodedModality
from graphrec.fusion import FUSIONS
from graphrec.models import MODELS
from graphrec.recommend import recommend as recommend_from
from graphrec.result import Result, read_result
from graphrec.run import run as run_config

app = typer.Typer(
    help="Multimodal recommendation with graph neural networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
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
        show.stderr().print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(2)


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="A TOML file or the config.json of a run.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default under runs/.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted run.")] = False,
    strict: Strict = False,
    as_json: JsonFlag = False,
) -> None:
    """Run an experiment: load, split, encode, train, evaluate, write the run folder.

    Example: graphrec run paper_configs/quickstart.toml model.dim=32 --out runs/first
    """
    settings = _load(config, overrides or [], strict)
    folder = out or _run_folder(settings, resume)
    with show.showing(show.stderr()):
        result = run_config(settings, folder, resume=resume)
    if as_json:
        print(json.dumps({"run_dir": str(folder), "metrics": result.metrics}))  # noqa: T201
    else:
        _print_result(result, folder)
    if any(verdict.verdict == "below" for verdict in result.verdicts):
        raise typer.Exit(1)


def _load(path: Path, overrides: Sequence[str], strict: bool) -> RunConfig:
    """Read a configuration; with ``strict``, missing content is an error in every table."""
    settings = load_config(path, overrides)
    if not strict:
        return settings
    tables = [name for name, each in settings.features.items() if hasattr(each, "strict")]
    return load_config(path, [*overrides, *(f"features.{name}.strict=true" for name in tables)])


def _run_folder(config: RunConfig, resume: bool) -> Path:
    """A new folder, or with ``resume`` the newest one of the same configuration."""
    if resume:
        for path in sorted(OUT_ROOT.glob("*/config.json"), reverse=True):
            if not differing_settings(path, config):
                return path.parent
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    label = re.sub(r"[^\w.-]+", "-", config.run.name)
    return OUT_ROOT / f"{stamp}-{label}-{config_hash(config)[:8]}"


def _print_result(result: Result, folder: Path) -> None:
    console = show.stdout()
    longest = max(int(name.partition("@")[2] or 0) for name in result.metrics["test"])
    metrics = [
        name
        for name in result.metrics["test"]
        if name.partition("@")[2] in ("", str(longest))
        and name.partition("@")[0] in ("recall", "ndcg", "hit", "coverage")
    ]
    rows = [[name, *(f"{values[m]:.4f}" for m in metrics)] for name, values in _models(result)]
    title = f"{result.dataset}, test part, protocol {result.protocol['name']}"
    console.print(show.table(title, ["model", *metrics], rows))
    if result.selection == "best_test_epoch":
        console.print("* The epoch was chosen on the test part: an optimistic number.")
    if result.verdicts:
        lines = [
            [v.metric, f"{v.published:.4f}", f"{v.ours:.4f}", f"{v.tolerance:.4f}", v.verdict]
            for v in result.verdicts
        ]
        header = ["metric", "published", "ours", "tolerance", "verdict"]
        console.print(show.table("Beside the published numbers", header, lines))
    for example in result.examples:
        console.print(f"\n[bold]User {escape(example.user)}[/bold]")
        console.print("  had:         " + escape("; ".join(example.history)), highlight=False)
        console.print("  recommended: " + escape("; ".join(example.recommended)), highlight=False)
    console.print(f"\nRun folder: {folder}", soft_wrap=True)


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
        "papers": {path.stem: str(path) for path in paper_configs()},
    }
    show.print_pairs(kind, tables[kind], as_json)


def paper_configs() -> list[Path]:
    """Paper configurations: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    folders = (package / "paper_configs", package.parent / "paper_configs")
    return sorted(path for folder in folders for path in folder.glob("*.toml"))


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


@app.command()
def encode(
    config: Annotated[Path, typer.Argument(help="A TOML file or the config.json of a run.")],
    overrides: Overrides = None,
    strict: Strict = False,
    as_json: JsonFlag = False,
) -> None:
    """Encode the features of a configuration; pretrained rows stay in the store for runs.

    Example: graphrec encode shop.toml --strict
    """
    settings = _load(config, overrides or [], strict)
    if not (settings.features or settings.user_features):
        raise ConfigError(f"{config} has no table [features.NAME]: there is nothing to encode.")
    with show.showing(show.stderr()):
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
    show.stdout().print(show.table(title, ["modality", *header], rows))


def _facts(encoder: str, side: str, modality: Modality) -> dict[str, Json]:
    facts: dict[str, Json] = {"encoder": encoder, side: len(modality.present)}
    facts |= {"present": int(modality.present.sum()), "columns": modality.values.shape[1]}
    facts |= {"fingerprint": modality.fingerprint}
    return facts | (asdict(modality.report) if isinstance(modality, EncodedModality) else {})


@app.command()
def recommend(
    run_dir: Annotated[Path, typer.Argument(help="A run folder.")],
    user: Annotated[list[str], typer.Option(help="External user id; may be repeated.")],
    k: Annotated[int, typer.Option(help="Items per user.")] = 10,
    include_seen: Annotated[bool, typer.Option(help="Also items the user already had.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say why (flagship only).")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Recommend items to users with the model of a run.

    Example: graphrec recommend runs/first --user 12347 --user 12348 --k 5
    """
    with show.showing(show.stderr()):
        found = recommend_from(run_dir, user, k, include_seen=include_seen, explain=explain)
    if as_json:
        print(json.dumps(found.to_dicts()))  # noqa: T201
        return
    if explain:
        show.stdout().print(explained(found, f"Recommendations of {run_dir}"))
        return
    rows = [
        [escape(f"{value:.4f}" if isinstance(value, float) else str(value)) for value in row]
        for row in found.rows()
    ]
    show.stdout().print(show.table(f"Recommendations of {run_dir}", found.columns, rows))


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
    rows = reports.group(results, names)
    header, body = reports.cells(rows, names)
    if style == "table":
        show.stdout().print(show.table(f"{results[0].dataset}, test part", header, body))
    elif style == "json":
        print(json.dumps([asdict(row) for row in rows]))  # noqa: T201
    else:
        forms = {"md": reports.to_markdown, "latex": reports.to_latex, "csv": reports.to_csv}
        print(forms[style](header, body))  # noqa: T201
    if append is not None:
        count = reports.append_csv(append, results)
        show.stderr().print(f"{count} of {len(results)} runs added to {append}")


@app.command()
def check(
    configs: Annotated[list[Path], typer.Argument(help="Configuration files.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting to change, as in model.dim=32.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Validate configurations without running them.

    Example: graphrec check paper_configs/quickstart.toml
    """
    checked = {str(path): config_hash(load_config(path, overrides or [])) for path in configs}
    show.print_pairs("valid", checked, as_json)


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
        used += [config.model.name, *config.evaluation.baselines]
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
        show.print_pairs(topic, facts, False)
