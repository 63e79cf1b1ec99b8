"""The page of a study of variants, and its drawing."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graphrec.core.config import Json
from graphrec.core.files import write_bytes
from graphrec.core.names import quantity
from graphrec.report.html import html_table, inlined, paragraphs, write_page
from graphrec.report.svg import as_svg
from graphrec.studies.record import Row, VariantsResult, cells, reasons, tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_INCHES, PANEL_INCHES = 0.32, (4.2, 3.4)


def write_report(out: Path, result: VariantsResult, figure: "Figure") -> None:
    """Write ``<study>.svg`` and ``report.html``, which needs no other file."""
    svg = as_svg(figure)
    write_bytes(out / f"{result.study}.svg", svg.encode())
    title = f"{result.name}: {result.study}"
    seeds = ", ".join(map(str, result.seeds))
    several = len(result.seeds) > 1
    spread_over = f" and deviation over the seeds {seeds}" if several else f", seed {seeds}"
    facts = [
        f"Model {result.model} on {result.dataset}: {result.metric} on test, mean over "
        f"{quantity(result.users, 'user')}{spread_over}.",
        "Differences: 95% interval over users and seeds; p of a paired t-test over users, "
        "adjusted by Holm's method over all comparisons below.",
        f"Test part opened: {'; '.join(result.test_openings)}.",
    ]
    parts = [
        f"<h1>{escape(title)}</h1>",
        paragraphs([each.sentence for each in result.verdicts]),
        paragraphs(facts),
        inlined(svg),
    ]
    for heading, part in tables(result).items():
        parts += [f"<h2>{escape(heading)}</h2>", html_table(*cells(part))]
    parts.append(paragraphs(reasons(result)))
    write_page(out / "report.html", title, parts)


def draw_differences(result: VariantsResult) -> "Figure":
    """A point with its interval for each variant: how far it is from what it is compared with."""
    from matplotlib.figure import Figure

    rows = [row for row in result.rows if row.difference is not None][::-1]
    figure = Figure(figsize=(7.0, 1.2 + ROW_INCHES * len(rows)))
    axes = figure.add_subplot()
    axes.axvline(0.0, color="0.6", linewidth=1)
    for place, row in enumerate(rows):
        assert row.difference is not None
        assert row.low is not None
        assert row.high is not None
        colour = "C3" if row.worse else "C2" if row.better else "0.4"
        axes.plot([row.low, row.high], [place, place], color=colour)
        axes.plot([row.difference], [place], "o", color=colour)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_xlabel(f"{result.metric} minus that of the full model")
    return figure


def draw_curves(result: VariantsResult) -> "Figure":
    """The metric against the rate: a panel for each mechanism, a line for each strategy."""
    from matplotlib.figure import Figure

    start = result.rows[0]
    panels = list(dict.fromkeys(_panel(row) for row in result.rows[1:])) or [("", None)]
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width * len(panels), height))
    several = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, panel in zip(several, panels, strict=True):
        rows = [row for row in result.rows[1:] if _panel(row) == panel and row.mean is not None]
        for strategy in dict.fromkeys(row.attributes["strategy"] for row in rows):
            _draw_line(axes, [start, *(r for r in rows if r.attributes["strategy"] == strategy)])
        axes.set_title(" ".join(str(each) for each in panel if each))
        axes.set_xlabel("rate")
        if rows:
            axes.legend()
    several[0].set_ylabel(f"{result.metric} on test")
    return figure


def _panel(row: Row) -> tuple[Json, Json]:
    return row.attributes["mechanism"], row.attributes["modality"]


def _draw_line(axes: "Axes", rows: Sequence[Row]) -> None:
    """Mean and deviation over seeds."""
    table = [[row.attributes["rate"], row.mean, row.deviation] for row in rows]
    rates, means, deviations = np.array(table, dtype=np.float64).T
    axes.errorbar(
        rates,
        means,
        yerr=deviations,
        marker="o",
        capsize=2,
        label=str(rows[-1].attributes["strategy"]),
    )
