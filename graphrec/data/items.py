"""Build the item table: attributes from a file and from interactions, in item id order."""

import polars as pl

from graphrec.core.errors import ConfigError, DataError
from graphrec.data.config import DataConfig, ItemColumn
from graphrec.data.dataset import Step
from graphrec.data.ids import id_text, require_matching_ids, require_one_form
from graphrec.data.readers import read_item_table
from graphrec.data.roles import ITEM, TIME, numbers, require_column

_VALUE = "@value"


def item_table(
    config: DataConfig, rows: pl.DataFrame, item_ids: pl.Series, source: str
) -> tuple[pl.DataFrame | None, tuple[Step, ...]]:
    """Return one row per item id (null where a value is unknown) and the steps of joining.

    Raises:
        DataError: the item table repeats an id or a column name, or none of its ids is an item.
    """
    ids = pl.DataFrame({ITEM: item_ids})
    table = ids
    steps = []
    if config.items is not None:
        given = read_item_table(
            config.items,
            config.items_id,
            config.items_separator or config.separator,
            configured=config.items_format,
            quote=config.items_quote or config.quote,
            encoding=config.items_encoding or config.encoding,
        )
        words = config.clean.missing_ids
        external = id_text(given[config.items_id], config.items, words)
        given = given.with_columns(external.alias(ITEM))
        rows_in = len(given)
        given = given.drop(config.items_id).drop_nulls(ITEM)
        rows_with_id = len(given)
        given = given.unique(maintain_order=True)
        repeats = rows_with_id - len(given)
        repeated = given.filter(given[ITEM].is_duplicated())
        if len(repeated):
            item = repeated[ITEM][0]
            rows = repeated.filter(repeated[ITEM] == item)
            differing = next(name for name in rows.columns if rows[name].n_unique() > 1)
            raise DataError(
                f"{config.items}: item {item!r} has more than one row, and they differ in column "
                f"{differing!r} ({len(repeated)} such rows). Keep one row per item."
            )
        require_one_form(given[ITEM], "item", str(config.items))
        require_matching_ids(item_ids, given[ITEM], config.items, "data.items_id")
        without = len(ids.join(given, on=ITEM, how="anti"))
        unused = len(given.join(ids, on=ITEM, how="anti"))
        note = (
            f"{without} items have no row; {unused} rows belong to no item; "
            f"{rows_in - rows_with_id} rows have no id"
        )
        if repeats:
            note += f"; {repeats} rows repeat another"
        steps.append(Step("item table", rows_in, len(given) - unused, note))
        table = table.join(given, on=ITEM, how="left", maintain_order="left")
    for name, column in config.item_columns.items():
        if name in table.columns:
            raise DataError(
                f"data.item_columns.{name}: {config.items} has a column of this name. Rename one."
            )
        gathered = gather(rows, name, column, source)
        table = table.join(gathered, on=ITEM, how="left", maintain_order="left")
    # Blank text is no content: it must count as missing, not as an empty description.
    text = pl.col(pl.String)
    table = table.drop(ITEM).with_columns(pl.when(text.str.strip_chars() != "").then(text))
    return (table if table.width else None), tuple(steps)


def gather(rows: pl.DataFrame, name: str, column: ItemColumn, source: str) -> pl.DataFrame:
    """Return columns ``@item`` and ``name``: one value per item from its interaction rows.

    Raises:
        DataError: the column is missing or, for a median or mean, holds no number.
        ConfigError: the pattern is malformed.
    """
    setting = f"data.item_columns.{name}"
    require_column(rows, column.column, source, setting)
    values = rows.rename({column.column: _VALUE})
    if column.pattern is not None:
        values = values.with_columns(_extract(values[_VALUE], column.pattern, setting))
    values = values.drop_nulls(_VALUE)
    if column.take in ("median", "mean"):
        wanted = f"a number, which {setting} needs"
        values = values.with_columns(numbers(values, _VALUE, source, wanted))
    if TIME in values.columns:
        values = values.sort(TIME, maintain_order=True)
    value = pl.col(_VALUE)
    by_item = values.group_by(ITEM, maintain_order=True)
    match column.take:
        case "most_common":
            counts = (
                values.group_by(ITEM, _VALUE).len().sort("len", value, descending=[True, False])
            )
            result = counts.unique(ITEM, keep="first", maintain_order=True)
        case "median":
            result = by_item.agg(value.median())
        case "mean":
            result = by_item.agg(value.mean())
        case "first":
            result = by_item.agg(value.first())
        case "last":
            result = by_item.agg(value.last())
    return result.select(pl.col(ITEM), value.alias(name))


def _extract(values: pl.Series, pattern: str, setting: str) -> pl.Series:
    """Return the first group of the match, or the whole match; null where nothing matches."""
    text = values.cast(pl.String)
    try:
        groups = len(text.head(0).str.extract_groups(pattern).struct.fields)
        return text.str.extract(pattern, 1 if groups else 0)
    except pl.exceptions.ComputeError as error:
        raise ConfigError(f"{setting}.pattern = {pattern!r} is malformed: {error}.") from error
