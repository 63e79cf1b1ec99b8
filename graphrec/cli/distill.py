"""Implement the command that trains a smaller model with a finished run as its teacher."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import console as show
from graphrec.cli.options import JsonFlag
from graphrec.config import load_config
from graphrec.core.names import folder_name
from graphrec.studies.distill import Comparison, Line, distill

OUT_ROOT = Path("distilled")
SHOWN = ("recall", "ndcg")
ROLES = {"teacher": "teacher", "alone": "student alone", "taught": "student taught"}


def command(
    teacher: Annotated[
        Path, typer.Argument(help="Run folder of the teacher.", metavar="TEACHER_RUN")
    ],
    config: Annotated[Path, typer.Argument(help="Configuration of the student.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings to change, as in model.dim=16.", metavar="[KEY=VALUE]..."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of both students; by default under distilled/.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train a small model alone and taught by a finished run; compare size, speed and accuracy.

    The same command resumes a comparison that was interrupted.

    Example: graphrec distill runs/large small.toml model.dim=16 distill.embedding_weight=1
    """
    given = [*(overrides or []), f"distill.teacher={json.dumps(str(teacher))}"]
    settings = load_config(config, given)
    folder = out or OUT_ROOT / folder_name(settings.run.name or config.stem)
    with show.interruptible():
        comparison = distill(settings, folder)
    if as_json:
        print(json.dumps(asdict(comparison)))  # noqa: T201
    else:
        _print(comparison, folder)


def _print(comparison: Comparison, folder: Path) -> None:
    metrics = _shown(comparison)
    header = ["role", "model", "parameters", "MB", "embeddings MB", "ready ms", "ms per user"]
    for name in metrics:
        header += [name, "lost %"]
    rows = [_cells(line, metrics) for line in comparison.lines]
    show.print_table(f"{comparison.dataset}, test part", header, rows)
    show.say(f"\nRun folders alone and taught, and distill.json: {folder}")


def _cells(line: Line, metrics: list[str]) -> list[str]:
    cells = [ROLES[line.role], line.model, f"{line.parameters:,}", _megabytes(line.model_bytes)]
    cells += [_megabytes(line.embedding_bytes), f"{line.ready_ms:.2f}", f"{line.user_ms:.4f}"]
    for name in metrics:
        lost = line.lost_percent.get(name)
        cells += [f"{line.test[name]:.4f}", "-" if lost is None else f"{lost:.1f}"]
    return cells


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.2f}"


def _shown(comparison: Comparison) -> list[str]:
    """Return recall and NDCG at the longest cut-off that all three lines have."""
    first, *others = (line.test for line in comparison.lines)
    common = [name for name in first if all(name in other for other in others)]
    metrics = []
    for metric in SHOWN:
        cuts = [int(name.partition("@")[2]) for name in common if name.startswith(f"{metric}@")]
        metrics += [f"{metric}@{max(cuts)}"] if cuts else []
    return metrics
