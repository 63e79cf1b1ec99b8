import collections
import collections.abc
import fractions
from pathlib import Path

import pytest

from graphrec.core.errors import ConfigError
from graphrec.core.names import (
    NotImportedError,
    folder_name,
    nearest,
    not_imported,
    quantity,
    resolve,
    without_imports,
)

TABLE = {"lightgcn": 1, "ngcf": 2, "mf": 3}


def test_a_known_name_is_looked_up() -> None:
    assert resolve("ngcf", TABLE, "model") == 2


def test_a_name_with_a_colon_is_imported() -> None:
    table: dict[str, type] = {}
    assert resolve("fractions:Fraction", table, "model") is fractions.Fraction


def test_the_table_wins_over_an_import() -> None:
    assert resolve("a:b", {"a:b": 1}, "model") == 1


def test_an_unknown_name_names_the_nearest_and_all_known() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve("lightgnc", TABLE, "model")
    assert str(caught.value) == (
        "Unknown model 'lightgnc'. Did you mean 'lightgcn'? Known: lightgcn, mf, ngcf."
    )


@pytest.mark.parametrize(
    "name", ["no_such_module_at_all:X", "fractions:NoSuchClass", "fractions:", ":X", ".here:X"]
)
def test_a_name_that_cannot_be_imported_is_a_config_error(name: str) -> None:
    with pytest.raises(ConfigError, match=f"Cannot import model '{name}'"):
        resolve(name, TABLE, "model")


def test_nearest_is_silent_when_nothing_is_near() -> None:
    assert nearest("xyz", TABLE) == ""
    assert nearest("ligthgcn", TABLE) == " Did you mean 'lightgcn'?"
    assert nearest("anything", []) == ""


def test_code_that_a_name_stands_for_is_not_run_where_that_is_forbidden() -> None:
    """check must be safe on a file of a stranger."""
    with without_imports() as skipped:
        with pytest.raises(NotImportedError):
            resolve("no_such_module_at_all:X", TABLE, "model")
        assert resolve("mf", TABLE, "model") == 3
    assert skipped == ["no_such_module_at_all:X"]
    assert not_imported() == []


@pytest.mark.parametrize("name", ["os:path", "fractions:Fraction", "math:pi"])
def test_a_class_of_another_kind_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"The model '{name}' is no model: .*collections.Counter"):
        resolve(name, {}, "model", collections.Counter)


def test_a_class_with_open_methods_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not define __next__"):
        resolve("collections.abc:Iterator", {}, "model", collections.abc.Iterable)


@pytest.mark.parametrize(
    "code", ["raise RuntimeError('x')", "x = (", "import sys; sys.exit(3)", "1 / 0"]
)
def test_a_module_that_fails_is_one_sentence(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="Cannot import model 'failing_module:X'"):
        resolve("failing_module:X", {}, "model")


def test_quantities_are_words() -> None:
    assert [quantity(n, "model") for n in (0, 1, 2, 1200)] == [
        "0 models", "1 model", "2 models", "1,200 models"
    ]  # fmt: skip


@pytest.mark.parametrize("label", ["../x", "/etc/passwd", "..", ".", "a/b", "", "[/x]", "a b"])
def test_a_label_is_the_name_of_one_folder(label: str) -> None:
    name = folder_name(label)
    assert name not in ("", ".", "..")
    assert Path(name).name == name


def test_a_misspelled_class_of_a_module_that_is_there_is_offered() -> None:
    with pytest.raises(ConfigError, match=r"no attribute 'Lightgcn'\. Did you mean 'LightGCN'\?"):
        resolve("graphrec.models.lightgcn:Lightgcn", {}, "model")
    with pytest.raises(ConfigError, match=r"No module named 'mymodl'\.$"):
        resolve("mymodl:MyModel", {}, "model")
