"""``fetch``: bring the files of a catalog entry into a folder, by copying or downloading."""

import gzip
import hashlib
import shutil
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from graphrec.datasets.catalog import entry_of, find_layout
from graphrec.datasets.entries import CatalogEntry, Download
from graphrec.errors import DataError
from graphrec.progress import step

CHUNK = 1 << 20
TIMEOUT_SECONDS = 60


def fetch(name: str, target: Path, source: Path | None = None) -> Path:
    """Put the files of data set ``name`` into ``target/<folder>`` and return that folder.

    Args:
        name: a data set of the catalog.
        target: the folder of all data sets, for example ``data/raw``.
        source: copy from here (``source/<folder>`` or ``source`` itself) instead of downloading.

    Raises:
        ConfigError: the name is unknown.
        DataError: files are missing, a download fails or has another checksum, or the set can
            only be downloaded by hand; the message says from where and to where.
    """
    entry = entry_of(name)
    folder = target / entry.folder
    if source is not None:
        _copy(name, entry, source, folder)
    elif find_layout(entry, folder) is None:
        if not entry.downloads:
            raise DataError(_by_hand(name, entry, folder))
        for file in entry.downloads:
            download(file, folder)
    return folder


def download(file: Download, folder: Path) -> None:
    """Download, verify, unpack and only then put in place; an interrupted download resumes.

    Raises:
        DataError: the address cannot be read, the checksum differs or the archive is malformed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    served = PurePosixPath(urlsplit(file.address).path).name
    part = folder / f"{served}.part"
    _transfer(file.address, part)
    _verify(file, part)
    try:
        if served.endswith(".zip"):
            _unzip(file, part, folder)
        elif served.endswith(".gz"):
            with gzip.open(part) as packed:
                _write(packed, folder / served.removesuffix(".gz"))
        else:
            part.replace(folder / served)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file.address} cannot be unpacked: {error}.") from error
    finally:
        part.unlink(missing_ok=True)


def _transfer(address: str, part: Path) -> None:
    """Append to ``part`` what it still lacks; start over where the server cannot resume."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "graphrec"} | ({"Range": f"bytes={done}-"} if done else {})
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            resumed = answer.status == 206
            done = done if resumed else 0
            length = answer.headers.get("Content-Length")
            total = done + int(length) if length is not None else None
            title = f"Downloading {part.name.removesuffix('.part')}"
            with step(title, total, done) as bar, part.open("ab" if resumed else "wb") as file:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    bar.advance(len(chunk))
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # The part is already as long as the file.
            return
        raise DataError(f"{address} answers {error.code} {error.reason}.") from error
    except OSError as error:
        raise DataError(f"{address} cannot be read: {error}. Run again to resume.") from error
    if total is not None and done < total:
        raise DataError(f"{address} broke off at {done} of {total} bytes. Run again to resume.")


def _verify(file: Download, part: Path) -> None:
    if not file.checksum:
        return
    kind, _, expected = file.checksum.partition(":")
    with part.open("rb") as content:
        found = hashlib.file_digest(content, kind).hexdigest()
    if found != expected:
        part.unlink()
        raise DataError(
            f"{file.address}: {kind} is {found}, expected {expected}. The download is damaged or "
            f"the file has changed; it was deleted. Run again, or copy a verified file by hand."
        )


def _unzip(file: Download, archive: Path, folder: Path) -> None:
    """Take the named members, by base name, wherever they stand in the archive."""
    with zipfile.ZipFile(archive) as content:
        inside = {PurePosixPath(name).name: name for name in content.namelist()}
        for member in file.members:
            if member not in inside:
                raise DataError(
                    f"{file.address} holds no {member}, only {', '.join(sorted(inside))}."
                )
        for member in file.members:
            with content.open(inside[member]) as packed:
                _write(packed, folder / member)


def _write(packed: IO[bytes] | gzip.GzipFile, target: Path) -> None:
    """Write to a neighbour first, so that ``target`` is complete or not there."""
    unpacked = target.with_name(f"{target.name}.unpacked")
    try:
        with unpacked.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        unpacked.replace(target)
    finally:
        unpacked.unlink(missing_ok=True)


def _copy(name: str, entry: CatalogEntry, source: Path, folder: Path) -> None:
    for place in (source / entry.folder, source):
        layout = find_layout(entry, place)
        if layout is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for file in layout.files:
            if (place / file).resolve() != (folder / file).resolve():
                with (place / file).open("rb") as content:
                    _write(content, folder / file)
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
