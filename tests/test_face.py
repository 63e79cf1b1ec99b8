"""The public names of graphrec: all are there, and none is loaded before it is asked for."""

import subprocess
import sys

import pytest

import graphrec


@pytest.mark.parametrize("name", graphrec.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(graphrec, name) is not None
    assert name in dir(graphrec)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        graphrec.trian  # noqa: B018


def test_importing_graphrec_loads_no_heavy_library() -> None:
    code = (
        "import sys, graphrec; print([n for n in ('torch', 'polars', 'scipy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
