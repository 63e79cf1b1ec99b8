"""A fault planted in one module, and the lines that are run: in this process and in its children.

Nothing but the standard library is imported, since this is read before everything else.
"""

import atexit
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType, ModuleType

FAULT = "GRAPHREC_FAULT"
"""Environment variable: a JSON file with the name, path and source of a module."""

LINES = "GRAPHREC_LINES"
"""Environment variable: a folder in which each process leaves the lines that it has run."""

PACKAGE = str(Path(__file__).parents[3] / "graphrec") + os.sep

Trace = Callable[[FrameType, str, object], "Trace | None"]


class Lines:
    """The lines of graphrec that were run, by file."""

    def __init__(self) -> None:
        self.seen: dict[str, set[int]] = {}
        self._locals: dict[CodeType, Trace | None] = {}

    def start(self) -> None:
        """Watch this thread and those that it starts."""
        threading.settrace(self._trace)
        sys.settrace(self._trace)

    @staticmethod
    def stop() -> None:
        """Watch no more."""
        threading.settrace(None)  # type: ignore[arg-type]
        sys.settrace(None)

    def taken(self) -> dict[str, str]:
        """Return the lines so far, as the bits of a number for each file, and start anew."""
        seen = {name: lines.copy() for name, lines in self.seen.items()}
        for lines in self.seen.values():
            lines.clear()
        return {
            name: hex(sum(1 << line for line in lines)) for name, lines in seen.items() if lines
        }

    def _trace(self, frame: FrameType, event: str, _: object) -> Trace | None:
        code = frame.f_code
        try:
            local = self._locals[code]
        except KeyError:
            local = self._locals[code] = self._local(code.co_filename)
        return None if local is None else local(frame, event, None)

    def _local(self, path: str) -> Trace | None:
        if not path.startswith(PACKAGE):
            return None
        add = self.seen.setdefault(path.removeprefix(PACKAGE), set()).add

        def local(frame: FrameType, _: str, __: object) -> Trace:
            add(frame.f_lineno)
            return local

        return local


class Planted(importlib.abc.MetaPathFinder):
    """Finds one module, whose source is another one."""

    def __init__(self, name: str, path: str, source: str) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(
        self, fullname: str, path: object, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find it, and no other."""
        if fullname != self.name:
            return None
        loader = _Loader(fullname, self.path)
        loader.changed = self.source
        return importlib.util.spec_from_file_location(fullname, self.path, loader=loader)


class _Loader(importlib.machinery.SourceFileLoader):
    changed = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.changed, self.path, "exec", dont_inherit=True)


def plant(name: str, path: str, source: str) -> None:
    """From now on, import a module from this source."""
    sys.meta_path.insert(0, Planted(name, path, source))


def from_environment() -> None:
    """Do in a child process what its parent wants."""
    if FAULT in os.environ:
        plant(**json.loads(Path(os.environ[FAULT]).read_text(encoding="utf-8")))
    if LINES in os.environ:
        lines, folder = Lines(), Path(os.environ[LINES])
        lines.start()

        def leave() -> None:
            lines.stop()
            if folder.is_dir():
                path = folder / f"{os.getpid()}.json"
                path.write_text(json.dumps(lines.taken()), encoding="utf-8")

        atexit.register(leave)
