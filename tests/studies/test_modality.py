"""``graphrec modality`` from the configuration to the verdicts, on planted data."""

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphrec import ConfigError, DataError, build_config, load_config, read_result
from graphrec.config.identity import experiment_identity
from graphrec.evaluation.significance import compare, holm
from graphrec.report.tables import FINGERPRINTS, group
from graphrec.studies import study_modalities
from graphrec.studies.modality import JUDGES, judged, judged_on
from graphrec.studies.record import Row, VariantsResult, append_rows
from graphrec.studies.study import metric_of
from graphrec.studies.variants import FULL, ID_ONLY
from graphrec.studies.warmth import groups_of
from tests import flow
from tests.studies import worlds

SEEDS = 2


@cache
def finished() -> tuple[Path, VariantsResult]:
    """A study of a picture that tells the taste and of junk; tests must not change it."""
    folder = worlds.folder() / "modality"
    return folder, study_modalities(worlds.config_of("image", "junk"), folder, seeds=SEEDS)


def rows() -> dict[str, Row]:
    return {row.label: row for row in finished()[1].rows}


def test_the_planted_modality_helps_and_junk_does_not() -> None:
    verdicts = {(each.modality, each.items): each for each in finished()[1].verdicts}
    assert verdicts.keys() == {(m, i) for m in ("image", "junk") for i in ("warm", "cold")}
    image = verdicts["image", "warm"]
    assert image.verdict == "helps"
    assert all(verdicts["junk", items].verdict != "helps" for items in ("warm", "cold"))
    assert re.search(r"ndcg@20 is lower without it, by -0\.\d{4} \[", image.sentence)


def test_warm_and_cold_items_are_compared_apart() -> None:
    """Ids score cold items 0 by construction: a gain there is none on the items that ids know."""
    folder, result = finished()
    assert result.groups.keys() == {"warm", "cold"}
    for name, each in result.groups.items():
        for row in each.rows:
            runs = [read_result(folder / f"{row.folder}-seed{seed}") for seed in (1, 2)]
            measured = [run.metrics[f"test_{name}"]["ndcg@20"] for run in runs]
            assert row.values == pytest.approx(measured)
            assert each.users == runs[0].num_users[f"test_{name}"]
    cold = {row.label: row for row in result.groups["cold"].rows}
    assert cold["id only"].mean == 0
    families = [each.rows for each in result.groups.values()]
    distinct = [{row.folder: row.p for row in rows if row.p is not None} for rows in families]
    assert sum(map(len, distinct)) == 14


def whole_gain_is_cold(out: Path, with_columns: bool = True) -> VariantsResult:
    """A study whose image changes nothing on warm items, and all on cold ones."""
    rng = np.random.default_rng(0)
    warm = rng.random(40)
    changes = {"full": FULL, "without image": "without", "shuffled image": "shuffled"}
    rows = []
    for label, change in {**changes, "id only": ID_ONLY}.items():
        folder = "without-image" if label == "id only" else label.replace(" ", "-")
        cold = rng.random(40) * (0.5 if label == "full" else 0.0)
        values = {"ndcg@20": (warm + cold) / 2}
        if with_columns:
            values |= {"ndcg@20 warm": warm + 1e-9 * rng.random(40), "ndcg@20 cold": cold}
        path = out / f"{folder}-seed1/per_user.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"user": [str(n) for n in range(40)]} | values).write_parquet(path)
        against = None if label == "full" else "full"
        attributes = {"modality": "image" if change in JUDGES else None, "change": change}
        rows.append(
            Row(label, attributes, folder, [0.5], 0.5, 0.0, against, -0.1, -0.2, -0.1, 0.001)
        )
    return VariantsResult("modality", "toy", "m", "d", "ndcg@20", [1], 40, rows, {}, {})


def test_a_gain_on_cold_items_alone_is_not_told_as_one_on_warm_items(tmp_path: Path) -> None:
    groups = groups_of(whole_gain_is_cold(tmp_path), tmp_path)
    found = {name: judged_on(name, "image", "ndcg@20", each.rows) for name, each in groups.items()}
    assert {name: each.verdict for name, each in found.items()} == {
        "warm": "does not help",
        "cold": "helps",
    }
    assert found["warm"].sentence.startswith("image does not help on warm items: ndcg@20")
    assert found["cold"].sentence.endswith(". Without it nothing is known of cold items.")


def test_runs_that_do_not_tell_cold_items_apart_are_not_mixed_with_others(tmp_path: Path) -> None:
    result = whole_gain_is_cold(tmp_path, with_columns=False)
    assert groups_of(result, tmp_path) == {}
    whole_gain_is_cold(tmp_path)
    path = tmp_path / "full-seed1/per_user.parquet"
    pl.read_parquet(path).select("user", "ndcg@20").write_parquet(path)
    with pytest.raises(DataError, match=r"full-seed1/per_user\.parquet does not tell cold items"):
        groups_of(result, tmp_path)


