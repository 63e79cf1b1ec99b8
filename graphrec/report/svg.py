"""Make drawings as reproducible SVG text; needs matplotlib, which is an extra."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from graphrec.core.escaping import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = {"svg.hashsalt": "graphrec", "svg.fonttype": "none", "text.parse_math": False}
"""Settings for reproducible files with literal text: a name such as ``$x$`` is no formula."""


@contextmanager
def literal_text() -> Iterator[None]:
    """Draw inside the block without reading any text as a formula.

    A glyph that is missing in matplotlib's own font does no harm: the reader's fonts have it.
    """
    import matplotlib as mpl

    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


def as_svg(figure: "Figure") -> str:
    """Return the drawing, without a date and with every text as it was given."""
    from matplotlib.text import Text

    buffer = io.StringIO()
    with literal_text():
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math(False)
        _write_powers_plainly(figure)
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return visible(buffer.getvalue())


def _write_powers_plainly(figure: "Figure") -> None:
    """Label logarithmic axes with texts like 1e-05: matplotlib's own labels are formulas."""
    from matplotlib.ticker import LogFormatter

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                axis.set_major_formatter(LogFormatter())
                axis.set_minor_formatter(LogFormatter())
