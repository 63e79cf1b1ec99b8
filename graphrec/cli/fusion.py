"""Implement the command that compares ways to fuse modalities."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import console as show
from graphrec.cli.options import JsonFlag
from graphrec.config import load_config
from graphrec.core.names import folder_name, listed, quantity
from graphrec.report.tables import spread
from graphrec.studies import study_fusions
from graphrec.studies.fusion_cells import Axes
from graphrec.studies.fusion_record import GridResult, append_grid, compared

OUT_ROOT = Path("studies")


def command(
    config: Annotated[Path, typer.Argument(help="A TOML file or the config.json of a run.")],
    backbones: Annotated[
        str | None, typer.Option(help="Values of model.backbone, separated by commas.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="Values of model.where, separated by commas.")
    ] = None,
    how: Annotated[
        str | None,
        typer.Option(help="Values of model.fusion, or of model.late where scores are combined."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting to change, as in model.dim=32.")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=0, help="Trials per cell (tune.trials); 0 tunes nothing."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Final seeds per cell (tune.final_seeds).")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes on this machine.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the grid; by default under studies/.")
    ] = None,
    append: Annotated[
        Path | None, typer.Option(help="Also add one line per cell to this CSV file.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare backbone x where x how of the fusion, each combination tuned by the same budget.

    The same command resumes a grid that was interrupted.

    Example: graphrec fusion shop.toml --how attention,concat --trials 10 --seeds 5
    """
    changes = list(overrides or [])
    if trials:
        changes.append(f"tune.trials={trials}")
    if seeds is not None:
        changes.append(f"tune.final_seeds={seeds}")
    settings = load_config(config, changes)
    axes = Axes(*(None if text is None else listed(text) for text in (backbones, where, how)))
    folder = out or OUT_ROOT / f"{folder_name(settings.run.name or config.stem)}-fusion"
    with show.interruptible():
        result = study_fusions(settings, folder, axes, tuned=trials != 0, workers=workers)
    if append is not None:
        append_grid(append, result)
    if as_json:
        print(json.dumps(asdict(result)))  # noqa: T201
    else:
        _print(result, folder)


def _print(result: GridResult, folder: Path) -> None:
    """Print the cells, the means along the axes, and the skipped cells; see also report.html."""
    seeds, metric = len(result.seeds), result.metric
    rows = [
        [cell.name, spread(cell.valid[metric], seeds), spread(cell.test[metric], seeds)]
        for cell in result.cells
    ]
    header = ["cell", f"valid {metric}", f"test {metric}"]
    show.print_table(f"{result.dataset}: {quantity(seeds, 'seed')}", header, rows)
    show.say(f"Best on valid: {result.best}")
    rows = [[cell.name, *compared(cell)] for cell in result.cells if cell.difference is not None]
    if rows:
        header = ["cell", "difference", "95% interval", "p (Holm)"]
        show.print_table(f"Compared with {result.reference} on test", header, rows)
    means = [
        [f"{mean.setting} = {mean.value}", str(mean.cells), f"{mean.valid:.4f}", f"{mean.test:.4f}"]
        for mean in result.means
    ]
    header = ["axis", "cells", f"valid {metric}", f"test {metric}"]
    show.print_table("Means along each axis", header, means)
    for name, reason in result.skipped.items():
        show.say(f"Skipped {name}: {reason}")
    show.say(f"\nFolder of the grid, with report.html and fusion.csv: {folder}")
