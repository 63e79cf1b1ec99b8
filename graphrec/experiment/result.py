"""The record of a run: what was run on what, under which rules, and what came out."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graphrec.core.config import Json
from graphrec.core.errors import DataError
from graphrec.core.names import nearest
from graphrec.core.records import Record
from graphrec.core.run_folder import RunFolder

NEEDED: Mapping[str, tuple[str, ...]] = {
    "config": ("run", "model"),
    "fingerprints": ("dataset", "split", "features", "protocol"),
    "protocol": ("name",),
    "metrics": ("valid", "test"),
    "environment.versions": ("graphrec", "torch"),
    "environment.git": (),
}
"""Keys that every reader of a result relies on, by the table that holds them."""


@dataclass(frozen=True)
class Verdict:
    """A published number beside ours.

    Attributes:
        verdict: ``match`` (within the tolerance), ``above`` or ``below``.
    """

    metric: str
    published: float
    ours: float
    tolerance: float
    verdict: str


@dataclass(frozen=True)
class BetterBaseline:
    """A baseline that is better than the model.

    Attributes:
        part: what both were measured on: ``valid``, or ``test`` where there is no validation part.
        metric: the metric by which the protocol chooses.
        value: that of the baseline.
        model: that of the model.
    """

    name: str
    part: str
    metric: str
    value: float
    model: float

    def __str__(self) -> str:
        return (
            f"{self.name} is better than the model: {self.metric} {self.value:.4f} against "
            f"{self.model:.4f} on {self.part}"
        )


@dataclass(frozen=True)
class Example:
    """A user's training history and recommendations, by item title where there is one."""

    user: str
    history: list[str]
    recommended: list[str]


@dataclass(frozen=True)
class Result(Record):
    """All of ``result.json``. Field names are a stable surface.

    Attributes:
        fingerprints: of dataset, split, features, protocol and, where there are any,
            user_features; equal ones may share a table.
        metrics: ``valid``, ``test`` and the test items split into ``test_warm`` and ``test_cold``.
        num_users: users averaged, under the same keys.
        users_left_out: users of the data set who have no item in ``valid`` or ``test`` and so are
            not measured there.
        selection: rule that chose the epoch; ``best_test_epoch`` marks an optimistic number,
            ``none`` a closed-form model, which has no epochs.
        continued: each change of limits or machine with which training went on, in order.
        test_openings: every reason for which the sealed test part was opened, in order.
        baselines: test metrics of the models run beside this one.
        better_baselines: those of them that are better than the model on the metric by which the
            protocol chooses, the best one first.
    """

    content = "result of a run"
    readable = (1, 2)
    """Before 2, ``config_hash`` was one of paths and machine, too."""

    name: str
    model: str
    dataset: str
    config: dict[str, Json]
    config_hash: str
    fingerprints: dict[str, str]
    protocol: dict[str, Json]
    statistics: dict[str, float]
    steps: list[dict[str, Json]]
    seed: int
    device: str
    backend: str
    selection: str
    best_epoch: int
    epochs: int
    stopped: str
    metrics: dict[str, dict[str, float]]
    num_users: dict[str, int]
    test_openings: list[str]
    history: list[dict[str, float]]
    seconds: dict[str, float]
    peak_bytes: int
    num_parameters: int
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    better_baselines: list[BetterBaseline] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    users_left_out: dict[str, int] = field(default_factory=dict)
    environment: dict[str, Json] = field(default_factory=dict)
    continued: list[str] = field(default_factory=list)
    schema_version: int = 2

    @classmethod
    def lacks(cls, content: dict[str, Json]) -> str:
        """Say which key is missing that every result has; empty if none is."""
        for where, keys in {**NEEDED, "metrics.test": ()}.items():
            table: Json = dict(content)
            for name in where.split("."):
                table = table.get(name) if isinstance(table, dict) else None
            if not isinstance(table, dict):
                return f"{where} is no table"
            for key in keys:
                if key not in table:
                    return f"{where} has no {key!r}"
        return "" if table else "it has no test metric"


def require_measured(published: Iterable[str], measured: Collection[str]) -> None:
    """Raise DataError unless every published metric is among the measured ones."""
    for metric in published:
        if metric not in measured:
            raise DataError(
                f"[published] has {metric!r}, which this run does not measure."
                f"{nearest(metric, measured)} Add it to evaluation.metrics or evaluation.top_k."
            )


def compare(
    published: dict[str, float], tolerance: dict[str, float], ours: dict[str, float]
) -> list[Verdict]:
    """Put every published test metric beside ours; the default tolerance is 0.00005.

    Raises:
        DataError: a published metric was not measured.
    """
    require_measured(published, ours)
    verdicts = []
    for metric, expected in published.items():
        allowed = tolerance.get(metric, 5e-5)
        difference = ours[metric] - expected
        word = "match" if abs(difference) <= allowed else "above" if difference > 0 else "below"
        verdicts.append(Verdict(metric, expected, ours[metric], allowed, word))
    return verdicts


def read_result(run_dir: Path | str) -> Result:
    """Read the result of a finished run.

    Raises:
        DataError: the run is not finished, or was written by a newer graphrec.
    """
    try:
        return Result.read(RunFolder(run_dir).result, "Run again in another folder.")
    except FileNotFoundError as error:
        raise DataError(
            f"{run_dir} holds no result.json: it is no run folder, or the run is not finished "
            f"(finish it with graphrec run CONFIG --out {run_dir} --resume)."
        ) from error


def openings_of(results: Iterable[Iterable[Result]]) -> list[str]:
    """Every reason for which a study opened the test part, as the run that came last has them."""
    return max((each.test_openings for runs in results for each in runs), key=len, default=[])
