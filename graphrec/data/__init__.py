"""Load interactions and divide them into train, valid and a sealed test part.

``load`` reads the files that a ``DataConfig`` names (``readers``, ``adjacency``, ``roles``,
``ids``, ``times``), cleans the rows (``cleaning``), numbers users and items (``vocabulary``) and
aligns the item table (``items``). It returns a ``Dataset``, which ``split`` divides by one rule of
``splitting.SPLITS``. ``Features`` records the modalities of the items, and ``neighbours`` the lists
of their nearest items. ``catalog`` lists public data sets by name and fetches them;
``checkerboard``, ``planted`` and ``planted_pictures`` make data sets with a known answer.
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
