"""What a grid leaves: ``fusion.json``, ``fusion.csv``, ``fusion.svg`` and the page with them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from graphrec.core.config import Json
from graphrec.core.files import write_bytes
from graphrec.core.names import quantity
from graphrec.core.records import Record
from graphrec.evaluation.significance import Comparison
from graphrec.report.html import html_table, inlined, paragraphs, write_page
from graphrec.report.svg import as_svg
from graphrec.report.tables import (
    RUN_KEY,
    append_records,
    identity_columns,
    spread,
    to_csv,
    version_columns,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("recall@20", "ndcg@20")
ROW_INCHES = 0.26

GRID_KEY = (
    "grid", "name", *RUN_KEY, "budget_trials", "budget_seconds", "seeds",
    "commit",
)  # fmt: skip
"""Columns of a results file that identify a cell."""


@dataclass(frozen=True)
class CellResult:
    """A cell, tuned and then trained with fresh seeds.

    Attributes:
        left_out: keys of the configuration that have no effect in this cell.
        in_grid: false for a reference that had to be added.
        trials, seconds: finished trials and what they cost; zero if nothing was tuned.
        fit_seconds: of the final training, mean over the seeds.
        valid, test: ``{metric: [mean, standard deviation]}`` over the final seeds.
        difference: to the reference on test, over users and seeds; None for the reference.
        p_holm: its p, corrected for the number of cells.
        config_hash: of its settings before tuning; fingerprints: of each of its runs.
    """

    name: str
    settings: dict[str, str]
    left_out: list[str]
    in_grid: bool
    trials: int
    seconds: float
    fit_seconds: float
    parameters: int
    best_params: dict[str, bool | int | float | str]
    valid: dict[str, list[float]]
    test: dict[str, list[float]]
    difference: Comparison | None
    p_holm: float | None
    config_hash: str = ""
    fingerprints: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class AxisMean:
    """The mean over those cells of the grid that have one value on an axis."""

    setting: str
    value: str
    cells: int
    valid: float
    test: float


@dataclass(frozen=True)
class GridResult(Record):
    """All of ``fusion.json``. Field names are a stable surface.

    Attributes:
        metric: cells are tuned and the best is chosen by it on valid, and compared by it on test.
        budget: of each cell: ``trials`` and ``seconds``.
        reference: the cell that is the configuration as it stands.
        best: the cell with the highest mean on valid.
        skipped: why a cell of the grid was not run, by its name.
    """

    name: str
    model: str
    dataset: str
    metric: str
    budget: dict[str, float | None]
    seeds: list[int]
    reference: str
    best: str
    cells: list[CellResult]
    skipped: dict[str, str]
    means: list[AxisMean]
    fingerprints: dict[str, str]
    environment: dict[str, Json]
    test_openings: list[str] = field(default_factory=list)
    schema_version: int = 1


def write_grid(out: Path, result: GridResult) -> None:
    """Write the record, the table, the plot and the page."""
    lines = _lines(result)
    svg = as_svg(_drawn(result))
    result.write(out / "fusion.json")
    header = list(lines[0])
    table = to_csv(header, [[line[name] for name in header] for line in lines])
    write_bytes(out / "fusion.csv", f"{table}\n".encode())
    write_bytes(out / "fusion.svg", svg.encode())
    write_page(out / "report.html", result.name, _parts(result, svg))


def append_grid(path: Path, result: GridResult) -> int:
    """Add one line per cell to a results file, unless it stands there; return how many.

    Raises:
        DataError: the file has other columns, or cannot be written.
    """
    return append_records(path, _lines(result), GRID_KEY)


def table_of(result: GridResult) -> tuple[list[str], list[list[str]]]:
    """Header and text of the table of cells; what tuning cost only where there was any."""
    measured = result.cells[0].test
    shown = [name for name in dict.fromkeys((result.metric, *SHOWN)) if name in measured]
    cost = ["trials", "seconds"] if result.budget["trials"] else []
    header = ["cell", *cost, "parameters", f"valid {result.metric}"]
    header += [f"test {name}" for name in shown]
    header += [f"{result.metric} to reference", "95% interval", "p (Holm)"]
    return header, [_row(result, cell, shown) for cell in result.cells]


def _row(result: GridResult, cell: CellResult, shown: Sequence[str]) -> list[str]:
    marks = {"reference": result.reference, "best on valid": result.best}
    told = [mark for mark, name in marks.items() if name == cell.name]
    label = f"{cell.name} ({', '.join(told)})" if told else cell.name
    cost = [str(cell.trials), f"{cell.seconds:,.0f}"] if result.budget["trials"] else []
    row = [label, *cost, f"{cell.parameters:,}"]
    figures = [cell.valid[result.metric], *(cell.test[name] for name in shown)]
    row += [spread(each, len(result.seeds)) for each in figures]
    return row + compared(cell)


def compared(cell: CellResult) -> list[str]:
    """Difference to the reference, its interval and p as text; nothing for the reference."""
    found = cell.difference
    if found is None:
        return ["", "", ""]
    interval = f"{found.low:+.4f} to {found.high:+.4f}"
    return [f"{found.difference:+.4f}", interval, f"{cell.p_holm:.3g}"]


def _lines(result: GridResult) -> list[dict[str, str]]:
    """One record per cell; one that was skipped has the reason, and the reference's identity."""
    metrics = dict.fromkeys((result.metric, *SHOWN))
    shared = {
        "dataset": result.dataset,
        "model": result.model,
        "metric": result.metric,
        "budget_trials": str(result.budget["trials"]),
        "budget_seconds": str(result.budget["seconds"] or ""),
        "seeds": " ".join(map(str, result.seeds)),
        **version_columns(result.environment),
    }
    found = {cell.name: _line(result, cell, list(metrics)) for cell in result.cells}
    empty = dict.fromkeys(next(iter(found.values())), "") | _identity(found[result.reference])
    found |= {name: empty | {"skipped": reason} for name, reason in result.skipped.items()}
    return [{"grid": result.name, "name": name, **line, **shared} for name, line in found.items()]


