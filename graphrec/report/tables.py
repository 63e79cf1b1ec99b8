"""Results -> one table; rows of different protocol or split are refused."""

import csv
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import polars as pl

from graphrec.config import build_config
from graphrec.config.identity import experiment_identity, file_paths
from graphrec.core.config import Json
from graphrec.core.errors import ConfigError, DataError
from graphrec.core.escaping import csv_cell, latex, markdown
from graphrec.core.files import write_bytes
from graphrec.experiment.comparable import label
from graphrec.experiment.result import Result

FINGERPRINTS = {"data": "dataset", "split": "split", "features": "features", "protocol": "protocol"}
"""Columns of a results file, and the fingerprint of a run that stands in each."""

RUN_KEY = ("config_hash", *FINGERPRINTS)
"""Columns of a results file that identify a run."""


@dataclass(frozen=True)
class Row:
    """One configuration: mean and standard deviation over its seeds.

    Attributes:
        folders: of the runs, as they were given.
    """

    name: str
    seeds: int
    mean: dict[str, float]
    deviation: dict[str, float]
    model: str = ""
    folders: list[str] = field(default_factory=list)


def group(
    results: Sequence[Result], metrics: Sequence[str], folders: Sequence[str] = ()
) -> list[Row]:
    """Average the seeds of each configuration, in order of first appearance.

    Args:
        folders: of the results; they tell configurations of one name apart.

    Raises:
        DataError: a metric is missing from a result.
    """
    groups: dict[tuple[str, ...], list[Result]] = {}
    given: dict[tuple[str, ...], list[str]] = {}
    for result, folder in zip_longest(results, folders):
        key = _without_seed(result)
        groups.setdefault(key, []).append(result)
        given.setdefault(key, []).extend([folder] if folder else [])
    rows = []
    for key, members in groups.items():
        values = {name: [_test_metric(member, name) for member in members] for name in metrics}
        rows.append(
            Row(
                name=label(members[0]),
                seeds=len({member.seed for member in members}),
                mean={name: statistics.fmean(found) for name, found in values.items()},
                deviation={
                    name: statistics.stdev(found) if len(found) > 1 else 0.0
                    for name, found in values.items()
                },
                model=members[0].model,
                folders=given[key],
            )
        )
    return rows


def _without_seed(result: Result) -> tuple[str, ...]:
    """What the runs of a row share: label, settings and data, wherever each of them was run.

    A control draws other content for each seed, so that the files of the content stand for it.
    """
    prints = dict(result.fingerprints)
    try:
        config = build_config(result.config)
    except ConfigError:  # of another version, or with a class that is not installed here
        return label(result), json.dumps([result.config | {"run": None}, prints], sort_keys=True)
    run = config.run.model_copy(update={"seed": 0})
    identity = experiment_identity(config.model_copy(update={"run": run}))
    if config.controls:
        prints["features"] = str(file_paths(config))
    return label(result), identity, json.dumps(prints, sort_keys=True)


def _test_metric(result: Result, name: str) -> float:
    try:
        return result.metrics["test"][name]
    except KeyError as error:
        known = ", ".join(sorted(result.metrics["test"]))
        raise DataError(f"{label(result)} has no test metric {name!r}. It has: {known}.") from error


