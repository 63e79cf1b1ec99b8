"""Keep the log of a run: ``log.jsonl`` for scripts, the ``graphrec`` logger for people."""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from graphrec.core import progress
from graphrec.core.config import Json
from graphrec.core.errors import DataError
from graphrec.data import Dataset
from graphrec.data.dataset import Step
from graphrec.models.config import ModelConfig

logger = logging.getLogger("graphrec")

EPOCH = "epoch"
"""Kind of the event at the end of an epoch; a terminal shows a bar instead of its line."""


def read_events(path: Path | None) -> list[dict[str, Json]]:
    """Return the events of a log file, or none without a file; leave out a line cut by a kill.

    Raises:
        DataError: the log cannot be read.
    """
    if path is None or not path.exists():
        return []
    events = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    for line in lines:
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict):
                events.append(event)
    return events


def openings_in(path: Path | None) -> list[str]:
    """Return every reason for which the test part was opened, in order, from a log file."""
    events = (event for event in read_events(path) if event.get("event") == "test_opened")
    return [str(event.get("reason")) for event in events]


class RunLog:
    """Log of one JSON object per event, kept until ``write_to`` names a file; times the stages."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self._epochs: set[tuple[Json, Json]] = set()
        self._kept = ""
        self.seconds: dict[str, float] = {}

    def write_to(self, path: Path) -> None:
        """Append the events so far, and from now on each new event, to ``path``.

        An epoch that is in the file already, because it was trained after the last checkpoint
        before a kill, is not recorded again.

        Raises:
            DataError: the log cannot be written.
        """
        self.path = path
        epochs = (event for event in read_events(path) if event.get("event") == EPOCH)
        self._epochs |= {_model_and_epoch(event) for event in epochs}
        before = path.read_bytes() if path.exists() else b""
        if before and not before.endswith(b"\n"):
            self._kept = "\n" + self._kept  # a kill has cut the last line
        self._append("")

    def event(self, kind: str, message: str, details: Mapping[str, Json] | None = None) -> None:
        """Record an event.

        Raises:
            DataError: the log cannot be written.
        """
        logger.info(message, extra={"event": kind})
        record = {"time": datetime.now(UTC).isoformat(), "event": kind, "message": message}
        self._append(json.dumps(record | dict(details or {})) + "\n")

    def _append(self, line: str) -> None:
        self._kept += line
        if self.path is None:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(self._kept)
            self._kept = ""
        except OSError as error:
            raise DataError(
                f"Cannot write {self.path}: {error.strerror}. Free some space or choose a "
                f"writable folder with --out."
            ) from error

    def steps(self, steps: tuple[Step, ...]) -> None:
        """Record the cleaning steps that changed the number of rows."""
        for step in steps:
            dropped = step.rows_in - step.rows_out
            if not dropped:
                continue
            message = f"{step.name}: {step.rows_in:,} -> {step.rows_out:,} rows"
            note = f" ({step.note})" if step.note else ""
            details: dict[str, Json] = {
                "step": step.name,
                "rows_in": step.rows_in,
                "rows_out": step.rows_out,
                "dropped": dropped,
                "note": step.note,
            }
            self.event("clean", message + note, details)

    def epoch(self, model: str, line: str, record: Mapping[str, float]) -> None:
        """Report the end of an epoch to people, and record it once.

        Raises:
            DataError: the log cannot be written.
        """
        details: dict[str, Json] = {"model": model, **record}
        if _model_and_epoch(details) in self._epochs:
            logger.info(f"{model}, {line}", extra={"event": EPOCH})
        else:
            self.event(EPOCH, f"{model}, {line}", details)

    def weights(self, dataset: Dataset, config: ModelConfig) -> None:
        """Record whether the model uses the weights of the interactions, if there are any."""
        if dataset.interactions.weights is None:
            return
        used = bool(getattr(config, "use_weights", False))
        message = (
            f"Weights: {config.name} reads them (model.use_weights); baselines do not"
            if used
            else "Weights: every row counts as a positive, whatever its weight; "
            "data.clean.min_weight drops low ones, and ease, itemknn and mf read them with "
            "model.use_weights"
        )
        self.event("weights", message, {"used": used})

    def warning(self, message: str) -> None:
        """Record a warning that a module has already shown to people."""
        record = {"time": datetime.now(UTC).isoformat(), "event": "warning", "message": message}
        self._append(json.dumps(record) + "\n")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage for the result, and record the warnings of all modules in the log."""
        started = time.perf_counter()
        handler = _Warnings(self)
        logger.addHandler(handler)
        try:
            with progress.step(name.capitalize()):
                yield
        finally:
            logger.removeHandler(handler)
        elapsed = time.perf_counter() - started
        self.seconds[name] = self.seconds.get(name, 0.0) + elapsed
        self.event("stage", f"{name} done in {elapsed:.1f} s", {"stage": name, "seconds": elapsed})


def _model_and_epoch(event: Mapping[str, Json]) -> tuple[Json, Json]:
    return event.get("model"), event.get("epoch")


class _Warnings(logging.Handler):
    """Handler that records each warning in the log of the run."""

    def __init__(self, log: RunLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Record the message of one warning."""
        self._log.warning(record.getMessage())
