"""Compare the memory that a piece of work is estimated to need with what the machine can give."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from graphrec.core.errors import ConfigError

SHARE = 0.5
"""Part of the free memory that a piece of work may take where ``run.memory_mb`` sets no limit."""

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Need:
    """Estimate of the memory that one piece of work needs.

    Attributes:
        what: the work and its size, as the subject of a sentence.
        num_bytes: bytes at its peak.
        remedy: the change that makes it need less, as a sentence.
    """

    what: str
    num_bytes: int
    remedy: str


def memory_limit(memory_mb: int | None = None) -> int | None:
    """Return the bytes that a piece of work may take: ``run.memory_mb``, or half the free memory.

    Returns:
        The limit, or None where the system does not report its free memory.
    """
    if memory_mb is not None:
        return memory_mb * MEBIBYTE
    free = free_memory()
    return None if free is None else int(SHARE * free)


def require_memory(needs: Iterable[Need], memory_mb: int | None = None) -> None:
    """Refuse work that needs more memory than it may take.

    Raises:
        ConfigError: a need is above the limit; the message names both, the source of the limit and
            the remedy.
    """
    limit = memory_limit(memory_mb)
    for need in needs:
        if limit is not None and need.num_bytes > limit:
            source = "half of the free memory" if memory_mb is None else "run.memory_mb"
            enough = -(-need.num_bytes // MEBIBYTE)
            raise ConfigError(
                f"{need.what} needs about {_size(need.num_bytes)} of memory; the limit is "
                f"{_size(limit)} ({source}). {need.remedy} Where the memory is there, set "
                f"run.memory_mb = {enough} to allow it."
            )


def free_memory() -> int | None:
    """Return the bytes that this process can still get, or None where the system has no answer.

    They are the least of three numbers: memory available on the machine, memory left to the control
    group, and address space left under ``ulimit -v``.
    """
    known = [free for free in (_available(), *_groups(), _address_space()) if free is not None]
    return max(0, min(known)) if known else None


def _available() -> int | None:
    """Return MemAvailable of Linux."""
    return _field(Path("/proc/meminfo"), "MemAvailable:")


def _groups() -> list[int | None]:
    """Return the bytes left to the control group (version 1 or 2); file caches count as free."""
    root = Path("/sys/fs/cgroup")
    left = []
    for folder, most, used in (
        (root, "memory.max", "memory.current"),
        (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit, taken = _number(folder / most), _number(folder / used)
        if limit is not None and taken is not None:
            files = _field(folder / "memory.stat", "inactive_file", unit=1) or 0
            left.append(limit - taken + files)
    return list(left)


def _address_space() -> int | None:
    """Return the bytes of address space that ``ulimit -v`` leaves."""
    limit = _field(Path("/proc/self/limits"), "Max address space", unit=1)
    size = _field(Path("/proc/self/status"), "VmSize:")
    return None if limit is None or size is None else limit - size


def _field(path: Path, name: str, unit: int = 1024) -> int | None:
    """Return the first number after a name at the start of a line, times ``unit``."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    words = next((line[len(name) :].split() for line in lines if line.startswith(name)), [])
    return int(words[0]) * unit if words and words[0].isdecimal() else None


def _number(path: Path) -> int | None:
    """Return the only number in a file, or None for ``max``."""
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _size(num_bytes: int) -> str:
    if num_bytes < 2**30:  # "0.0 GiB" would say nothing
        return f"{num_bytes / MEBIBYTE:.1f} MiB"
    return f"{num_bytes / 2**30:.1f} GiB"
