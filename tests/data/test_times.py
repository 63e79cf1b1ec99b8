"""Times that were misread or refused without need; dates of one grammar everywhere."""

import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from graphrec.core.errors import DataError
from graphrec.data import load
from graphrec.data.config import DataConfig
from graphrec.data.times import parse_dates
from graphrec.features.tabular.attributes import AttributeConfig, AttributeEncoder
from graphrec.features.tabular.numbers import read_times
from tests.data.test_ids import table

NOON = int(datetime(2020, 9, 13, 12, tzinfo=UTC).timestamp())
DAY = 86_400


def config(folder: Path, times: Sequence[object], **settings: str) -> DataConfig:
    """Row r is the pair (u, i_r) at the r-th time."""
    rows = [f'u,i{row:03},"{each}"' for row, each in enumerate(times)]
    path = table(folder / "pairs.csv", "user,item,ts", rows)
    return DataConfig.model_validate({"path": path, "time": "ts", **settings})


def read(folder: Path, times: Sequence[object], **settings: str) -> list[int]:
    found = load(config(folder, times, **settings)).interactions.times
    assert found is not None
    return found.tolist()


def parquet(folder: Path, times: pl.Series) -> list[int]:
    items = [f"i{row:03}" for row in range(len(times))]
    frame = pl.DataFrame({"user": "u", "item": items, "ts": times})
    frame.write_parquet(folder / "pairs.parquet")
    found = load(DataConfig(path=folder / "pairs.parquet", time="ts")).interactions.times
    assert found is not None
    return found.tolist()


def warnings(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING)


# One grammar.

FORMS = {
    "2020-09-13": NOON - DAY // 2,
    "2020/09/13": NOON - DAY // 2,
    "13.09.2020": NOON - DAY // 2,
    "13 Sep 2020": NOON - DAY // 2,
    "September 13, 2020": NOON - DAY // 2,
    "2020-09-13 12:00:00 UTC": NOON,
    "2020-09-13 12:00:00 GMT": NOON,
    "2020-09-13T12:00:00Z": NOON,
    "2020-09-13T12:00": NOON,
    "2020-09-13 12:00:00.250": NOON,
    "2020-09-13 12:00:00,250": NOON,
    "2020-09-13 14:00:00+02": NOON,
    "2020-09-13 14:00:00+02:00": NOON,
    "2020-09-13T08:30:00-0330": NOON,
    " 2020-09-13 12:00 ": NOON,
}


@pytest.mark.parametrize("text", FORMS)
def test_interactions_and_attributes_read_the_same_dates(text: str, tmp_path: Path) -> None:
    """``2020-09-13 12:00:00 UTC`` was refused in interactions and read in attributes."""
    assert read(tmp_path, [text]) == [FORMS[text]]
    column = pl.Series("day", [text])
    assert int(read_times(column, pl.Series(["i"]), unix_seconds=False)[0]) == FORMS[text]


