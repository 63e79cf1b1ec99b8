"""List the public data sets: where they come from and what they must contain.

Only Online Retail may be redistributed and comes with the repository; the files of all others are
the user's own copies. An entry has a checksum where the file itself was at hand or its release
states one. Without a checksum ``graphrec data get`` downloads only with --unverified, and the
expected counts still guard every load.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphrec.data.catalog.identities import IDENTITIES, Identity
from graphrec.data.config import CleanConfig, ColumnRule, ItemColumn

Settings = Mapping[str, str | int | Mapping[str, str]]


MEGABYTE = 10**6


@dataclass(frozen=True)
class Download:
    """A file that a program can fetch without a person.

    Attributes:
        address: URL of the file.
        checksum: ``"md5:..."`` or ``"sha256:..."`` of the bytes that the address serves, or empty.
        members: for a .zip, the files to take from it.
        limit_bytes: largest length of a file, as served and as unpacked.
    """

    address: str
    checksum: str = ""
    members: tuple[str, ...] = ()
    limit_bytes: int = 1000 * MEGABYTE

    @property
    def delivers(self) -> tuple[str, ...]:
        """Return the names of the files that exist after the download."""
        served = self.address.rpartition("/")[2]
        return self.members or (served.removesuffix(".gz"),)


@dataclass(frozen=True)
class Layout:
    """One form in which a data set is found on disk.

    Attributes:
        files: files that must exist in the folder.
        settings: the fields of ``DataConfig`` that read them; paths are relative to the folder.
    """

    files: tuple[str, ...]
    settings: Settings


@dataclass(frozen=True)
class CatalogEntry:
    """A data set: source, licence, forms on disk, settings and expected counts.

    Attributes:
        counts: expected values of ``Dataset.statistics()`` under the entry's own ``clean``.
        identities: length and sha256 of files of the release by name, feature files included.
        note: advice for users of the data set.
    """

    title: str
    folder: str
    page: str
    licence: str
    citation: str
    layouts: tuple[Layout, ...]
    counts: Mapping[str, int]
    split: str
    redistributable: bool = False
    downloads: tuple[Download, ...] = ()
    clean: CleanConfig = field(default_factory=CleanConfig)
    item_columns: Mapping[str, ItemColumn] = field(default_factory=dict)
    identities: Mapping[str, Identity] = field(default_factory=dict)
    note: str = ""

    @property
    def wanted(self) -> str:
        """Return the files of each layout in words, for messages."""
        return " or ".join(" + ".join(layout.files) for layout in self.layouts)

    def unverifiable(self) -> list[str]:
        """Return the addresses for which neither a checksum nor identities of files are known."""
        return [
            file.address
            for file in self.downloads
            if not file.checksum and not set(file.delivers) <= self.identities.keys()
        ]


def _counts(users: int, items: int, interactions: int, *parts: int) -> Mapping[str, int]:
    names = ("train", "valid", "test")
    counts = {"users": users, "items": items, "interactions": interactions}
    return counts | dict(zip(names, parts, strict=False))


NGCF_COMMIT = "4ec54d9fd35a93878922a64efb91552d274f3379"
"""Commit of the repository from which the adjacency lists are taken."""


def _ngcf(
    folder: str, title: str, citation: str, counts: Mapping[str, int], test_checksum: str
) -> CatalogEntry:
    """Return an entry of the NGCF/LightGCN split: adjacency lists, no validation part."""
    ids: dict[str, str | int] = {"num_users": counts["users"], "num_items": counts["items"]}
    address = "https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch"
    root = f"{address}/{NGCF_COMMIT}/data/{folder}"
    layouts = tuple(
        Layout(
            (f"train.txt{end}", f"test.txt{end}"),
            {"train": f"train.txt{end}", "test": f"test.txt{end}", "format": "adjacency", **ids},
        )
        for end in ("", ".gz")
    )
    return CatalogEntry(
        title=title,
        folder=folder,
        page="https://github.com/gusye1234/LightGCN-PyTorch",
        licence="none stated for the data",
        citation=citation,
        layouts=layouts,
        counts=counts,
        split="given",
        downloads=(
            Download(f"{root}/train.txt", limit_bytes=100 * MEGABYTE),
            Download(f"{root}/test.txt", test_checksum, limit_bytes=100 * MEGABYTE),
        ),
        note="Split family ngcf: there is no validation part. No checksum of train.txt is known.",
    )


def _multimodal(
    title: str,
    folder: str,
    counts: Mapping[str, int],
    inter: str = "",
    archive: str = "",
    arrays: str = "",
    item_text: str = "",
    page: str = "https://github.com/enoche/MMRec",
    citation: str = "zhou2023mmrec",
    note: str = "Split family mmrec.",
) -> CatalogEntry:
    """Return an entry with a given split: ``inter`` (MMRec form), a NumPy archive, or both."""
    ids: dict[str, str | int] = {"num_users": counts["users"], "num_items": counts["items"]}
    layouts = []
    if archive:
        names = {part: f"{arrays}{part}" for part in ("train", "valid", "test")}
        settings: Settings = {"path": archive, "format": "npz", "arrays": names, **ids}
        if item_text:
            text = {"items": item_text, "items_id": "item"}
            layouts.append(Layout((archive, item_text), {**settings, **text}))
        layouts.append(Layout((archive,), settings))
    if inter:
        layouts.append(Layout((inter,), {"path": inter, "format": "mmrec", **ids}))
    return CatalogEntry(
        title=title,
        folder=folder,
        page=page,
        licence="none stated for the derived data; reviews: terms of Amazon review data"
        if folder.startswith("amazon")
        else "none stated",
        citation=citation,
        layouts=tuple(layouts),
        counts=counts,
        split="given",
        identities=IDENTITIES.get(folder, {}),
        note=note,
    )


def _movielens(folder: str, title: str, items: int, users: int, ratings: int) -> CatalogEntry:
    """Return an entry of MovieLens in RecBole's atomic files; ml-100k may have plot overviews."""
    inter, item = f"{folder}.inter", f"{folder}.item"
    base: dict[str, str] = {"path": inter, "format": "recbole", "user": "user_id"}
    base |= {"item": "item_id", "time": "timestamp", "weight": "rating"}
    titled = {"items": "overviews.csv", "items_id": "movie_id", "item_title": "title"}
    overviews = Layout((inter, "overviews.csv"), {**base, **titled})
    titled = {"items": item, "items_id": "item_id", "item_title": "movie_title"}
    atomic = Layout((inter, item), {**base, **titled})
    address = (
        f"https://recbole.s3-accelerate.amazonaws.com/ProcessedDatasets/MovieLens/{folder}.zip"
    )
    return CatalogEntry(
        title=title,
        folder=folder,
        page=f"https://grouplens.org/datasets/movielens/{folder.removeprefix('ml-')}/",
        licence="GroupLens: research use, no redistribution, no commercial use",
        citation="harper2015movielens",
        layouts=(overviews, atomic) if folder == "ml-100k" else (atomic,),
        counts=_counts(users, items, ratings),
        split="temporal_user",
        downloads=(Download(address, members=(inter, item), limit_bytes=100 * MEGABYTE),),
        identities=IDENTITIES.get(folder, {}),
        note="Every rating is an interaction; set clean.min_weight = 4 for liked films only. "
        "No checksum is published for the archive.",
    )


