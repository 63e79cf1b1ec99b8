import fractions

import pytest

from graphrec.errors import ConfigError
from graphrec.names import nearest, resolve

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
