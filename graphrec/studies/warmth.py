"""Compare the variants of a study on warm and on cold test items separately."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl

from graphrec.core.errors import DataError
from graphrec.core.run_folder import RunFolder
from graphrec.evaluation.significance import Comparison, Values, compare, holm
from graphrec.studies.record import ItemGroup, Row, VariantsResult, row_of

GROUPS = ("warm", "cold")
"""Test items with interactions in train, and test items without."""

Pairs = dict[tuple[str, str], Comparison]


def groups_of(result: VariantsResult, out: Path) -> dict[str, ItemGroup]:
    """Compare the variants of a study on warm and on cold test items, if there are cold ones.

    The lists are those of the whole study. Only items of the group count as relevant, and only
    users with such an item count. p-values are adjusted over the comparisons of both groups
    together. A group of fewer than two users is left out.

    Raises:
        DataError: a run was written by a version that did not measure cold items separately.
    """
    values = {}
    for name in GROUPS:
        by_folder = {
            row.folder: _values(result, row, name, out) for row in result.rows if row.folder
        }
        known = {folder: figures for folder, figures in by_folder.items() if figures is not None}
        if known and len(known) < len(by_folder):
            missing = next(folder for folder in by_folder if folder not in known)
            raise DataError(
                f"{out / missing}-seed{result.seeds[0]}/per_user.parquet does not tell cold items "
                f"apart as other runs of the study do. Remove the folders {missing}-seed* to train "
                f"them again."
            )
        if known and next(iter(known.values())).shape[1] > 1:
            values[name] = known
    pairs = {name: _compared(result, by_folder) for name, by_folder in values.items()}
    adjusted = iter(holm([each.p for each in chain(*(found.values() for found in pairs.values()))]))
    p_values = {name: dict(zip(found, adjusted, strict=False)) for name, found in pairs.items()}
    return {
        name: ItemGroup(
            users=next(iter(by_folder.values())).shape[1],
            rows=[_row(result, row, by_folder, pairs[name], p_values[name]) for row in result.rows],
        )
        for name, by_folder in values.items()
    }


def _values(result: VariantsResult, row: Row, group: str, out: Path) -> Values | None:
    """Return the metric of users with items of the group, ``[seeds, users]``; None if unknown."""
    column = f"{result.metric} {group}"
    values = []
    for seed in result.seeds:
        table = pl.read_parquet(RunFolder(out / f"{row.folder}-seed{seed}").per_user, glob=False)
        if column not in table.columns:
            return None
        values.append(table[column].drop_nulls().to_numpy())
    return np.stack(values)


def _compared_with(result: VariantsResult) -> dict[str, tuple[str, str]]:
    """Return, by label, the folder of each compared row and the folder it is compared with."""
    folders = {row.label: row.folder for row in result.rows}
    return {
        row.label: (row.folder, folders[row.against])
        for row in result.rows
        if row.against is not None
    }


def _compared(result: VariantsResult, values: Mapping[str, Values]) -> Pairs:
    """Compare each pair of run folders once."""
    pairs = dict.fromkeys(_compared_with(result).values())
    return {(ours, theirs): compare(values[ours], values[theirs]) for ours, theirs in pairs}


def _row(
    result: VariantsResult,
    row: Row,
    values: Mapping[str, Values],
    pairs: Pairs,
    p_values: Mapping[tuple[str, str], float],
) -> Row:
    """Return the row of the same variant, measured on the group."""
    if not row.folder:
        return row
    pair = _compared_with(result).get(row.label)
    against = None
    if pair is not None and row.against is not None:
        against = (row.against, pairs[pair], p_values[pair])
    means = [float(mean) for mean in values[row.folder].mean(axis=1)]
    return row_of(row.label, row.attributes, row.folder, means, against)
