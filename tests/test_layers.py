"""A package imports only what stands left of it, and no modules import each other in a circle."""

from pathlib import Path

import pytest

from tests import layers


def test_every_package_imports_only_what_stands_left_of_it() -> None:
    broken = [each.forbidden for each in layers.imports() if each.forbidden]
    assert not broken, "\n".join(broken)


def test_every_module_stands_in_a_package_of_the_list() -> None:
    beside = [
        name
        for name in layers.modules()
        if layers.package_of(name) not in (*layers.LAYER_OF, "", "__main__", "testing")
    ]
    assert not beside


def test_no_modules_import_each_other_in_a_circle() -> None:
    edges: dict[str, set[str]] = {}
    for each in layers.imports():
        edges.setdefault(each.importer, set()).add(each.imported)
    assert layers.circles(edges) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from graphrec.cli.main import app\n", "does not stand left of core"),
        ("def late():\n    from graphrec.core import files\n", "inside a function"),
        ("from graphrec import run\n", "the face of graphrec"),
        ('START = "graphrec.tuning.search:start"\n', "does not stand left of core"),
        ("if TYPE_CHECKING:\n    from graphrec.data import Dataset\n", "does not stand left"),
    ],
)
def test_a_forbidden_import_names_both_files_and_the_rule(
    source: str, said: str, tmp_path: Path
) -> None:
    for name, path in layers.modules().items():
        target = tmp_path / path.relative_to(layers.ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source if name == "graphrec.core.rng" else "", encoding="utf-8")
    (found,) = layers.imports(tmp_path)
    assert said in found.forbidden
    assert "graphrec/core/rng.py:" in found.forbidden
    assert layers.file_of(found.imported) in found.forbidden


def test_a_circle_is_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}
    assert layers.circles(edges) == [["a", "b", "c"]]


def test_the_drawing_of_the_packages_is_current() -> None:
    assert layers.DRAWING.read_text(encoding="utf-8") == layers.drawing(), (
        "draw it again: python -m tests.layers"
    )
