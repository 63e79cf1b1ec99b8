"""A database server as the storage of a study, where there is one to start."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphrec import tune
from graphrec.tuning import search as search_module
from tests.tuning import small

SERVER = shutil.which("postgres")

pytestmark = pytest.mark.skipif(SERVER is None, reason="no PostgreSQL server on this machine")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh server of our own."""
    pytest.importorskip("psycopg")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = Path("/tmp") / f"graphrec-pg-{os.getpid()}"  # the server's user must reach it
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    try:
        made = [*user, "initdb", "-D", str(data), "-A", "trust", "-U", "tester"]
        if subprocess.run(made, capture_output=True, check=False).returncode:
            pytest.skip("PostgreSQL cannot make a database here")
        start = [*user, "pg_ctl", "-D", str(data), "-w", "-o", f"-p {port} -k /tmp", "start"]
        subprocess.run(start, stdout=subprocess.DEVNULL, check=True)
        yield f"postgresql://tester@127.0.0.1:{port}/postgres"
        subprocess.run([*user, "pg_ctl", "-D", str(data), "-m", "immediate", "stop"], check=False,
                       stdout=subprocess.DEVNULL)  # fmt: skip
    finally:
        shutil.rmtree(data, ignore_errors=True)


def test_a_study_on_a_database_server(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "write_report", lambda *_: None)
    config = small.config_of("tune.final_seeds=0")
    result = tune(config, tmp_path / "study", workers=2, storage=server)
    assert result.trials == {"complete": 4, "pruned": 0, "failed": 0, "lost": 0}
    again = tune(config, tmp_path / "study", storage=server)
    assert again.trials == result.trials
