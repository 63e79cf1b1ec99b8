"""Name the files in the folder of a run or a study."""

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
        """Return the path of the resolved configuration."""
        return self.path / "config.json"

    @property
    def log(self) -> Path:
        """Return the path of the log, with one JSON object per event."""
        return self.path / "log.jsonl"

    @property
    def checkpoint(self) -> Path:
        """Return the path of the best weights; during training it holds all to resume it."""
        return self.path / "checkpoint.safetensors"

    @property
    def last(self) -> Path:
        """Return the path of the state after the last epoch, to resume a finished run."""
        return self.path / "last.safetensors"

    @property
    def result(self) -> Path:
        """Return the path of the record of a run, which is written last."""
        return self.path / "result.json"

    @property
    def per_user(self) -> Path:
        """Return the path of the test metrics of every measured user."""
        return self.path / "per_user.parquet"

    @property
    def recommendations(self) -> Path:
        """Return the path of the lists of all users."""
        return self.path / "recommendations.parquet"

    @property
    def study(self) -> Path:
        """Return the path of the record of a search."""
        return self.path / "study.json"
