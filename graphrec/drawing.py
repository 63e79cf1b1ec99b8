"""Drawings as SVG text, the same for the same figures; needs matplotlib, which is an extra."""

import io

import matplotlib as mpl
from matplotlib.figure import Figure

REPRODUCIBLE = {"svg.hashsalt": "graphrec", "svg.fonttype": "none"}


def as_svg(figure: Figure) -> str:
    """The drawing, without a date."""
    buffer = io.StringIO()
    with mpl.rc_context(REPRODUCIBLE):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return buffer.getvalue()
