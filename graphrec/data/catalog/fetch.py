"""Bring the files of a catalog entry into a folder, by copying or downloading."""

import logging
from pathlib import Path

from graphrec.core.errors import DataError
from graphrec.data.catalog.download import download, put
from graphrec.data.catalog.entries import CatalogEntry
from graphrec.data.catalog.inspect import compare
from graphrec.data.catalog.layouts import entry_of, find_layout
from graphrec.data.load import load

logger = logging.getLogger(__name__)


def fetch(name: str, target: Path, source: Path | None = None, unverified: bool = False) -> Path:
    """Put the files of data set ``name`` into ``target/<folder>`` and return that folder.

    Args:
        name: name of a data set of the catalog.
        target: the folder of all data sets, for example ``data/raw``.
        source: folder to copy from (``source/<folder>`` or ``source`` itself) instead of
            downloading.
        unverified: also download files of which no checksum is known.

    Raises:
        ConfigError: the name is unknown.
        DataError: files are missing or not those of the data set, a download fails or has another
            checksum, or the set can only be downloaded by hand; the message says from where and
            to where.
    """
    entry = entry_of(name)
    folder = target / entry.folder
    if source is not None:
        _copy(name, entry, source, folder)
    elif find_layout(entry, folder) is None:
        if not entry.downloads:
            raise DataError(_by_hand(name, entry, folder))
        _download(name, entry, folder, unverified)
    return folder


def _download(name: str, entry: CatalogEntry, folder: Path, unverified: bool) -> None:
    unknown = entry.unverifiable()
    if unknown and not unverified:
        raise DataError(
            f"No checksum is known of {', '.join(unknown)}, so a download cannot be "
            f"compared with the published file. Download it all the same with --unverified (the "
            f"numbers of users, items and interactions are checked), or copy files that you "
            f"trust: `graphrec data get {name} --from DIR`."
        )
    try:
        for file in entry.downloads:
            download(file, folder, entry.identities)
    except DataError as error:
        raise DataError(
            f"{error} Files that you have already can be used: `graphrec data get {name} --from "
            f"DIR`. Their source is {entry.page}"
        ) from error


def _copy(name: str, entry: CatalogEntry, source: Path, folder: Path) -> None:
    """Copy the files of the first layout found, once they have proved to be the data set.

    Other files of the release in the same folder are copied if they are the right ones.
    """
    for place in (source / entry.folder, source):
        layout = find_layout(entry, place)
        if layout is None:
            continue
        load(name, place)
        files = list(layout.files)
        for file, identity in entry.identities.items():
            state = compare(place / file, identity)
            if state == "the right one" and file not in files:
                files.append(file)
            elif state.startswith("another"):
                logger.warning(
                    "%s is not that of the release (%s bytes, sha256 %s), but %s%s",
                    *(place / file, f"{identity.num_bytes:,}", identity.sha256, state),
                    "" if file in files else "; it is not copied",
                )
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            if (place / file).resolve() != (folder / file).resolve():
                with (place / file).open("rb") as content:
                    put(content, folder / file, (place / file).stat().st_size)
        return
    raise DataError(
        f"Neither {source / entry.folder} nor {source} holds the files of data set {name!r}: "
        f"{entry.wanted}."
    )


def _by_hand(name: str, entry: CatalogEntry, folder: Path) -> str:
    return (
        f"Data set {name!r} cannot be downloaded automatically (licence: {entry.licence}). Get it "
        f"from {entry.page} and put {entry.wanted} into {folder.absolute()}, or run "
        f"`graphrec data get {name} --from DIR` with the folder that holds it."
    )
