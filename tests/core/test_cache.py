"""One folder for all that other runs can use again."""

from pathlib import Path

import pytest

from graphrec.core.cache import cache_folder


def test_the_variable_names_the_folder_and_without_it_the_working_folder_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRAPHREC_CACHE", raising=False)
    assert cache_folder("graphs") == Path("data/processed/graphs")
    monkeypatch.setenv("GRAPHREC_CACHE", str(tmp_path))
    assert cache_folder("features") == tmp_path / "features"
