"""Every data set of the catalog that is present: exact counts, and a split of its own kind."""

import os

import polars as pl
import pytest

from graphrec.data import CATALOG, load, split
from graphrec.data.catalog.layouts import data_folders, find_layout
from graphrec.data.config import SplitConfig

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("GRAPHREC_DATA" not in os.environ, reason="GRAPHREC_DATA is not set"),
]
EMPTY_CONTENT = {
    "amazon-sports": ("attributes", 153),
    "ml-100k": ("overview", 18),
    "microlens-50k": ("column_2", 69),
}


@pytest.mark.parametrize("name", CATALOG)
def test_it_loads_with_the_expected_counts_and_splits(name: str) -> None:
    entry = CATALOG[name]
    if not any(find_layout(entry, place) for place in data_folders(entry)):
        pytest.skip(f"no files of {name}")
    dataset = load(name)
    for what, expected in entry.counts.items():
        assert dataset.statistics()[what] == expected, what
    result = split(dataset, SplitConfig.model_validate({"kind": entry.split, "cold_users": "drop"}))
    left_out = sum(step.rows_in - step.rows_out for step in result.steps)
    kept = len(result.train) + len(result.valid) + len(result.test)
    assert kept + left_out == len(dataset.interactions)
    assert left_out == (10 if name == "tiktok" else 0)
    if name in EMPTY_CONTENT:
        column, empty = EMPTY_CONTENT[name]
        assert dataset.item_table is not None
        assert len(dataset.item_table) == dataset.interactions.num_items
        values = dataset.item_table[column]
        if isinstance(values.dtype, pl.List):
            values = values.list.join("")
        assert values.fill_null("").str.strip_chars().eq("").sum() == empty
