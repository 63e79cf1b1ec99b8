"""Raw files -> ``load`` -> Dataset -> ``split`` -> Split (train, valid, sealed test).

``load`` reads what a ``DataConfig`` names (``readers``, ``adjacency``, ``roles``, ``ids``,
``times``), cleans it (``cleaning``), numbers users and items (``vocabulary``) and aligns the item
table (``items``). ``split`` applies one rule of ``splits.SPLITS``. ``CATALOG`` (``entries``,
``identities``) knows public data sets by name, ``inspect`` what their files must hold, and
``fetch`` gets them (``download``); ``checkerboard``, ``planted`` and ``planted_pictures`` are
data sets with a known answer.
"""

from graphrec.data.catalog.entries import CATALOG
from graphrec.data.catalog.planted_media import PlantedTruth, planted_pictures
from graphrec.data.catalog.toy import checkerboard, planted
from graphrec.data.dataset import Dataset
from graphrec.data.interactions import Interactions
from graphrec.data.load import load
from graphrec.data.split import SealedTest, Split
from graphrec.data.splitting import split

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