def test_a_group_without_users_is_not_judged() -> None:
    verdict = judged_on("warm", "image", "ndcg@20", [])
    assert (verdict.verdict, verdict.items) == ("not judged", "warm")
    assert "fewer than two users" in verdict.sentence


def test_content_at_random_is_worth_less_than_the_true_one() -> None:
    found = rows()
    for label in ("without image", "shuffled image", "noise image", "id only"):
        assert found[label].worse, label
        assert found[label].against == "full"
    assert found["full"].difference is None


def test_means_are_those_of_the_run_folders() -> None:
    folder, result = finished()
    for row in result.rows:
        runs = [read_result(folder / f"{row.folder}-seed{seed}") for seed in (1, 2)]
        assert row.values == [each.metrics["test"]["ndcg@20"] for each in runs]
        assert [each.seed for each in runs] == result.seeds
    full = [read_result(folder / f"full-seed{seed}") for seed in (1, 2)]
    (grouped,) = group(full, ["ndcg@20"])
    assert grouped.mean["ndcg@20"] == pytest.approx(rows()["full"].mean)
    assert grouped.deviation["ndcg@20"] == pytest.approx(rows()["full"].deviation)


def test_differences_are_those_of_the_users() -> None:
    folder, _ = finished()

    def per_user(name: str):
        tables = [pl.read_parquet(folder / f"{name}-seed{n}/per_user.parquet") for n in (1, 2)]
        return np.stack([table["ndcg@20"].to_numpy() for table in tables])

    names = list(dict.fromkeys(row.folder for row in rows().values()))
    found = {name: compare(per_user(name), per_user("full")) for name in names if name != "full"}
    adjusted = dict(zip(found, holm([each.p for each in found.values()]), strict=True))
    for row in rows().values():
        if row.folder in found:
            expected = found[row.folder]
            assert row.difference == pytest.approx(expected.difference)
            assert (row.low, row.high) == pytest.approx((expected.low, expected.high))
            assert row.p == pytest.approx(adjusted[row.folder])
    assert rows()["only junk"].difference == rows()["without image"].difference


def test_test_is_opened_once_for_all() -> None:
    assert finished()[1].test_openings == ["final evaluation of 16 models of the study"]


def test_all_files_are_there_and_say_the_same() -> None:
    folder, result = finished()
    record = json.loads((folder / "modality.json").read_text())
    assert record["metric"] == "ndcg@20"
    assert record["users"] == result.users > 100
    assert [row["label"] for row in record["rows"]] == [row.label for row in result.rows]
    with (folder / "modality.csv").open() as file:
        lines = list(csv.DictReader(file))
    labels = [row.label for row in result.rows]
    assert [line["label"] for line in lines] == 3 * labels
    assert [line["items"] for line in lines[:: len(labels)]] == ["all", "warm", "cold"]
    assert [verdict["items"] for verdict in record["verdicts"]] == ["warm", "cold"] * 2
    assert float(lines[1]["difference"]) == pytest.approx(result.rows[1].difference)
    svg = folder / "modality.svg"
    assert ET.parse(svg).getroot().tag.endswith("svg")
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 1
    assert not re.search(r"(src|href)=['\"](?!#|data:)", page)
    for label in (*rows(), "image helps on warm items", "Holm", "warm items, 149 users"):
        assert label in page
    assert "without image" in svg.read_text()


def test_the_same_call_trains_only_what_is_not_there(tmp_path: Path) -> None:
    folder, result = finished()
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/noise-junk-seed2")
    (tmp_path / "copy/full-seed1/result.json").unlink()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "copy").glob("*/result.json")}
    again = study_modalities(worlds.config_of("image", "junk"), tmp_path / "copy", seeds=SEEDS)
    assert again.rows == result.rows
    assert again.verdicts == result.verdicts
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_another_experiment_in_the_folder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"another configuration: model\.dim differ"):
        study_modalities(worlds.config_of("image", "junk", dim=4), finished()[0])