_BABY = _counts(19445, 7050, 160792, 118551, 20559, 21682)
_BABY_LATTICE = _counts(19445, 7050, 160792, 118551, 21682, 20559)
_SPORTS = _counts(35598, 18357, 296337, 218409, 37899, 40029)
_SPORTS_LATTICE = _counts(35598, 18357, 296337, 218409, 40029, 37899)
_LATTICE_PAGE = "https://github.com/CRIPAC-DIG/LATTICE"
_LATTICE_NOTE = (
    "Split family lattice: another split of the pairs of split family mmrec, never to be compared."
)

_ONLINE_RETAIL = CatalogEntry(
    title="UCI Online Retail (a British gift shop, 2010-12 to 2011-12)",
    folder="online-retail",
    page="https://archive.ics.uci.edu/dataset/352/online+retail",
    licence="CC0 1.0 as packaged in the R package onlineretail",
    citation="chen2012retail",
    layouts=(
        Layout(
            ("raw.parquet",),
            {
                "path": "raw.parquet",
                "user": "CustomerID",
                "item": "StockCode",
                "time": "InvoiceDate",
                "weight": "Quantity",
                "item_title": "description",
            },
        ),
    ),
    counts=_counts(4074, 3145, 264514),
    split="temporal_user",
    redistributable=True,
    clean=CleanConfig(
        rules=(
            ColumnRule(column="InvoiceNo", drop="^C"),  # cancellations
            ColumnRule(column="StockCode", keep=r"^\d{5}[A-Za-z]*$"),  # no postage, fees, manual
            ColumnRule(column="Quantity", min=1),
        ),
        duplicates="sum",
        k_core=5,
    ),
    item_columns={
        "description": ItemColumn(column="Description"),
        "price": ItemColumn(column="UnitPrice", take="median"),
        "family": ItemColumn(column="StockCode", pattern=r"^(\d{5})"),
    },
    identities=IDENTITIES["online-retail"],
    note="Comes with the repository: data/online-retail/raw.parquet.",
)