def _identity(line: Mapping[str, str]) -> dict[str, str]:
    return {name: line[name] for name in RUN_KEY}


def _line(result: GridResult, cell: CellResult, metrics: Sequence[str]) -> dict[str, str]:
    marks = {"reference": result.reference, "best": result.best}
    figures = {
        f"{part} {name}": " ".join(f"{value:.6f}" for value in measured.get(name, ()))
        for part, measured in (("valid", cell.valid), ("test", cell.test))
        for name in metrics
    }
    found = cell.difference
    compared = (
        {} if found is None else {key: f"{value:.6g}" for key, value in asdict(found).items()}
    )
    return {
        "mark": " ".join(mark for mark, name in marks.items() if name == cell.name),
        "skipped": "",
        "left_out": " ".join(cell.left_out),
        "trials": str(cell.trials),
        "seconds": f"{cell.seconds:.0f}",
        "fit_seconds": f"{cell.fit_seconds:.1f}",
        "parameters": str(cell.parameters),
        "best_params": json.dumps(cell.best_params),
        **figures,
        **{key: compared.get(key, "") for key in ("difference", "low", "high", "p")},
        "p_holm": "" if cell.p_holm is None else f"{cell.p_holm:.6g}",
        **identity_columns(cell.config_hash, cell.fingerprints),
    }


def _drawn(result: GridResult) -> "Figure":
    """Draw a row per cell, cells of one backbone together, a colour for each where."""
    from matplotlib.figure import Figure

    groups: dict[str, list[CellResult]] = {}
    for cell in result.cells:
        groups.setdefault(cell.settings["backbone"], []).append(cell)
    rows: list[tuple[str, CellResult | None]] = []
    for backbone, cells in groups.items():
        rows += [(backbone, None), *((_label(result, cell), cell) for cell in cells)]
    places = list(dict.fromkeys(cell.settings["where"] for cell in result.cells))
    reference = next(each for each in result.cells if each.name == result.reference)
    centre = reference.test[result.metric][0]
    figure = Figure(figsize=(8.0, 1.2 + ROW_INCHES * len(rows)))
    axes = figure.add_subplot()
    axes.axvline(centre, color="0.6", linewidth=1)
    for at, (_, row) in enumerate(rows):
        if row is None:
            continue
        colour, found = f"C{places.index(row.settings['where'])}", row.difference
        if found is not None:
            axes.plot([centre + found.low, centre + found.high], [at, at], color=colour)
        axes.plot([row.test[result.metric][0]], [at], "D" if found is None else "o", color=colour)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=8)
    for tick, (_, row) in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if row is None else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(
        f"test {result.metric}; line: the reference; bars: 95% interval of the difference to it;\n"
        f"* best on valid",
        fontsize=8,
    )
    return figure


def _label(result: GridResult, cell: CellResult) -> str:
    words = [value for key, value in cell.settings.items() if key != "backbone"]
    return " ".join([*words, *(["*"] if cell.name == result.best else [])])


def _parts(result: GridResult, svg: str) -> list[str]:
    """Return the pieces of the page."""
    means = [
        [f"{each.setting} = {each.value}", each.cells, f"{each.valid:.4f}", f"{each.test:.4f}"]
        for each in result.means
    ]
    found = [
        [
            cell.name,
            ", ".join(f"{key} = {value}" for key, value in cell.best_params.items()),
            ", ".join(cell.left_out),
        ]
        for cell in result.cells
    ]
    parts = [
        f"<h1>Fusion: {escape(result.name)}</h1>",
        paragraphs(_facts(result)),
        inlined(svg),
        html_table(*table_of(result)),
        "<h2>Means along each axis</h2>",
        paragraphs(
            [
                "Over the cells of the grid that were run. Where cells are missing, two means of "
                "an axis are not over the same values of the others."
            ]
        ),
        html_table(["axis", "cells", f"valid {result.metric}", f"test {result.metric}"], means),
        "<h2>Settings of each cell</h2>",
        html_table(["cell", "found by tuning", "left out, without effect"], found),
    ]
    if result.skipped:
        skipped = [[name, reason] for name, reason in result.skipped.items()]
        parts += ["<h2>Skipped</h2>", html_table(["cell", "reason"], skipped)]
    return parts


def _facts(result: GridResult) -> list[str]:
    trials, seconds = result.budget["trials"], result.budget["seconds"]
    limit = f" or {seconds:g} s" if seconds else ""
    tuned = f"was tuned by {result.metric} on valid in {quantity(int(trials or 0), 'trial')}{limit}"
    if not trials:
        tuned = "has the settings of the configuration: nothing was tuned"
    return [
        f"Model {result.model} on {result.dataset}. Each cell {tuned}; it was then trained with "
        f"{quantity(len(result.seeds), 'fresh seed')}.",
        f"Best on valid: {result.best}. Reference, the configuration as it stands: "
        f"{result.reference}.",
        "± is the standard deviation over seeds; the interval of a difference is over users and "
        "seeds, p over users, corrected by Holm for the number of cells.",
        f"Test part opened: {'; '.join(result.test_openings)}.",
    ]
