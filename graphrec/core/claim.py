"""A folder belongs to one process at a time: the first one to claim it.

The claim is a lock of the operating system on a file in the folder. It ends with its process,
however that ends, so a kill at any moment leaves nothing that stops the next one. What stands in
the file is for people, and for machines that share the folder but not the lock.
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
"""Files that ``files.write_bytes`` was writing; a kill leaves them."""

LARGEST = 4096
"""Bytes read of a claim."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; make it if need be, and remove it if it stays empty.

    Forked children share the claim, and processes that are started do not: those take part in the
    work of the one that holds the folder.

    Raises:
        ConfigError: another process holds it; process, machine and time are named.
        DataError: the folder cannot be written.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
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
    """Return an open file that holds the claim."""
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
        os.close(descriptor)  # the process before has just removed it: look again


def _release(path: Path, descriptor: int) -> None:
    with suppress(OSError):  # the folder may be gone by now, or read-only
        if _is_still(path, descriptor):
            path.unlink()
    os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock a file; False if another process has, None where the file system has no locks."""
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
    """What stands in a claim; nothing if its process was killed before it wrote, or is about to."""
    try:
        content = json.loads(os.pread(descriptor, LARGEST, 0))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _is_over(owner: dict[str, Json], locked: bool | None) -> bool:
    """Whether the process that signed a claim is known to have ended.

    Nobody else can have a lock that this machine has got; other machines may not see each other's.
    """
    return is_here(owner) and (locked is True or not is_alive(owner))


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one in the folder: its owner removes it when done."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(this_process() | {"since": since}).encode(), 0)


def _refusal(folder: Path, owner: dict[str, Json], locked: bool | None) -> str:
    who = "another process"
    if owner:
        who = f"process {owner.get('pid')} on {owner.get('host')} since {owner.get('since')}"
    if locked is False or is_here(owner):
        return f"{folder} is in use by {who}. Wait until it ends, stop it, or choose another --out."
    return (
        f"{folder} is in use by {who}, a machine whose processes cannot be seen from here. If that "
        f"process has ended, remove {folder / CLAIM}; else choose another --out."
    )


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders that this process made, innermost first, up to one that holds something."""
    for each in folders:
        try:
            each.rmdir()
        except OSError:
            return
