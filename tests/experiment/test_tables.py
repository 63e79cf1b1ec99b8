"""Tables and examples of a finished run."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphrec import build_config, read_result, run
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare
from tests import flow


def histories(folder: Path) -> dict[str, list[str]]:
    """Titles of the training items of each user, latest first, from the file itself."""
    config = build_config(flow.table_of(flow.data()))
    prepared = prepare(config, RunLog())
    train, ids = prepared.split.train, prepared.dataset
    times = pl.read_csv(folder / "pairs.csv")
    trained = pl.DataFrame(
        {"who": ids.user_ids.gather(train.users), "what": ids.item_ids.gather(train.items)}
    )
    latest = times.join(trained, on=["who", "what"]).sort("when", descending=True)
    named = latest.with_columns(pl.col("what").str.slice(1).cast(pl.Int64))
    return {
        str(user[0]): [f"Title {item}" for item in group["what"]]
        for user, group in named.group_by("who", maintain_order=True)
    }


def test_the_history_of_an_example_starts_with_the_latest_item() -> None:
    wanted = histories(flow.data())
    examples = read_result(flow.finished()).examples
    assert examples
    for example in examples:
        assert len(example.history) == 5
        assert example.history == wanted[example.user][:5]
    assert any(sorted(example.history) != example.history for example in examples)


def test_without_times_the_history_of_an_example_is_in_the_order_of_items(tmp_path: Path) -> None:
    result = run(build_config(flow.given_table(tmp_path)), tmp_path / "run")
    train = pl.read_csv(tmp_path / "train.csv").sort("who", "what")
    for example in result.examples:
        assert example.history == train.filter(who=example.user)["what"].to_list()[:5]


@pytest.mark.parametrize("model", ["mf", "popular"])
def test_users_without_test_items_are_ranked_but_not_measured(tmp_path: Path, model: str) -> None:
    """Lists are written for every user: with test users only, they would tell who these are."""
    table = flow.given_table(tmp_path, model)
    test = pl.read_csv(tmp_path / "test.csv")
    test.filter(~pl.col("who").is_in(["u03", "u23"])).write_csv(tmp_path / "test.csv")
    result = run(build_config(table), tmp_path / "run")
    users = [f"u{number:02}" for number in range(flow.NUM_USERS)]
    listed = pl.read_parquet(tmp_path / "run" / "recommendations.parquet")
    assert listed["user"].unique().sort().to_list() == users
    measured = pl.read_parquet(tmp_path / "run" / "per_user.parquet")["user"].to_list()
    assert measured == [user for user in users if user not in ("u03", "u23")]
    assert result.num_users["test"] == len(measured)
    values = pl.read_parquet(tmp_path / "run" / "per_user.parquet")["recall@5"].to_numpy()
    assert result.metrics["test"]["recall@5"] == pytest.approx(np.mean(values), abs=1e-12)
