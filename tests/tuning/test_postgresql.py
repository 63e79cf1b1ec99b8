"""A database server as the storage of a study, where there is one to start."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from graphrec import DataError, tune
from graphrec.tuning import objective as objective_module
from graphrec.tuning import search as search_module
from tests.tuning import small

SERVER = shutil.which("postgres")

pytestmark = pytest.mark.skipif(SERVER is None, reason="no PostgreSQL server on this machine")


AS_SERVER = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
CONTROL = [*AS_SERVER, "pg_ctl"]


class Server(NamedTuple):
    """A server of our own."""

    data: Path
    url: str

    def stop(self) -> None:
        stop = [*CONTROL, "-D", str(self.data), "-m", "immediate", "stop"]
        subprocess.run(stop, check=False, capture_output=True)


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = Path("/tmp") / f"graphrec-pg-{os.getpid()}"  # the server's user must reach it
    try:
        made = [*AS_SERVER, "initdb", "-D", str(data), "-A", "trust", "-U", "tester"]
        if subprocess.run(made, capture_output=True, check=False).returncode:
            pytest.skip("PostgreSQL cannot make a database here")
        start = [*CONTROL, "-D", str(data), "-w", "-o", f"-p {port} -k /tmp", "start"]
        subprocess.run(start, stdout=subprocess.DEVNULL, check=True)
        yield Server(data, f"postgresql://tester@127.0.0.1:{port}/postgres")
    finally:
        Server(data, "").stop()
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(autouse=True)
def _without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "write_report", lambda *_: None)


def test_a_study_on_a_database_server(server: Server, tmp_path: Path) -> None:
    config = small.config_of("tune.final_seeds=0")
    result = tune(config, tmp_path / "study", workers=2, storage=server.url)
    assert result.trials == {"complete": 4, "pruned": 0, "failed": 0, "lost": 0}
    again = tune(config, tmp_path / "study", storage=server.url)
    assert again.trials == result.trials


def test_a_server_that_goes_away_is_one_sentence(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = objective_module.fit_model, 0

    def stop_at_the_second(*given: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            server.stop()
        return real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(objective_module, "fit_model", stop_at_the_second)
    with pytest.raises(DataError, match=r"postgresql://.*cannot be used.*same command goes on"):
        tune(small.config_of(), tmp_path / "study", storage=server.url)
