"""Tables of results: seeds averaged, incomparable ones refused."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from graphrec import DataError, Result, read_result
from graphrec.core.config import Json
from graphrec.experiment.comparable import label, require_comparable
from graphrec.report.tables import append_csv, cells, group, to_csv, to_latex, to_markdown
from tests import flow


def result_of(name: str, seed: int = 0, **metrics: float) -> Result:
    """A copy of a real result with its own name, seed and test metrics."""
    first = read_result(flow.finished("popular"))
    own_settings: dict[str, Json] = {
        "max_epochs": sum(map(ord, name))
    }  # a label alone makes no other run
    config = first.config | {"run": {"name": name, "seed": seed}, "training": own_settings}
    own = {key.replace("_", "@"): value for key, value in metrics.items()}
    return replace(
        first,
        name=name,
        seed=seed,
        config=config,
        config_hash=f"{name}{seed}".ljust(64, "0"),
        metrics={"valid": {}, "test": own},
    )


A0, A1 = result_of("a", 0, recall_5=0.25, ndcg_5=0.5), result_of("a", 1, recall_5=0.75, ndcg_5=0.5)
B0 = result_of("b_c", 0, recall_5=0.125, ndcg_5=1.0)
NAMES = ["recall@5", "ndcg@5"]


def test_seeds_are_averaged_and_configurations_kept_apart() -> None:
    rows = group([A0, B0, A1], NAMES)
    assert [(row.name, row.seeds) for row in rows] == [("a", 2), ("b_c", 1)]
    assert rows[0].mean == {"recall@5": 0.5, "ndcg@5": 0.5}
    # sample standard deviation of 1/4 and 3/4: sqrt(2 (1/4)^2 / 1)
    assert rows[0].deviation["recall@5"] == pytest.approx(0.125**0.5)
    assert rows[0].deviation["ndcg@5"] == 0
    assert rows[1].deviation == {"recall@5": 0.0, "ndcg@5": 0.0}


def test_seeds_are_averaged_wherever_each_was_run() -> None:
    """Seeds run on two machines, or from a folder that moved, were rows of their own."""
    elsewhere: dict[str, Json] = {"name": "a", "seed": 1, "device": "cuda", "memory_mb": 9}
    data = A1.config["data"]
    assert isinstance(data, dict)
    config = A1.config | {"run": elsewhere, "data": data | {"path": "/elsewhere/pairs.csv"}}
    (row,) = group([A0, replace(A1, config=config)], NAMES)
    assert row.seeds == 2


def test_seeds_of_a_control_are_averaged_although_each_draws_its_own_content() -> None:
    first = read_result(flow.finished())
    config = first.config | {"controls": {"text": "noise"}}
    run = config["run"]
    assert isinstance(run, dict)
    other = replace(
        first,
        seed=1,
        config=config | {"run": run | {"seed": 1}},
        fingerprints=first.fingerprints | {"features": "f" * 64},
    )
    (row,) = group([replace(first, config=config), other], NAMES)
    assert row.seeds == 2


def test_labels_that_differ_are_rows_of_their_own() -> None:
    assert [row.name for row in group([A0, replace(A0, name="again")], NAMES)] == ["a", "again"]


def test_cells_show_a_deviation_only_where_there_are_seeds() -> None:
    header, body = cells(group([A0, A1, B0], NAMES), NAMES)
    assert header == ["model", "seeds", "recall@5", "ndcg@5"]
    assert body[0] == ["a", "2", "0.5000 \u00b1 0.3536", "0.5000 \u00b1 0.0000"]
    assert body[1] == ["b_c", "1", "0.1250", "1.0000"]


def test_forms() -> None:
    table = (["model", "m"], [["a_b", "0.1 \u00b1 0.2"], ["c,d", "0.3"]])
    assert to_markdown(*table).splitlines() == [
        "| model | m |", "| --- | ---: |", "| a_b | 0.1 \u00b1 0.2 |", "| c,d | 0.3 |"
    ]  # fmt: skip
    assert list(csv.reader(to_csv(*table).splitlines())) == [table[0], *table[1]]
    assert to_latex(*table).splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"model & m \\",
        r"\midrule",
        r"a\_b & 0.1 $\pm$ 0.2 \\",
        r"c,d & 0.3 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize("key", ["dataset", "split", "protocol"])
def test_results_of_another_fingerprint_are_refused(key: str) -> None:
    other = replace(B0, fingerprints=B0.fingerprints | {key: "f" * 64})
    with pytest.raises(
        DataError, match=rf"a and b_c are not comparable: different {key} .*f{{12}}"
    ):
        require_comparable([A0, A1, other])


def test_results_of_other_features_may_share_a_table() -> None:
    other = replace(B0, fingerprints=B0.fingerprints | {"features": "f" * 64})
    require_comparable([A0, other])
    assert len(group([A0, replace(other, config=A0.config)], NAMES)) == 2


def test_an_epoch_chosen_on_test_gets_a_star() -> None:
    assert label(A0) == "a"
    assert label(replace(A0, selection="best_test_epoch")) == "a*"


def test_a_metric_that_is_missing_is_named_with_those_there() -> None:
    with pytest.raises(
        DataError, match=r"b_c has no test metric 'hit@5'. It has: ndcg@5, recall@5"
    ):
        group([B0], ["hit@5"])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_append_adds_each_run_once(tmp_path: Path) -> None:
    path = tmp_path / "folder/results.csv"
    assert append_csv(path, [A0, A1, A0]) == 2
    assert append_csv(path, [A0, B0]) == 1
    assert append_csv(path, [B0, A1]) == 0
    lines = read(path)
    assert [(line["name"], line["seed"]) for line in lines] == [
        ("a", "0"),
        ("a", "1"),
        ("b_c", "0"),
    ]
    assert [line["test recall@5"] for line in lines] == ["0.250000", "0.750000", "0.125000"]


@pytest.mark.parametrize("key", ["dataset", "split", "features", "protocol"])
def test_append_keeps_a_run_apart_on_another_fingerprint(key: str, tmp_path: Path) -> None:
    other = replace(A0, fingerprints=A0.fingerprints | {key: "f" * 64})
    assert append_csv(tmp_path / "r.csv", [A0, other]) == 2
    column = "data" if key == "dataset" else key
    assert [line[column] for line in read(tmp_path / "r.csv")] == [
        A0.fingerprints[key][:16],
        "f" * 16,
    ]


def test_append_refuses_other_columns_and_leaves_the_file(tmp_path: Path) -> None:
    append_csv(tmp_path / "r.csv", [A0])
    before = (tmp_path / "r.csv").read_bytes()
    with pytest.raises(DataError, match=r"r\.csv and the run z differ in the columns .*test hit@5"):
        append_csv(tmp_path / "r.csv", [result_of("z", hit_5=0.5)])
    assert (tmp_path / "r.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("a,b\n1,2\n", "no results file: it has no column config_hash"),
        ("config_hash,data,split,features,protocol\n1,2\n", "do not fit its header"),
    ],
)
def test_append_refuses_a_file_of_something_else(text: str, culprit: str, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(DataError, match=culprit):
        append_csv(tmp_path / "r.csv", [A0])
    assert (tmp_path / "r.csv").read_text() == text
    with pytest.raises(DataError, match="cannot be read"):
        append_csv(tmp_path, [A0])
