"""A study on warm and on cold test items apart: cold ones tell nothing of a gain on warm ones."""

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
"""Test items with interactions in train, and those without."""

Pairs = dict[tuple[str, str], Comparison]


def groups_of(result: VariantsResult, out: Path) -> dict[str, ItemGroup]:
    """Compare the variants of a study on warm and on cold test items, if there are cold ones.

    Lists are those of the whole study; only items of the group count as relevant, and only users
    with such an item. p-values are adjusted over the comparisons of both groups together. A group
    of fewer than two users is left out.

    Raises:
        DataError: a run was written by a version that did not tell cold items apart.
    """
    values = {}
    for name in GROUPS:
        found = {row.folder: _values(result, row, name, out) for row in result.rows if row.folder}
        known = {folder: each for folder, each in found.items() if each is not None}
        if known and len(known) < len(found):
            missing = next(folder for folder in found if folder not in known)
            raise DataError(
                f"{out / missing}-seed{result.seeds[0]}/per_user.parquet does not tell cold items "
                f"apart as other runs of the study do. Remove the folders {missing}-seed* to train "
                f"them again."
            )
        if known and next(iter(known.values())).shape[1] > 1:
            values[name] = known
    pairs = {name: _compared(result, each) for name, each in values.items()}
    adjusted = iter(holm([each.p for each in chain(*(found.values() for found in pairs.values()))]))
    p_values = {name: dict(zip(found, adjusted, strict=False)) for name, found in pairs.items()}
    return {
        name: ItemGroup(
            users=next(iter(each.values())).shape[1],
            rows=[_row(result, row, each, pairs[name], p_values[name]) for row in result.rows],
        )
        for name, each in values.items()
    }


def _values(result: VariantsResult, row: Row, group: str, out: Path) -> Values | None:
    """The metric of each user with items of the group, ``[seeds, users]``; None if not told."""
    column = f"{result.metric} {group}"
    values = []
    for seed in result.seeds:
        table = pl.read_parquet(RunFolder(out / f"{row.folder}-seed{seed}").per_user, glob=False)
        if column not in table.columns:
            return None
        values.append(table[column].drop_nulls().to_numpy())
    return np.stack(values)


def _compared_with(result: VariantsResult) -> dict[str, tuple[str, str]]:
    """The folders of each compared row and of what it is compared with, by label."""
    folders = {row.label: row.folder for row in result.rows}
    return {
        row.label: (row.folder, folders[row.against])
        for row in result.rows
        if row.against is not None
    }


def _compared(result: VariantsResult, values: Mapping[str, Values]) -> Pairs:
    """Each pair of run folders once."""
    pairs = dict.fromkeys(_compared_with(result).values())
    return {(ours, theirs): compare(values[ours], values[theirs]) for ours, theirs in pairs}


def _row(
    result: VariantsResult,
    row: Row,
    values: Mapping[str, Values],
    pairs: Pairs,
    p_values: Mapping[tuple[str, str], float],
) -> Row:
    """The same variant, measured on the group."""
    if not row.folder:
        return row
    pair = _compared_with(result).get(row.label)
    against = None
    if pair is not None and row.against is not None:
        against = (row.against, pairs[pair], p_values[pair])
    means = [float(each) for each in values[row.folder].mean(axis=1)]
    return row_of(row.label, row.attributes, row.folder, means, against)
