"""Raw files -> ``load`` -> Dataset -> ``split`` -> Split (train, valid, sealed test).

``load`` reads what a ``DataConfig`` names (``readers``, ``adjacency``, ``roles``, ``ids``,
``times``), cleans it (``cleaning``), numbers users and items (``vocabulary``) and aligns the item
table (``items``). ``split`` applies one rule of ``splitting.SPLITS``. ``Features`` holds the
modalities of the items and ``neighbours`` lists of their nearest items, as records. ``catalog``
knows public data sets by name and fetches them; ``checkerboard``, ``planted`` and
``planted_pictures`` are data sets with a known answer.
"""

from graphrec.data.catalog.entries import CATALOG
from graphrec.data.catalog.planted_media import PlantedTruth, planted_pictures
from graphrec.data.catalog.toy import checkerboard, planted
from graphrec.data.dataset import Dataset
from graphrec.data.features import Features, Modality
from graphrec.data.interactions import Interactions
from graphrec.data.load import load
from graphrec.data.split import SealedTest, Split
from graphrec.data.splitting import split

__all__ = [
    "CATALOG",
    "Dataset",
    "Features",
    "Interactions",
    "Modality",
    "PlantedTruth",
    "SealedTest",
    "Split",
    "checkerboard",
    "load",
    "planted",
    "planted_pictures",
    "split",
]
