"""Implement the commands that list, report, cite and diagnose."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from graphrec.cli import console as show
from graphrec.cli.doctor import diagnose
from graphrec.cli.options import JsonFlag
from graphrec.config import load_config
from graphrec.config.file import read_table
from graphrec.core.names import quantity
from graphrec.data import CATALOG
from graphrec.evaluation import METRICS, PRESETS
from graphrec.experiment.comparable import require_comparable
from graphrec.experiment.result import read_result
from graphrec.features import ENCODERS
from graphrec.models import MODELS
from graphrec.nn.fusion import FUSIONS
from graphrec.papers.cite import citable, citation
from graphrec.papers.configs import paper_configs
from graphrec.report import tables as reports


def list_names(
    kind: Annotated[
        Literal["models", "datasets", "encoders", "fusions", "metrics", "protocols", "papers"],
        typer.Argument(help="What to list."),
    ],
    as_json: JsonFlag = False,
) -> None:
    """List the names that a configuration can use.

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


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")],
    metrics: Annotated[str, typer.Option(help="Test metrics, separated by commas.")] = (
        "recall@20,ndcg@20"
    ),
    style: Annotated[
        Literal["table", "md", "latex", "csv", "json"],
        typer.Option("--format", help="Form of the output."),
    ] = "table",
    append: Annotated[
        Path | None, typer.Option(help="Also add one line per run to this CSV file.")
    ] = None,
) -> None:
    """Put runs into one table, averaged over seeds; refuse different protocols or splits.

    Example: graphrec report runs/a runs/b --metrics recall@20,ndcg@20 --format md
    """
    results = [read_result(run_dir) for run_dir in runs]
    require_comparable(results)
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


def cite(
    names: Annotated[
        list[str], typer.Argument(help="graphrec, models, data sets, or configuration files.")
    ],
) -> None:
    """Print the BibTeX of graphrec, a model, a data set, or all that a configuration uses.

    Example: graphrec cite graphrec lightgcn gowalla
    """
    print("\n\n".join(dict.fromkeys(citation(name) for name in _citable(names))))  # noqa: T201


def _citable(names: Sequence[str]) -> list[str]:
    """Replace each configuration by graphrec and the names that the configuration uses."""
    citable_names: list[str] = []
    for name in names:
        if not name.endswith((".toml", ".json")):
            citable_names.append(name)
            continue
        config = load_config(name)
        used = [config.paper.key if config.paper else None, config.data.name]
        used += [config.model.name, *(config.evaluation.baselines or ())]
        citable_names += [
            "graphrec",
            *(source for source in used if source is not None and citable(source)),
        ]
    return citable_names


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


def _paper(path: Path) -> str:
    """Return the source of the published numbers of a configuration; empty for an example."""
    paper = read_table(path).get("paper")
    return str(paper["table"]) if isinstance(paper, dict) else ""
