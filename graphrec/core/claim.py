"""Let one process at a time own a folder: the first process that claims it.

The claim is a lock of the operating system on a file in the folder. The lock ends with its process,
however the process ends, so a kill at any moment leaves nothing that stops the next process. The
content of the file is for people, and for machines that share the folder but not the lock.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError, DataError
from graphrec.core.processes import is_alive, is_here, this_process

CLAIM = ".claim"
"""File in a claimed folder: process, machine and time, as JSON."""

PARTS = ".*.[0-9]*.part"
"""Pattern of the temporary files of ``files.write_bytes``; a killed process leaves them behind."""

LARGEST = 4096
"""Bytes that are read of a claim at most."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; make it if need be, and remove it if it stays empty.

    Forked children share the claim. Processes that are started anew do not: workers are
    such processes and need no claim of their own.

    Raises:
        ConfigError: another process holds the folder; the message names process, machine and time.
        DataError: the folder cannot be written.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _take(folder)
    except OSError as error:
        _remove_empty(made)
        raise DataError(
            f"Cannot write {folder}: {error.strerror or error}. Choose a writable folder with "
            f"--out."
        ) from error
    try:
        for left_by_a_kill in folder.glob(PARTS):
            left_by_a_kill.unlink()
        yield
    finally:
        _release(folder / CLAIM, descriptor)
        _remove_empty(made)


def _take(folder: Path) -> int:
    """Return the descriptor of an open file that holds the claim."""
    path = folder / CLAIM
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            locked = _lock(descriptor)
            owner = _owner(descriptor)
            if locked is False or (owner and not _is_over(owner, locked)):
                raise ConfigError(_refusal(folder, owner, locked))
            if _is_still(path, descriptor):
                _sign(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the owner before has just removed the file: open a new one


def _release(path: Path, descriptor: int) -> None:
    with suppress(OSError):  # the folder may be gone by now, or read-only
        if _is_still(path, descriptor):
            path.unlink()
    os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock a file; return False if another process holds it, None if there are no locks here."""
    if find_spec("fcntl") is None:  # Windows
        return None
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return False
        return None
    return True


def _owner(descriptor: int) -> dict[str, Json]:
    """Return the content of a claim, or nothing where its process has not written it (yet)."""
    try:
        content = json.loads(os.pread(descriptor, LARGEST, 0))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _is_over(owner: dict[str, Json], locked: bool | None) -> bool:
    """Return whether the process that signed a claim is known to have ended.

    On one machine a lock excludes every other owner. Machines that share a folder may not see each
    other's locks, so a claim of another machine never counts as ended.
    """
    return is_here(owner) and (locked is True or not is_alive(owner))


def _is_still(path: Path, descriptor: int) -> bool:
    """Return whether the open file is still the one in the folder: owners remove it when done."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(this_process() | {"since": since}).encode(), 0)


def _refusal(folder: Path, owner: dict[str, Json], locked: bool | None) -> str:
    user = "another process"
    if owner:
        user = f"process {owner.get('pid')} on {owner.get('host')} since {owner.get('since')}"
    if locked is False or is_here(owner):
        return (
            f"{folder} is in use by {user}. Wait until it ends, stop it, or choose another --out."
        )
    return (
        f"{folder} is in use by {user}, a machine whose processes cannot be seen from here. If "
        f"that process has ended, remove {folder / CLAIM}; else choose another --out."
    )


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders that this process made, innermost first, and stop at one that is not empty."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
