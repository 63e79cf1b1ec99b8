"""BibTeX of everything that can be named."""

import re

import pytest

from graphrec import ConfigError
from graphrec.data import CATALOG
from graphrec.models import MODELS
from graphrec.papers.cite import bibliography, citable, citation


@pytest.mark.parametrize("name", ["graphrec", *(n for n in MODELS if n != "popular"), *CATALOG])
def test_every_model_and_data_set_can_be_cited(name: str) -> None:
    assert citable(name)
    entry = citation(name)
    assert entry.startswith("@")
    assert entry.count("{") == entry.count("}")
    assert all(field in entry for field in ("title", "author"))


def test_a_model_is_cited_by_its_reference_and_a_key_by_itself() -> None:
    assert citation("lightgcn") == citation(MODELS["lightgcn"].reference)


PAPERS = {
    "online-retail": "chen2012retail",
    "ml-100k": "harper2015movielens",
    "ml-1m": "harper2015movielens",
    "gowalla": "liang2016modeling",
    "yelp2018": "wang2019ngcf",
    "amazon-book": "he2016ups",
    "amazon-baby": "zhou2023mmrec",
    "amazon-sports": "zhou2023mmrec",
    "amazon-clothing": "zhou2023mmrec",
    "amazon-electronics": "zhou2023mmrec",
    "amazon-baby-lattice": "zhang2021lattice",
    "amazon-sports-lattice": "zhang2021lattice",
    "tiktok": "wei2023mmssl",
    "microlens": "zhou2023mmrec",
    "microlens-50k": "ni2023microlens",
}
"""Who published each data set, or the split of it that is read."""


def test_a_data_set_is_cited_by_who_published_it() -> None:
    """Nobody is cited for the data of others, least of all graphrec."""
    assert {name: re.findall(r"@\w+\{([^,]+),", citation(name)) for name in CATALOG} == {
        name: [key] for name, key in PAPERS.items()
    }


def test_the_key_of_an_entry_is_the_key_it_is_found_under() -> None:
    for key, entry in bibliography().items():
        assert re.match(rf"@\w+\{{{re.escape(key)},", entry), key


def test_no_entry_is_there_twice_or_lost() -> None:
    from importlib import resources

    text = resources.files("graphrec").joinpath("references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{([^,]+),", text, re.M)
    assert keys == list(bibliography())


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    assert not citable("lihgtgcn")
    with pytest.raises(ConfigError, match=r"'lihgtgcn'\. Did you mean 'lightgcn'"):
        citation("lihgtgcn")


def test_popular_has_no_paper() -> None:
    assert not citable("popular")
    with pytest.raises(ConfigError, match="no paper to cite"):
        citation("popular")
