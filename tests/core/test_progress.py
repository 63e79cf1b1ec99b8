"""Progress: silent by default, plain lines in a file, and the log of a run."""

import io
import json
import logging
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from graphrec.cli.console import BarReporter, PlainReporter, _reporter, showing
from graphrec.core.progress import EPOCHS, Reporter, reporting, step, track
from graphrec.experiment.log import RunLog


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def start(self, description: str, total: int | None) -> int:
        self.calls.append(("start", description, total))
        return 7

    def update(self, handle: int, done: int, note: str) -> None:
        self.calls.append(("update", handle, done, note))

    def finish(self, handle: int) -> None:
        self.calls.append(("finish", handle))


def test_steps_report_what_is_done() -> None:
    recorder = Recorder()
    with reporting(recorder), step("Training", 10, done=4) as opened:
        opened.advance()
        opened.advance(2, "loss 0.5")
    assert recorder.calls == [
        ("start", "Training", 10),
        ("update", 7, 4, ""),
        ("update", 7, 5, ""),
        ("update", 7, 7, "loss 0.5"),
        ("finish", 7),
    ]


def test_track_passes_the_items_on() -> None:
    recorder = Recorder()
    with reporting(recorder):
        assert list(track("abc", "Letters", 3)) == ["a", "b", "c"]
    assert [call[2] for call in recorder.calls if call[0] == "update"] == [0, 1, 2, 3]


def test_a_step_that_fails_is_closed() -> None:
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError), reporting(recorder), step("Training"):
        raise ZeroDivisionError
    assert recorder.calls[-1] == ("finish", 7)


def test_without_a_reporter_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2], "Numbers")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_reporter_ends_with_its_block() -> None:
    recorder = Recorder()
    with reporting(recorder):
        pass
    list(track([1], "Numbers"))
    assert recorder.calls == []


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[float]:
    """A clock that is set by hand, and a log that is read."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    caplog.set_level(logging.INFO, "graphrec")
    return clock


def test_the_plain_log_speaks_every_few_seconds(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    reporter = PlainReporter()
    handle = reporter.start("Training", 30)
    reporter.update(handle, 1, "early")
    now[0] += 6
    reporter.update(handle, 2, "loss 0.5")
    reporter.update(handle, 3, "too soon")
    reading = reporter.start("Reading", None)
    reporter.update(reading, 1, "just begun")
    now[0] += 6
    reporter.update(reading, 9, "")
    assert caplog.messages == ["Training: 2 of 30  loss 0.5", "Reading: 9"]


def test_the_plain_log_does_not_repeat_itself_while_others_work(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    reporter = PlainReporter()
    handle = reporter.start("Trials", 6)
    for done in (0, 0, 0, 1, 1):
        now[0] += 6
        reporter.update(handle, done, "")
    assert caplog.messages == ["Trials: 0 of 6", "Trials: 1 of 6"]


def test_a_file_gets_lines_and_a_terminal_gets_bars() -> None:
    kinds: list[type[Reporter]] = []
    for terminal in (False, True):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
        with showing(console):
            from graphrec.core.progress import _reporter

            kinds.append(type(_reporter.get()))
            with step("Training", 2) as opened:
                opened.advance(1, "loss 0.5")
            logging.getLogger("graphrec").info("a [bracketed] message")
        text = console.file.getvalue()
        assert ("\x1b[" in text) == terminal
        assert "a [bracketed] message" in re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert kinds == [PlainReporter, BarReporter]


@pytest.mark.parametrize("width", [60, 80])
def test_counts_and_time_left_are_never_cut(width: int) -> None:
    """A long note took their place: 99999/100... says nothing."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    with _reporter(console) as reporter:
        assert isinstance(reporter, BarReporter)
        note = "loss 0.6931  valid ndcg@20 0.1234 (best epoch 12)"
        reporter.update(reporter.start(EPOCHS, 100_000), 99_999, note)
        reporter.update(reporter.start("Ranking", 123_456), 123_455, "")
        reporter._progress.refresh()
    assert isinstance(console.file, io.StringIO)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())
    lines = text.replace("\r", "\n").split("\n")
    assert max(map(len, lines)) <= width
    assert any("99999/100000 -:--:--" in line for line in lines)
    assert any("123455/123456" in line for line in lines)


def test_a_name_of_several_lines_is_one_line_of_the_log() -> None:
    """A run name with a line feed could write lines of its own into the log."""
    console = Console(file=io.StringIO())
    with showing(console):
        logging.getLogger("graphrec").info("Run a\n12:00:00 forged \x1b[2J %s")
    assert isinstance(console.file, io.StringIO)
    (line,) = console.file.getvalue().splitlines()
    assert line.endswith(r"Run a\n12:00:00 forged \x1b[2J %s")


def test_showing_takes_its_handler_off_again() -> None:
    before = list(logging.getLogger("graphrec").handlers)
    with showing(Console(file=io.StringIO())):
        assert len(logging.getLogger("graphrec").handlers) == len(before) + 1
    assert logging.getLogger("graphrec").handlers == before


def test_the_log_is_kept_until_it_has_a_file_and_then_appended(tmp_path: Path) -> None:
    log = RunLog()
    log.event("start", "one", {"n": 1})
    log.write_to(tmp_path / "log.jsonl")
    log.event("next", "two")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["event"], line["message"], line.get("n")) for line in lines] == [
        ("start", "one", 1),
        ("next", "two", None),
    ]
    assert all(line["time"].endswith("+00:00") for line in lines)


def test_stages_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([1.0, 3.0, 10.0, 11.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    log = RunLog()
    for _ in range(2):
        with log.stage("fit"):
            pass
    assert log.seconds == {"fit": 3.5}


def test_a_short_step_does_not_silence_the_long_one_around_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Validation after each epoch must not take the log lines that show the loss."""
    now = [0.0]
    monkeypatch.setattr("graphrec.cli.console.time.monotonic", lambda: now[0])
    with (
        caplog.at_level("INFO", "graphrec"),
        reporting(PlainReporter()),
        step("Training", 3) as bar,
    ):
        for _ in range(3):
            now[0] += 3
            with step("Ranking", 10) as inner:
                now[0] += 1
                inner.advance(10)
            bar.advance(note="loss 0.5")
    assert [record.message for record in caplog.records] == ["Training: 2 of 3  loss 0.5"]
