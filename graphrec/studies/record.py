"""What a study of variants leaves: ``<study>.json``, ``<study>.csv``, lines of a results file."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from graphrec.core.config import Json
from graphrec.core.files import write_bytes
from graphrec.core.records import Record
from graphrec.evaluation.significance import Comparison
from graphrec.report.tables import (
    RUN_KEY,
    append_records,
    identity_columns,
    spread,
    table_csv,
    version_columns,
)

ALPHA = 0.05
"""Of adjusted p-values; intervals are of 95%."""


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
        attributes: what tells it from the others: for ``modality`` modality and change, for
            ``missing`` mechanism, modality, rate and strategy.
        folder: start of the names of its run folders.
        values: the metric on test, one per seed; mean and deviation of them.
        against: label of the variant it is compared with; difference: this one minus that one,
            with the interval low to high; p: of the test over users, adjusted by Holm's method
            over all comparisons of the study.
        skipped: why it was not trained.
        config_hash: of its settings, under the seed of the configuration; fingerprints: of each of
            its runs. A variant that was skipped has those of the first one, as far as it has none.
    """

    label: str
    attributes: dict[str, Json]
    folder: str = ""
    values: list[float] = field(default_factory=list)
    mean: float | None = None
    deviation: float | None = None
    against: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    skipped: str = ""
    config_hash: str = ""
    fingerprints: list[dict[str, str]] = field(default_factory=list)

    @property
    def better(self) -> bool:
        """Better than ``against`` by test and interval."""
        return self.p is not None and self.low is not None and self.p < ALPHA and self.low > 0

    @property
    def worse(self) -> bool:
        """Worse than ``against`` by test and interval."""
        return self.p is not None and self.high is not None and self.p < ALPHA and self.high < 0


@dataclass(frozen=True)
class Verdict:
    """What a study says of one modality.

    Attributes:
        verdict: helps, does not help, hurts, or not judged.
        sentence: the same with its figures.
        items: the test items that it is about: all, warm or cold.
    """

    modality: str
    verdict: str
    sentence: str
    items: str = "all"


@dataclass(frozen=True)
class ItemGroup:
    """The variants, measured on some of the test items.

    Attributes:
        users: those with such an item, who are averaged.
        rows: in the order of the study's.
    """

    users: int
    rows: list[Row]


@dataclass(frozen=True)
class VariantsResult(Record):
    """All of ``<study>.json``. Field names are a stable surface.

    Attributes:
        study: ``modality`` or ``missing``.
        metric: what rows measure, on test.
        seeds: of every variant.
        users: how many are averaged.
        fingerprints: of data set, split and protocol, which all variants share.
        test_openings: every reason for which the test part was opened.
        groups: where test items are cold, the same for ``warm`` and ``cold`` ones (modality only);
            verdicts are then of these.
    """

    content = "study of variants"
    readable = (2,)

    study: str
    name: str
    model: str
    dataset: str
    metric: str
    seeds: list[int]
    users: int
    rows: list[Row]
    fingerprints: dict[str, str]
    environment: dict[str, Json]
    verdicts: list[Verdict] = field(default_factory=list)
    test_openings: list[str] = field(default_factory=list)
    groups: dict[str, ItemGroup] = field(default_factory=dict)
    schema_version: int = 2


def row_of(
    label: str,
    attributes: Mapping[str, Json],
    folder: str,
    values: Sequence[float],
    against: tuple[str, Comparison, float] | None,
) -> Row:
    """Make the row of a trained variant; ``against``: label, comparison and adjusted p."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    row = Row(label, dict(attributes), folder, list(values), statistics.fmean(values), deviation)
    if against is None:
        return row
    other, found, p = against
    return replace(
        row, against=other, difference=found.difference, low=found.low, high=found.high, p=p
    )


def write_result(out: Path, result: VariantsResult) -> None:
    """Write ``<study>.json`` and ``<study>.csv``."""
    result.write(out / f"{result.study}.json")
    parts = {"all": result.rows} | {name: each.rows for name, each in result.groups.items()}
    table = pl.DataFrame(
        [
            {"label": row.label, **row.attributes, "items": items}
            | {**_figures(row), "skipped": row.skipped}
            for items, rows in parts.items()
            for row in rows
        ],
        infer_schema_length=None,
    )
    write_bytes(out / f"{result.study}.csv", table_csv(table))


def _figures(row: Row) -> dict[str, float | str | None]:
    return {
        "mean": row.mean,
        "deviation": row.deviation,
        "against": row.against,
        "difference": row.difference,
        "low": row.low,
        "high": row.high,
        "p": row.p,
    }


def tables(result: VariantsResult) -> dict[str, VariantsResult]:
    """Return the study by title of its tables: of all items, and of each group of items."""
    found = {f"{result.users:,} users": result}
    for name, each in result.groups.items():
        title = f"{name} items, {each.users:,} users"
        found[title] = replace(result, rows=each.rows, users=each.users)
    return found


def cells(result: VariantsResult) -> tuple[list[str], list[list[str]]]:
    """Header and text of the table of variants; reasons are told by ``reasons``."""
    compared_with = {row.against for row in result.rows if row.against}
    one = len(compared_with) == 1
    against = (
        [f"difference to {next(iter(compared_with))}"] if one else ["compared with", "difference"]
    )
    header = ["variant", result.metric, *against, "95% interval", "adjusted p"]
    rows = [_shown(row) for row in result.rows]
    return header, [each[:2] + each[3:] if one else each for each in rows]


def _shown(row: Row) -> list[str]:
    if row.mean is None:
        return [row.label, "skipped", "", "", "", ""]
    shown = [row.label, spread((row.mean, row.deviation or 0.0), len(row.values))]
    if row.difference is None:
        return [*shown, "", "", "", ""]
    interval = f"[{row.low:+.4f}, {row.high:+.4f}]"
    return [*shown, row.against or "", f"{row.difference:+.4f}", interval, f"{row.p:.2g}"]


def reasons(result: VariantsResult) -> list[str]:
    """One line for each reason, with the variants that were skipped for it."""
    found: dict[str, list[str]] = {}
    for row in result.rows:
        if row.skipped:
            found.setdefault(row.skipped, []).append(row.label)
    return [f"Skipped {', '.join(labels)}: {reason}" for reason, labels in found.items()]


KEY = (
    "study", "name", "variant", "metric", "seeds", *RUN_KEY, "commit",
)  # fmt: skip
"""Columns of a results file that identify a row."""


def append_rows(path: Path, result: VariantsResult) -> int:
    """Add a line per variant to a results file, unless it stands there; return how many.

    Raises:
        DataError: the file has other columns, or cannot be written.
    """
    return append_records(path, [_line(result, row) for row in result.rows], KEY)


def _line(result: VariantsResult, row: Row) -> dict[str, str]:
    figures = {
        name: f"{value:.6g}" if isinstance(value, float) else value or ""
        for name, value in _figures(row).items()
    }
    return {
        "study": result.study,
        "name": result.name,
        "dataset": result.dataset,
        "model": result.model,
        "variant": row.label,
        "metric": result.metric,
        "seeds": " ".join(map(str, result.seeds)),
        **figures,
        "skipped": row.skipped,
        **identity_columns(row.config_hash, row.fingerprints),
        **version_columns(result.environment),
    }