_MICROLENS_50K = CatalogEntry(
    title="MicroLens-50k (micro-videos)",
    folder="microlens-50k",
    page="https://github.com/westlake-repl/MicroLens",
    licence="MicroLens licence: research use, no redistribution",
    citation="ni2023microlens",
    layouts=(
        Layout(
            ("interactions.npz", "titles.csv.gz"),
            {
                "path": "interactions.npz",
                "user": "user",
                "item": "video_id",
                "time": "position",
                "items": "titles.csv.gz",
                "items_id": "column_1",
                "item_title": "column_2",
            },
        ),
    ),
    counts=_counts(50000, 19220, 359708),
    split="leave_one_out",
    note="The time is the position in the user's own history; titles are in column_2.",
)

CATALOG: Mapping[str, CatalogEntry] = {
    "online-retail": _ONLINE_RETAIL,
    "ml-100k": _movielens("ml-100k", "MovieLens 100K", 1682, 943, 100000),
    "ml-1m": _movielens("ml-1m", "MovieLens 1M", 3706, 6040, 1000209),
    "gowalla": _ngcf(
        "gowalla",
        "Gowalla check-ins",
        "liang2016modeling",
        _counts(29858, 40981, 1027370, 810128, 0, 217242),
        "sha256:099a2a73924e4b754dc6efd730d764f492321b53c38eb93298850c83acf57be3",
    ),
    "yelp2018": _ngcf(
        "yelp2018",
        "Yelp challenge 2018",
        "wang2019ngcf",
        _counts(31668, 38048, 1561406, 1237259, 0, 324147),
        "sha256:9cd9b37926cd1447a06625ffa7914527573fb097c10cb0bbdb1d1b8ded3742fe",
    ),
    "amazon-book": _ngcf(
        "amazon-book",
        "Amazon reviews, books",
        "he2016ups",
        _counts(52643, 91599, 2984108, 2380730, 0, 603378),
        "md5:30f8ccfea18d25007ba9fb9aba4e174d",
    ),
    "amazon-baby": _multimodal(
        "Amazon reviews, baby", "amazon-baby", _BABY, "baby.inter", "splits.npz", "mmrec_"
    ),
    "amazon-sports": _multimodal(
        "Amazon reviews, sports and outdoors",
        "amazon-sports",
        _SPORTS,
        "sports.inter",
        "splits.npz",
        "mmrec_",
        "item_text.jsonl.gz",
    ),
    "amazon-clothing": _multimodal(
        "Amazon reviews, clothing",
        "amazon-clothing",
        _counts(39387, 23033, 278677, 197338, 40150, 41189),
        "clothing.inter",
        "splits.npz",
        "mmrec_",
    ),
    "amazon-electronics": _multimodal(
        "Amazon reviews, electronics",
        "amazon-electronics",
        _counts(192403, 63001, 1689188),
        "elec.inter",
        "splits.npz",
        "mmrec_",
    ),
    "amazon-baby-lattice": _multimodal(
        "Amazon reviews, baby (LATTICE split)",
        "amazon-baby",
        _BABY_LATTICE,
        archive="splits.npz",
        arrays="lattice_",
        page=_LATTICE_PAGE,
        citation="zhang2021lattice",
        note=_LATTICE_NOTE,
    ),
    "amazon-sports-lattice": _multimodal(
        "Amazon reviews, sports and outdoors (LATTICE split)",
        "amazon-sports",
        _SPORTS_LATTICE,
        archive="splits.npz",
        arrays="lattice_",
        item_text="item_text.jsonl.gz",
        page=_LATTICE_PAGE,
        citation="zhang2021lattice",
        note=_LATTICE_NOTE,
    ),
    "tiktok": _multimodal(
        "TikTok micro-videos (MMSSL release)",
        "tiktok",
        _counts(9308, 6710, 68722, 59541, 3051, 6130),
        archive="tiktok.npz",
        page="https://github.com/HKUDS/MMSSL",
        citation="wei2023mmssl",
        note="Five valid and five test users have nothing in train: set split.cold_users.",
    ),
    "microlens": _multimodal(
        "MicroLens (micro-videos, MMRec form)",
        "microlens",
        _counts(98129, 17228, 705174),
        "microlens.inter",
    ),
    "microlens-50k": _MICROLENS_50K,
}