def test_rows_of_a_results_file_stand_there_once(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    assert append_rows(path, finished()[1]) == 10
    assert append_rows(path, finished()[1]) == 0
    with path.open() as file:
        lines = list(csv.DictReader(file))
    assert lines[0]["difference"] == ""
    assert float(lines[1]["difference"]) < 0
    assert {line["seeds"] for line in lines} == {"1 2"}


def test_a_row_of_a_results_file_says_what_was_trained_on_what(tmp_path: Path) -> None:
    folder, result = finished()
    append_rows(tmp_path / "all.csv", result)
    with (tmp_path / "all.csv").open() as file:
        lines = {line["variant"]: line for line in csv.DictReader(file)}
    for row in result.rows:
        settings = load_config(folder / f"{row.folder}-seed1/config.json", ["run.seed=0"])
        line = lines[row.label]
        assert line["config_hash"] == experiment_identity(settings)[:16]
        runs = [read_result(folder / f"{row.folder}-seed{seed}") for seed in (1, 2)]
        for column, key in FINGERPRINTS.items():
            own = [run.fingerprints[key][:16] for run in runs]
            assert line[column].split() == list(dict.fromkeys(own)), (row.label, column)
    assert lines["without image"]["config_hash"] == lines["only junk"]["config_hash"]
    assert len({line["config_hash"] for line in lines.values()}) == 8
    assert len(lines["shuffled image"]["features"].split()) == 2  # each seed shuffles anew
    assert len(lines["full"]["features"].split()) == 1


def test_the_same_study_under_other_settings_is_another_line(tmp_path: Path) -> None:
    result = finished()[1]
    other = replace(result, rows=[replace(row, config_hash="f" * 64) for row in result.rows])
    assert append_rows(tmp_path / "all.csv", result) == 10
    assert append_rows(tmp_path / "all.csv", other) == 10


def test_runs_of_other_users_are_refused(tmp_path: Path) -> None:
    shutil.copytree(finished()[0], tmp_path / "copy")
    path = tmp_path / "copy/only-image-seed2/per_user.parquet"
    pl.read_parquet(path).reverse().write_parquet(path)
    with pytest.raises(DataError, match=r"only-image-seed2/per_user\.parquet is of other users"):
        study_modalities(worlds.config_of("image", "junk"), tmp_path / "copy", seeds=SEEDS)


def test_lists_of_neighbours_are_judged_too(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # graphs of similar items are kept under data/
    config = worlds.short_of("lists", item_layers=1, knn_k=3, num_layers=0)
    result = study_modalities(config, tmp_path / "s", seeds=1)
    assert not any(row.skipped for row in result.rows)
    assert result.verdicts[0].modality == "lists"


def test_without_ids_a_modality_is_judged_by_shuffling_alone(tmp_path: Path) -> None:
    config = worlds.short_of("image", use_id=False)
    result = study_modalities(config, tmp_path, seeds=1)
    skipped = {row.label for row in result.rows if row.skipped}
    assert skipped == {"without image", "id only"}
    assert [verdict.items for verdict in result.verdicts] == ["warm", "cold"]
    for verdict in result.verdicts:
        assert "Not tried without it: model.use_id = false leaves nothing" in verdict.sentence
        assert "nothing is known" not in verdict.sentence


def row(low: float, high: float, p: float = 0.01) -> Row:
    return Row("x", {}, "x", [0.1], 0.1, 0.0, "full", (low + high) / 2, low, high, p)


@pytest.mark.parametrize(
    ("without", "shuffled", "verdict"),
    [
        (row(-3, -1), row(-2, -1), "helps"),
        (row(1, 3), row(1, 2), "hurts"),
        (row(-3, -1), row(-2, 1), "does not help"),
        (row(-3, -1), row(-2, -1, p=0.06), "does not help"),
        (row(-3, -1), row(1, 2), "does not help"),
        (Row("x", {}, skipped="why"), row(-2, -1), "helps"),
        (Row("x", {}, skipped="why"), Row("x", {}, skipped="too"), "not judged"),
    ],
)
def test_a_verdict_needs_both(without: Row, shuffled: Row, verdict: str) -> None:
    found = judged("a", "ndcg@20", {"without": without, "shuffled": shuffled})
    assert found.verdict == verdict
    assert ("why" in found.sentence) == (without.skipped == "why")


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("ndgc@20", r"'ndgc@20' is not measured\. Did you mean 'ndcg@20'"),
        ("ndcg@7", "is not measured"),
        ("coverage@20", "is no mean over users"),
    ],
)
def test_a_metric_that_cannot_compare_is_refused(metric: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        metric_of(worlds.config_of("image"), metric, "ndcg@20")


def test_an_epoch_chosen_on_test_is_refused(tmp_path: Path) -> None:
    table = worlds.table_of("image")
    table["evaluation"] |= {"selection": "best_test_epoch"}
    with pytest.raises(ConfigError, match="The epoch would be chosen on test"):
        study_modalities(build_config(table), tmp_path)


def test_an_experiment_without_modalities_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model 'mf' reads no modality.*modality_attention_gcn"):
        study_modalities(flow.config_of(flow.data(), "mf"), tmp_path)
    with pytest.raises(ConfigError, match=r"no table \[features\.NAME\]"):
        study_modalities(worlds.config_of(), tmp_path)