def cells(rows: Sequence[Row], metrics: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Header and text of a table: four digits, and the deviation where there are seeds."""
    header = ["model", "seeds", *metrics]
    body = []
    for row, name in zip(rows, _distinct(rows), strict=True):
        figures = [spread((row.mean[each], row.deviation[each]), row.seeds) for each in metrics]
        body.append([name, str(row.seeds), *figures])
    return header, body


def _distinct(rows: Sequence[Row]) -> list[str]:
    """The names of the rows; where they are the same, with the models or else the folders."""
    names = []
    for row in rows:
        namesakes = [other.model for other in rows if other.name == row.name and other is not row]
        facts = [row.model] if any(model != row.model for model in namesakes) else []
        facts += row.folders if row.model in namesakes else []
        names.append(f"{row.name} ({', '.join(facts)})" if facts else row.name)
    return names


def spread(measured: Sequence[float], seeds: int) -> str:
    """Mean and standard deviation in four digits; one seed has no deviation."""
    return " ± ".join(f"{value:.4f}" for value in measured[: min(seeds, 2)])


def to_markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table; names are shown as they are, whatever they hold."""
    head, *rows = ([markdown(cell) for cell in line] for line in (header, *body))
    lines = [head, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def to_latex(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A LaTeX tabular with booktabs rules; names are printed as they are."""

    def line(values: Sequence[str]) -> str:
        return " & ".join(map(latex, values)) + r" \\"

    columns = "l" + "r" * (len(header) - 1)
    rows = [r"\begin{tabular}{" + columns + "}", r"\toprule", line(header), r"\midrule"]
    return "\n".join([*rows, *map(line, body), r"\bottomrule", r"\end{tabular}"])


def to_csv(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Comma-separated values, in which a spreadsheet finds no formula."""
    buffer = io.StringIO()
    lines = ([csv_cell(cell) for cell in line] for line in (header, *body))
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue().rstrip("\n")


def table_csv(table: pl.DataFrame) -> bytes:
    """A table as comma-separated values; numbers are left as they are."""
    cells = pl.col(pl.String).map_elements(csv_cell, return_dtype=pl.String)
    buffer = io.BytesIO()
    table.with_columns(cells).rename(csv_cell).write_csv(buffer)
    return buffer.getvalue()


def append_csv(path: Path, results: Sequence[Result]) -> int:
    """Add one line per run to a results file, unless the same run stands there; return how many.

    Metrics are written to six digits. A file keeps the columns it was started with.

    Raises:
        DataError: a result lacks a column of the file, or the file cannot be written.
    """
    return append_records(path, [_record(result) for result in results], RUN_KEY)


def append_records(path: Path, records: Sequence[dict[str, str]], key: Sequence[str]) -> int:
    """Add lines to a CSV file, unless one of the same key stands there; return how many.

    Raises:
        DataError: a record lacks a column of the file, or the file cannot be written.
    """
    records = [{name: csv_cell(cell) for name, cell in record.items()} for record in records]
    columns = list(dict.fromkeys(name for record in records for name in record))
    lines: list[dict[str, str]] = []
    if path.exists():
        lines, columns = _read_csv(path, columns, key)

    def key_of(line: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(csv_cell(line[name]) for name in key)  # older files have names as they are

    fresh = {key_of(record): record for record in records}
    for line in lines:
        fresh.pop(key_of(line), None)
    for record in fresh.values():
        strange = set(record) ^ set(columns)
        if strange:
            raise DataError(
                f"{path} and the run {record['name']} differ in the columns "
                f"{', '.join(sorted(strange))}. Write runs with other metrics to another file."
            )
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*lines, *fresh.values()])
    write_bytes(path, buffer.getvalue().encode())
    return len(fresh)


def _read_csv(
    path: Path, columns: list[str], key: Sequence[str]
) -> tuple[list[dict[str, str]], list[str]]:
    """Lines and columns of a results file; ``columns`` where it is empty."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            lines, columns = list(reader), list(reader.fieldnames or columns)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a results file: {error}.") from error
    if any(None in line or None in line.values() for line in lines):
        raise DataError(f"{path} has a line whose fields do not fit its header. Repair it.")
    missing = [name for name in key if name not in columns]
    if missing:
        raise DataError(
            f"{path} is no results file: it has no column {', '.join(missing)}. Append to another."
        )
    return lines, columns


def identity_columns(config: str, runs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Hash of a configuration, and fingerprints of the runs under it: 16 digits of each.

    Runs of a control have other features for each seed: their fingerprints stand side by side.
    """
    found = {"config_hash": config[:16]}
    for column, key in FINGERPRINTS.items():
        found[column] = " ".join(dict.fromkeys(fingerprints[key][:16] for fingerprints in runs))
    return found


def version_columns(environment: Mapping[str, Json]) -> dict[str, str]:
    """Return the versions of graphrec and torch, and the commit, with a + if it was changed."""
    versions, git = environment["versions"], environment["git"]
    assert isinstance(versions, dict)
    assert isinstance(git, dict)
    return {
        "graphrec": str(versions["graphrec"]),
        "torch": str(versions["torch"]),
        "commit": str(git.get("commit", ""))[:12] + ("+" if git.get("dirty") else ""),
    }


def _record(result: Result) -> dict[str, str]:
    published = {verdict.metric: verdict for verdict in result.verdicts}
    judged = " ".join(f"{name}:{verdict.verdict}" for name, verdict in published.items())
    expected = " ".join(f"{name}:{verdict.published:g}" for name, verdict in published.items())
    return {
        "name": result.name,
        "dataset": result.dataset,
        "model": result.model,
        "seed": str(result.seed),
        "selection": result.selection,
        "best_epoch": str(result.best_epoch),
        **{f"test {name}": f"{value:.6f}" for name, value in result.metrics["test"].items()},
        **{f"valid {name}": f"{value:.6f}" for name, value in result.metrics["valid"].items()},
        "published": expected,
        "verdict": judged,
        **identity_columns(experiment_identity(build_config(result.config)), [result.fingerprints]),
        "fit_seconds": f"{result.seconds['fit']:.1f}",
        "device": result.device,
        "backend": result.backend,
        **version_columns(result.environment),
    }
