"""Cite graphrec, its models and its data sets in BibTeX."""

from importlib import resources

from graphrec.core.errors import ConfigError
from graphrec.core.names import nearest
from graphrec.data import CATALOG
from graphrec.models import MODELS


def bibliography() -> dict[str, str]:
    """Return the entries of ``references.bib`` by key."""
    text = resources.files("graphrec").joinpath("references.bib").read_text(encoding="utf-8")
    entries = {}
    for block in text.split("\n@"):
        entry = block if block.startswith("@") else f"@{block}"
        if "{" in entry:
            key = entry.split("{", 1)[1].split(",", 1)[0].strip()
            entries[key] = entry.strip()
    return entries


def citable(name: str) -> bool:
    """Return whether ``citation`` knows the name."""
    return name in _keys()


def citation(name: str) -> str:
    """Return the BibTeX for ``graphrec``, a model, a data set or a key of the bibliography.

    Raises:
        ConfigError: the name is unknown; the message offers the nearest known one.
    """
    keys = _keys()
    if name not in keys:
        uncited = " It has no paper to cite." if name in MODELS else nearest(name, keys)
        raise ConfigError(f"Nothing to cite under {name!r}.{uncited}")
    return bibliography()[keys[name]]


def _keys() -> dict[str, str]:
    """Return the key of the bibliography for everything that can be named."""
    keys = {key: key for key in bibliography()}
    keys |= {data_set: entry.citation for data_set, entry in CATALOG.items()}
    return keys | {model: cls.reference for model, cls in MODELS.items() if cls.reference}
