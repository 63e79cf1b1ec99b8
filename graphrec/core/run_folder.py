"""The names of the files in the folder of a run or a study, spelled once."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Paths of the files in one folder; none of them need exist."""

    path: Path

    def __init__(self, path: Path | str) -> None:
        object.__setattr__(self, "path", Path(path))

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.json"

    @property
    def log(self) -> Path:
        """One JSON object per event."""
        return self.path / "log.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The best weights; while training goes on, all that is needed to resume it."""
        return self.path / "checkpoint.safetensors"

    @property
    def last(self) -> Path:
        """The state after the last epoch, from which a finished run goes on with more epochs."""
        return self.path / "last.safetensors"

    @property
    def result(self) -> Path:
        """The record of a run, written last."""
        return self.path / "result.json"

    @property
    def per_user(self) -> Path:
        """Test metrics of every measured user."""
        return self.path / "per_user.parquet"

    @property
    def recommendations(self) -> Path:
        """The lists of all users."""
        return self.path / "recommendations.parquet"

    @property
    def study(self) -> Path:
        """The record of a search."""
        return self.path / "study.json"