@pytest.mark.parametrize(
    "text", ["09/13/2020", "2020-02-30", "soon", "2020-09", "2020-09-13 25:00", "13.13.2020"]
)
def test_what_is_no_date_names_the_row_and_the_format_setting(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 2: column 'ts' holds .*\(1 such rows.*time_format"):
        read(tmp_path, ["2020-09-13", text])


@pytest.mark.parametrize("text", ["09/13/2020", "2020-09-13 12:00 CET", "1 pm"])
def test_a_column_without_any_date_names_the_format_setting(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1: .*\(2 such rows.*set data\.time_format"):
        read(tmp_path, [text, text])


def test_an_explicit_format_reads_other_forms(tmp_path: Path) -> None:
    assert read(tmp_path, ["09/13/2020"], time_format="%m/%d/%Y") == [NOON - DAY // 2]
    assert read(tmp_path, ["13.09.2020 12:00"], time_format="%d.%m.%Y %H:%M") == [NOON]
    assert read(tmp_path, ["20200913"], time_format="%Y%m%d") == [NOON - DAY // 2]
    zoned = read(tmp_path, ["13/09/2020 14:00 +0200"], time_format="%d/%m/%Y %H:%M %z")
    assert zoned == [NOON]
    column = pl.Series("day", ["09/13/2020", None])
    ids = pl.Series(["i", "j"])
    assert read_times(column, ids, False, "%m/%d/%Y")[0] == NOON - DAY // 2
    with pytest.raises(DataError, match=r"'j': '13/09/2020' is not a date of date_format"):
        read_times(pl.Series("day", ["09/13/2020", "13/09/2020"]), ids, False, "%m/%d/%Y")


def test_an_explicit_format_reads_integers(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": ["u"], "item": ["i"], "ts": [20200913]})
    frame.write_parquet(tmp_path / "a.parquet")
    data = DataConfig(path=tmp_path / "a.parquet", time="ts", time_format="%Y%m%d")
    found = load(data).interactions.times
    assert found is not None and found.tolist() == [NOON - DAY // 2]


def test_a_format_that_does_not_fit_names_the_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 2: .*'2020-09-14'.*data\.time_format = '%d\.%m\.%Y'"):
        read(tmp_path, ["13.09.2020", "2020-09-14"], time_format="%d.%m.%Y")


def test_settings_of_times_without_effect_are_refused(tmp_path: Path) -> None:
    for setting in ({"time_format": "%d.%m.%Y"}, {"time_unit": "milliseconds"}):
        with pytest.raises(ValueError, match="has no effect without time"):
            DataConfig.model_validate({"path": "a.csv", **setting})
        with pytest.raises(DataError, match=r"data\.time_.* has no effect, because column 'ts'"):
            frame = pl.DataFrame({"user": ["u"], "item": ["i"], "ts": [date(2020, 9, 13)]})
            frame.write_parquet(tmp_path / "a.parquet")
            table = {"path": tmp_path / "a.parquet", "time": "ts", **setting}
            load(DataConfig.model_validate(table))
    with pytest.raises(ValueError, match="time_unit has no effect beside time_format"):
        config(tmp_path, [1], time_format="%Y", time_unit="milliseconds")
    with pytest.raises(DataError, match=r"data\.time_unit = 'milliseconds' has no effect"):
        read(tmp_path, ["2020-09-13"], time_unit="milliseconds")
    with pytest.raises(ValueError, match="must tell day, month and year"):
        config(tmp_path, [1], time_format="%H:%M")
    with pytest.raises(ValueError, match="date_format is for texts in dates"):
        AttributeConfig(encoder="attributes", numeric=("x",), date_format="%Y")


def test_the_format_of_attributes_has_an_effect() -> None:
    settings = AttributeConfig(encoder="attributes", dates=("day",), date_format="%m/%d/%Y")
    items = pl.DataFrame({"day": ["09/13/2020", "10/13/2020"]})
    assert AttributeEncoder(settings).encode(items, pl.Series(["a", "b"])).present.all()


# Zones.


def test_dates_with_and_without_a_zone_in_one_column_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = ["2020-09-13T12:00Z", "2020-09-13T12:00", "2020-09-13T12:00"]
    assert read(tmp_path, both) == [NOON] * 3
    assert "names a zone in 1 row and none in 2 rows; the latter count as UTC" in warnings(caplog)
    caplog.clear()
    read(tmp_path, ["2020-09-13T12:00Z", "2020-09-13T14:00+02:00"])
    assert warnings(caplog) == ""


def test_typed_columns_are_read_with_their_zone(tmp_path: Path) -> None:
    east = datetime(2020, 9, 13, 14, tzinfo=timezone(timedelta(hours=2)))
    assert parquet(tmp_path, pl.Series([east]).dt.convert_time_zone("Asia/Tokyo")) == [NOON]
    assert parquet(tmp_path, pl.Series([datetime(2020, 9, 13, 12)]).cast(pl.Datetime("ns"))) == [
        NOON
    ]
    assert parquet(tmp_path, pl.Series([date(2020, 9, 13)])) == [NOON - DAY // 2]


@pytest.mark.parametrize(
    "column", [pl.Series([time(12)]), pl.Series([timedelta(1)]), pl.Series([[1]])]
)
def test_types_that_are_no_times_are_refused(column: pl.Series, tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"column 'ts'(, which data.time names,)? holds .*\. (Repair|Set data.unroll)",
    ):
        parquet(tmp_path, column)


# Units.


@pytest.mark.parametrize(
    ("unit", "size"), [("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)]
)
def test_another_unit_than_seconds_is_refused_and_can_be_set(
    unit: str, size: int, tmp_path: Path
) -> None:
    """Milliseconds were taken for seconds: the year 52,670, and ages a thousand times too long."""
    times = [NOON * size, (NOON + 1) * size]
    with pytest.raises(
        DataError, match=rf"row 1: .*These look like {unit}: set data\.time_unit = '{unit}'"
    ):
        read(tmp_path, times)
    assert read(tmp_path, times, time_unit=unit) == [NOON, NOON + 1]


@pytest.mark.parametrize("unit", ["seconds", "milliseconds"])
def test_two_units_in_one_column_are_refused(unit: str, tmp_path: Path) -> None:
    times = [NOON, NOON + 1, NOON * 1000]
    with pytest.raises(
        DataError, match=r"row 3: .*looks like milliseconds, while 2 rows look like seconds"
    ):
        read(tmp_path, times, time_unit=unit)


def test_seconds_are_not_taken_for_milliseconds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a number of milliseconds.*These look like seconds"):
        read(tmp_path, [NOON, NOON + 1], time_unit="milliseconds")


def test_a_number_beyond_every_calendar_names_its_row(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"row 2: column 'ts' holds '9{20}': a number too large for a time"
    ):
        read(tmp_path, [NOON, "9" * 20])
    with pytest.raises(DataError, match=r"row 2: column 'ts' holds 'inf'"):
        read(tmp_path, [NOON, "inf"])


def test_positions_and_years_are_times_as_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(tmp_path, [0, 1, 2]) == [0, 1, 2]
    assert read(tmp_path, [2011, 2012]) == [2011, 2012]
    assert read(tmp_path, ["0.5", " 7 ", "-3"]) == [0, 7, -3]
    assert warnings(caplog) == ""


# Unlikely years.


@pytest.mark.parametrize(
    ("odd", "year"), [("0202-09-13", "0202"), ("2920-09-13", "2920"), ("1600-01-01", "1600")]
)
def test_an_unlikely_year_is_said(
    odd: str, year: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(tmp_path, ["2020-09-13", odd])
    assert f"row 2: column 'ts' holds '{odd}', which is read as {year}-" in warnings(caplog)


def test_a_typed_date_after_the_year_9999_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Python cannot hold it; the message could not be written."""
    days = pl.Series([11_000, 5_000_000]).cast(pl.Date)
    assert parquet(tmp_path, days) == [11_000 * DAY, 5_000_000 * DAY]
    assert "row 2: column 'ts' holds '+15659-" in warnings(caplog)


@pytest.mark.parametrize("missing", [0, -1])
def test_a_number_for_a_missing_time_is_said(
    missing: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(tmp_path, [NOON, NOON, missing])
    assert "(1 such row). A 0 or -1 often stands for a missing time" in warnings(caplog)


def test_days_written_as_one_number_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(tmp_path, [20200913, 20210101])
    assert "set data.time_format = '%Y%m%d' if they are dates" in warnings(caplog)


def test_attributes_know_the_same_troubles(caplog: pytest.LogCaptureFixture) -> None:
    ids = pl.Series(["i", "j", "k"])
    with pytest.raises(DataError, match=r"item 'k': .* looks like milliseconds, while 2 rows"):
        read_times(pl.Series("day", [NOON, NOON, NOON * 1000]), ids, unix_seconds=True)
    read_times(pl.Series("day", ["2020-09-13", "2920-09-13", None]), ids, unix_seconds=False)
    assert "column 'day', item 'j': '2920-09-13' is an unlikely year" in warnings(caplog)


def test_a_column_of_nulls_is_no_date() -> None:
    assert parse_dates(pl.Series([None, None], dtype=pl.String)).null_count() == 2


def test_seconds_and_milliseconds_in_equal_number_are_both_named(tmp_path: Path) -> None:
    """The message was: looks like seconds, while 1 rows look like seconds."""
    with pytest.raises(DataError, match=r"looks like milliseconds, while 1 row looks like seconds"):
        read(tmp_path, [1600000000000, 1600000001])


@pytest.mark.parametrize("missing", ["", "NULL", "nan"])
@pytest.mark.parametrize("other", ["1600000000", "2020-01-01"])
def test_a_missing_time_is_not_answered_with_a_format(
    tmp_path: Path, missing: str, other: str
) -> None:
    with pytest.raises(DataError, match=r"row 2: .*not counted\)\. Repair or remove them"):
        read(tmp_path, [other, missing])


def test_times_written_in_one_number_name_their_format(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"time_format = '%Y%m%d%H%M%S'"):
        read(tmp_path, [20200101120000, 20200202120000])
    found = read(tmp_path, [20200913120000, 20200914120000], time_format="%Y%m%d%H%M%S")
    assert found == [NOON, NOON + DAY]
