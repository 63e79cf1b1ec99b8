"""Raw files -> ``load`` -> Dataset -> ``split`` -> Split (train, valid, sealed test).

``load`` reads what a ``DataConfig`` names (``readers``, ``adjacency``, ``roles``, ``ids``,
``times``), cleans it (``cleaning``), numbers users and items (``vocabulary``) and aligns the item
table (``items``). ``split`` applies one rule of ``splits.SPLITS``. ``CATALOG`` (``entries``,
``identities``) knows public data sets by name, ``inspect`` what their files must hold, and
``fetch`` gets them (``download``); ``checkerboard``, ``planted`` and ``planted_pictures`` are
data sets with a known answer.
"""

from graphrec.datasets.catalog import CATALOG
from graphrec.datasets.dataset import Dataset, SealedTest, Split
from graphrec.datasets.interactions import Interactions
from graphrec.datasets.load import load
from graphrec.datasets.planted_media import PlantedTruth, planted_pictures
from graphrec.datasets.splits import split
from graphrec.datasets.toy import checkerboard, planted

__all__ = [
    "CATALOG",
    "Dataset",
    "Interactions",
    "PlantedTruth",
    "SealedTest",
    "Split",
    "checkerboard",
    "load",
    "planted",
    "planted_pictures",
    "split",
]
