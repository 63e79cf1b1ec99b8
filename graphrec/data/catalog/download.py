"""Download one file from an address; verify and unpack it before it is put in place."""

import gzip
import hashlib
import http.client
import os
import stat
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from graphrec.core.errors import DataError
from graphrec.core.progress import step
from graphrec.data.catalog.entries import Download
from graphrec.data.catalog.identities import Identity

CHUNK = 1 << 20
TIMEOUT_SECONDS = 60
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""Flag with which links are not opened; a system without links does not have it."""

UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)
"""Errors of archives that are damaged, encrypted, or packed by an unknown method."""


def download(file: Download, folder: Path, known: Mapping[str, Identity] | None = None) -> None:
    """Download, verify and unpack a file, and only then put it in place; resume if interrupted.

    Args:
        file: the file to fetch.
        folder: folder that receives the files.
        known: identities of the files of the release, by name; delivered files must match them.

    Raises:
        DataError: the address cannot be read, a file is longer than its limit or not the expected
            one, or the archive is malformed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    served = PurePosixPath(urlsplit(file.address).path).name
    part = folder / f"{served}.part"
    _transfer(file, part)
    try:
        with _reading(part) as content:
            _verify(file, content, part)
            for name, opened in _unpacked(file, served, content).items():
                with opened as plain:
                    put(plain, folder / name, file.limit_bytes, (known or {}).get(name))
    except UNREADABLE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file.address} cannot be unpacked: {error}.") from error
    finally:
        part.unlink(missing_ok=True)


Readable = IO[bytes] | gzip.GzipFile


def put(content: Readable, target: Path, limit: int, identity: Identity | None = None) -> None:
    """Write ``content`` to a new file and rename it, so that ``target`` is complete or absent.

    The new file has an unpredictable name, and is never an existing file or link.

    Raises:
        DataError: the content is longer than ``limit`` or does not have the ``identity``.
    """
    descriptor, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name}.", suffix=".part"
    )
    try:
        with os.fdopen(descriptor, "wb") as plain:
            sha, length = hashlib.sha256(), 0
            while chunk := content.read(CHUNK):
                length += len(chunk)
                _require_short(target.name, length, limit)
                sha.update(chunk)
                plain.write(chunk)
        if identity is not None and sha.hexdigest() != identity.sha256:
            raise DataError(
                f"{target.name} has {length} bytes and sha256 {sha.hexdigest()}, but the release "
                f"has {identity.num_bytes} and {identity.sha256}. It is another version, and was "
                f"not put in place."
            )
        Path(name).chmod(0o644)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def _require_short(name: str, length: int, limit: int) -> None:
    if length > limit:
        raise DataError(
            f"{name} is longer than the {limit:,} bytes that the catalog allows. It was not kept; "
            f"a newer catalog may know a larger release."
        )


def _transfer(file: Download, part: Path) -> None:
    """Append the missing bytes to ``part``; start over where the server cannot resume."""
    done = _length(part)
    headers = {"User-Agent": "graphrec"} | ({"Range": f"bytes={done}-"} if done else {})
    request = urllib.request.Request(file.address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            # Status 200 means the whole file from its first byte, whatever range was asked for.
            resumed = answer.status == 206
            if resumed and not _starts_at(done, answer.headers):
                raise DataError(f"{file.address} answers with another range. Run again.")
            done = done if resumed else 0
            total = _receive(answer, file, part, done, resumed)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done and _is_whole(done, error.headers):
            return
        again = ""
        if error.code == 416:
            part.unlink(missing_ok=True)
            again = " Run again to start over."
        raise DataError(f"{file.address} answers {error.code} {error.reason}.{again}") from error
    except DataError:  # the bytes received are of no use
        part.unlink(missing_ok=True)
        raise
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{file.address} cannot be read: {error}. Run again to resume.") from error
    done = _length(part)
    if total is not None and done < total:
        raise DataError(
            f"{file.address} broke off at {done} of {total} bytes. Run again to resume."
        )


def _receive(
    answer: "IO[bytes]", file: Download, part: Path, done: int, resumed: bool
) -> int | None:
    """Write the answer to ``part``; return the length of the whole file if the server states it."""
    length = _header(answer, "Content-Length")
    total = done + int(length) if length is not None else None
    _require_short(file.address, total or 0, file.limit_bytes)
    title = f"Downloading {part.name.removesuffix('.part')}"
    with step(title, total, done) as bar, _writing(part, resumed) as target:
        while chunk := answer.read(CHUNK):
            done += len(chunk)
            _require_short(file.address, done, file.limit_bytes)
            target.write(chunk)
            bar.advance(len(chunk))
    return total


def _header(answer: object, name: str) -> str | None:
    headers = getattr(answer, "headers", None)
    return headers.get(name) if isinstance(headers, Message) else None


def _length(part: Path) -> int:
    """Return the length of ``part`` so far; remove ``part`` if it is a link or no plain file."""
    try:
        state = part.lstat()
    except FileNotFoundError:
        return 0
    if stat.S_ISREG(state.st_mode) and state.st_nlink == 1:
        return state.st_size
    part.unlink()  # removes a link, not the file behind it
    return 0


def _starts_at(done: int, headers: Message) -> bool:
    span = headers.get("Content-Range")
    return span is None or span.startswith(f"bytes {done}-")


def _is_whole(done: int, headers: Message) -> bool:
    """Return whether ``part`` is as long as the file, as far as the server states a length."""
    span = headers.get("Content-Range")
    return span is None or span.rpartition("/")[2] == str(done)


def _writing(part: Path, resumed: bool) -> IO[bytes]:
    """Open ``part`` to append to it, or create it; never open a link."""
    if not resumed:
        part.unlink(missing_ok=True)
    how = os.O_APPEND if resumed else os.O_CREAT | os.O_EXCL
    return os.fdopen(os.open(part, os.O_WRONLY | how | NO_LINK, 0o644), "ab" if resumed else "wb")


def _reading(part: Path) -> IO[bytes]:
    return os.fdopen(os.open(part, os.O_RDONLY | NO_LINK), "rb")


def _verify(file: Download, content: IO[bytes], part: Path) -> None:
    if not file.checksum:
        return
    kind, _, expected = file.checksum.partition(":")
    digest = hashlib.new(kind)
    while chunk := content.read(CHUNK):
        digest.update(chunk)
    content.seek(0)
    if digest.hexdigest() != expected:
        raise DataError(
            f"{file.address}: {kind} is {digest.hexdigest()}, expected {expected}. The download is "
            f"damaged or the file has changed; it was deleted. Run again, or copy a verified file "
            f"by hand."
        )


def _unpacked(file: Download, served: str, content: IO[bytes]) -> dict[str, Readable]:
    """Return the files to put in place, by name; for a .zip the listed members by base name."""
    if served.endswith(".gz"):
        return {served.removesuffix(".gz"): gzip.GzipFile(fileobj=content)}
    if not served.endswith(".zip"):
        return {served: content}
    archive = zipfile.ZipFile(content)
    inside = {PurePosixPath(name).name: name for name in archive.namelist()}
    for member in file.members:
        if member not in inside:
            raise DataError(f"{file.address} holds no {member}, only {', '.join(sorted(inside))}.")
    return {member: archive.open(inside[member]) for member in file.members}
