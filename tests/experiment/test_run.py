"""What a run leaves behind, and that it can be run again."""

import json
import re
from pathlib import Path

import polars as pl
import pytest
from safetensors import safe_open

from graphrec import ConfigError, Result, build_config, load_config, read_result, recommend, run
from graphrec.core.errors import DataError
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare, with_settings
from graphrec.training import Checkpoint, read_checkpoint, write_checkpoint
from tests import flow

CHECKPOINT, LAST = "checkpoint.safetensors", "last.safetensors"
FILES = {
    "config.json",
    "result.json",
    "log.jsonl",
    "per_user.parquet",
    "recommendations.parquet",
}


@pytest.fixture(scope="module")
def folder() -> Path:
    return flow.finished("modality_attention_gcn", 'evaluation.baselines=["popular", "mf"]')


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return read_result(folder)


def pairs_of(path: Path) -> set[tuple[str, str]]:
    return set(pl.read_csv(path, infer_schema=False).select("who", "what").rows())


def test_a_trained_run_has_its_files_and_no_other(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES | {CHECKPOINT, LAST}


def test_a_closed_form_run_has_no_checkpoint() -> None:
    assert {path.name for path in flow.finished("ease").iterdir()} == FILES


def test_result_keys_are_the_stable_surface(folder: Path) -> None:
    content = json.loads((folder / "result.json").read_text())
    assert sorted(content) == [
        "backend", "baselines", "best_epoch", "better_baselines", "config", "config_hash",
        "continued", "dataset", "device", "environment", "epochs", "examples", "fingerprints",
        "history", "metrics", "model", "name", "num_parameters", "num_users", "peak_bytes",
        "protocol", "schema_version", "seconds", "seed", "selection", "statistics", "steps",
        "stopped", "test_openings", "users_left_out", "verdicts",
    ]  # fmt: skip
    assert sorted(content["metrics"]) == ["test", "test_cold", "test_warm", "valid"]
    assert sorted(content["fingerprints"]) == ["dataset", "features", "protocol", "split"]
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in content["fingerprints"].values())


def test_user_features_are_logged_and_have_a_fingerprint_of_their_own(folder: Path) -> None:
    other = flow.finished("modality_attention_gcn", "user_features.stats.encoder=interactions")
    found, without = read_result(other).fingerprints, read_result(folder).fingerprints
    assert set(found) - set(without) == {"user_features"}
    assert {key: found[key] for key in without} == without
    assert "User features stats: 3 wide, 24 of 24 users" in (other / "log.jsonl").read_text()
    assert read_result(other).metrics != read_result(folder).metrics


def test_metrics_have_names_like_recall_at_3_and_lie_in_0_1(result: Result) -> None:
    for part in ("valid", "test"):
        assert {"recall@3", "recall@5", "ndcg@5", "hit@3"} <= set(result.metrics[part])
        assert all(re.fullmatch(r"[a-z0-9]+@\d+", name) for name in result.metrics[part])
        for name in ("recall@3", "recall@5", "ndcg@5", "precision@3", "coverage@5"):
            assert 0 <= result.metrics[part][name] <= 1


def test_result_says_how_long_how_large_and_which_epoch(result: Result) -> None:
    stages = {"load", "split", "encode", "build", "fit", "baselines", "evaluate", "tables"}
    assert set(result.seconds) == stages
    assert all(seconds >= 0 for seconds in result.seconds.values())
    assert result.peak_bytes > 2**20
    assert result.num_parameters > 0
    assert (result.epochs, result.stopped) == (4, "max_epochs")
    scores = [record["valid/ndcg@5"] for record in result.history]
    assert result.best_epoch == 1 + scores.index(max(scores))


def test_valid_metric_of_the_result_is_that_of_the_best_epoch(result: Result) -> None:
    of_epoch = result.history[result.best_epoch - 1]["valid/ndcg@5"]
    assert result.metrics["valid"]["ndcg@5"] == of_epoch


def test_baselines_stand_beside_and_equal_their_own_runs(result: Result) -> None:
    assert list(result.baselines) == ["popular", "mf"]
    own = read_result(flow.finished("popular"))
    assert result.baselines["popular"] == own.metrics["test"]
    assert set(result.baselines["mf"]) == set(result.metrics["test"])


def test_recommendations_hold_external_ids_ranks_and_falling_scores(folder: Path) -> None:
    table = pl.read_parquet(folder / "recommendations.parquet")
    assert table.columns[:4] == ["user", "item", "rank", "score"]
    assert table["user"].n_unique() == flow.NUM_USERS
    assert table["user"].str.contains(r"^u\d\d$").all()
    assert table["item"].str.contains(r"^i\d\d$").all()
    ranks = table.group_by("user", maintain_order=True).agg("rank")["rank"].to_list()
    assert ranks == [[1, 2, 3, 4, 5]] * flow.NUM_USERS
    assert table.select((pl.col("score").diff().over("user") <= 0).all()).item()
    assert not table.select(pl.struct("user", "item").is_duplicated().any()).item()


def test_recommendations_leave_out_train_and_valid_items(tmp_path: Path) -> None:
    run(build_config(flow.given_table(tmp_path)), tmp_path / "run")
    shown = set(pl.read_parquet(tmp_path / "run/recommendations.parquet")["user", "item"].rows())
    assert not shown & pairs_of(tmp_path / "train.csv")
    assert not shown & pairs_of(tmp_path / "valid.csv")
    assert shown & pairs_of(tmp_path / "test.csv")


def test_per_user_has_one_column_per_metric_whose_mean_is_the_metric(
    folder: Path, result: Result
) -> None:
    table = pl.read_parquet(folder / "per_user.parquet")
    of_lists = {name for name in result.metrics["test"] if name.startswith(("coverage", "gini"))}
    assert set(table.columns) == {"user"} | (set(result.metrics["test"]) - of_lists)
    assert len(table) == result.num_users["test"]
    for name in table.columns[1:]:
        assert table[name].mean() == pytest.approx(result.metrics["test"][name], abs=1e-12)


def test_recall_of_a_run_is_that_of_its_recommendations(tmp_path: Path) -> None:
    result = run(build_config(flow.given_table(tmp_path)), tmp_path / "run")
    shown = pl.read_parquet(tmp_path / "run/recommendations.parquet")
    relevant = pl.read_csv(tmp_path / "test.csv").rename({"who": "user", "what": "item"})
    hits = shown.join(relevant, on=["user", "item"]).group_by("user").len("hits")
    counts = relevant.group_by("user").len("relevant").join(hits, on="user", how="left")
    recall = (counts["hits"].fill_null(0) / counts["relevant"]).mean()
    assert result.metrics["test"]["recall@5"] == pytest.approx(recall, abs=1e-12)


def test_config_json_runs_again_with_the_same_numbers_from_another_folder(
    folder: Path, result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(folder / "config.json")
    again = run(config, Path("again"))
    assert again.metrics == result.metrics
    assert again.config_hash == result.config_hash
    assert (tmp_path / "again/config.json").read_bytes() == (folder / "config.json").read_bytes()


def test_relative_paths_of_a_configuration_are_stored_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(flow.data())
    table = flow.table_of(Path())
    run(build_config(table), tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    again = run(load_config(tmp_path / "run/config.json"), tmp_path / "again")
    assert again.metrics == read_result(tmp_path / "run").metrics


def test_cleaning_steps_stand_in_result_and_log_with_rows_in_and_out(tmp_path: Path) -> None:
    rule = 'data.clean.rules=[{column = "when", min = 100}]'
    result = run(flow.config_of(flow.data(), "popular", [rule]), tmp_path / "run")
    times = pl.read_csv(flow.data() / "pairs.csv")["when"]
    step = next(step for step in result.steps if step["name"] == "rule")
    assert (step["rows_in"], step["rows_out"]) == (len(times), int((times >= 100).sum()))
    lines = (tmp_path / "run/log.jsonl").read_text().splitlines()
    logged = [event for event in map(json.loads, lines) if event["event"] == "clean"]
    assert [(event["step"], event["rows_in"], event["rows_out"]) for event in logged] == [
        (step["name"], step["rows_in"], step["rows_out"])
        for step in result.steps
        if step["rows_in"] != step["rows_out"]
    ]
    assert len(logged) < len(result.steps)


def test_selection_valid_opens_the_test_part_once(result: Result) -> None:
    assert result.selection == "valid"
    assert result.test_openings == ["final evaluation"]


def test_last_epoch_keeps_the_last_weights_and_needs_no_validation(tmp_path: Path) -> None:
    config = flow.config_of(flow.data(), "mf", ["evaluation.selection=last_epoch"])
    result = run(config, tmp_path / "run")
    assert (result.best_epoch, result.epochs, result.selection) == (4, 4, "last_epoch")
    assert not any(key.startswith("valid/") for record in result.history for key in record)
    assert result.test_openings == ["final evaluation"]
    with safe_open(tmp_path / "run/checkpoint.safetensors", framework="pt") as file:
        assert {name.partition(".")[0] for name in file.keys()} == {"best"}  # noqa: SIM118


def test_best_test_epoch_is_marked_and_its_openings_recorded(tmp_path: Path) -> None:
    table = flow.given_table(tmp_path, "mf")
    data = table["data"]
    assert isinstance(data, dict)
    del data["valid"]
    overrides = ["evaluation.protocol=ngcf", "evaluation.valid_metric=recall@5"]
    result = run(build_config(table, overrides), tmp_path / "run")
    assert result.selection == "best_test_epoch"
    assert result.protocol["name"] == "ngcf"
    assert len(result.test_openings) == 2
    assert result.test_openings[0].startswith("best_test_epoch")
    assert result.test_openings[-1] == "final evaluation"
    assert result.metrics["valid"] == {}
    assert result.num_users["valid"] == 0
    scores = [record["test/recall@5"] for record in result.history]
    assert result.metrics["test"]["recall@5"] == max(scores)
    assert result.best_epoch == 1 + scores.index(max(scores))
    log = (tmp_path / "run/log.jsonl").read_text()
    assert log.count('"test_opened"') == 2


def test_warm_and_cold_test_items_are_measured_apart(tmp_path: Path) -> None:
    result = run(build_config(flow.given_table(tmp_path)), tmp_path / "run")
    assert (result.num_users["test"], result.num_users["test_cold"]) == (flow.NUM_USERS, 2)
    shown = pl.read_parquet(tmp_path / "run/recommendations.parquet")
    found = shown.filter(pl.col("item") == "i17", pl.col("user").is_in(["u00", "u01"]))
    assert result.metrics["test_cold"]["recall@5"] == len(found) / 2


def test_a_given_split_keeps_its_parts(tmp_path: Path) -> None:
    result = run(build_config(flow.given_table(tmp_path)), tmp_path / "run")
    sizes = {part: len(pairs_of(tmp_path / f"{part}.csv")) for part in ("train", "valid", "test")}
    assert {part: result.statistics[part] for part in sizes} == sizes


def test_examples_name_items_by_title(result: Result) -> None:
    assert 1 <= len(result.examples) <= 3
    for example in result.examples:
        assert re.fullmatch(r"u\d\d", example.user)
        assert all(name.startswith("Title ") for name in example.history + example.recommended)


def test_verdicts_put_published_numbers_beside_ours(tmp_path: Path) -> None:
    ours = read_result(flow.finished("popular")).metrics["test"]
    table = flow.table_of(flow.data(), "popular")
    table |= {
        "paper": {"key": "graphrec", "table": "1"},
        "published": {"recall@3": ours["recall@3"], "recall@5": 0.0, "ndcg@5": 1.0, "hit@3": 1.0},
        "tolerance": {"hit@3": 1.0},
    }
    result = run(build_config(table), tmp_path / "run")
    verdicts = {verdict.metric: verdict.verdict for verdict in result.verdicts}
    wanted = {"recall@3": "match", "recall@5": "above", "ndcg@5": "below", "hit@3": "match"}
    assert verdicts == wanted


def test_a_run_without_validation_part_says_what_to_change(tmp_path: Path) -> None:
    overrides = ["split.ratios=[0.8, 0.0, 0.2]"]
    with pytest.raises(ConfigError, match=r"needs a validation part.*last_epoch"):
        run(flow.config_of(flow.data(), "mf", overrides), tmp_path / "run")


def test_a_closed_form_model_needs_no_validation_part(tmp_path: Path) -> None:
    overrides = ["split.ratios=[0.8, 0.0, 0.2]"]
    result = run(flow.config_of(flow.data(), "ease", overrides), tmp_path / "run")
    assert result.metrics["valid"] == {}
    assert (result.stopped, result.best_epoch, result.history) == ("closed_form", 0, [])


def test_a_trained_baseline_without_validation_part_is_refused_before_any_work(
    tmp_path: Path,
) -> None:
    overrides = ["split.ratios=[0.8, 0.0, 0.2]", 'evaluation.baselines=["mf"]']
    with pytest.raises(ConfigError, match="needs a validation part"):
        run(flow.config_of(flow.data(), "ease", overrides), tmp_path / "run")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('evaluation.baselines=["lihgtgcn"]', "lightgcn"),
        ("evaluation.top_k=[3, 5, 19]", "19.*18"),
        ("run.recommend_k=40", "40.*18"),
    ],
)
def test_what_fails_after_training_is_found_before_it(
    override: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("training started")

    monkeypatch.setattr("graphrec.experiment.run.fit_model", never)
    with pytest.raises(ConfigError, match=message):
        run(flow.config_of(flow.data(), "mf", [override]), tmp_path / "run")


def test_a_published_metric_that_is_not_measured_is_found_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = "training started"
    monkeypatch.setattr("graphrec.experiment.run.fit_model", lambda *_: pytest.fail(started))
    table = flow.table_of(flow.data(), "mf")
    table |= {"paper": {"key": "graphrec", "table": "1"}, "published": {"recall@4": 0.1}}
    with pytest.raises((ConfigError, DataError), match="recall@4"):
        run(build_config(table), tmp_path / "run")


def test_the_environment_is_that_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout that moves on during a run must not put a later commit into its result."""
    commits = iter(["at the start", "later"])
    now = "graphrec.experiment.prepare.environment"
    monkeypatch.setattr(now, lambda: {"git": {"commit": next(commits)}})
    result = run(build_config(flow.table_of(flow.data(), "mf")), tmp_path / "run")
    assert result.environment == {"git": {"commit": "at the start"}}
    assert next(commits) == "later"


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("data.clean.k_core=2", r"\[data\]"),
        ("split.kind=random", r"\[split\]"),
        ("evaluation.protocol=mmrec", r"the protocol of \[evaluation\]"),
        ("evaluation.valid_metric=recall@5", r"the protocol of \[evaluation\]"),
    ],
)
def test_other_data_split_or_protocol_are_not_given_to_a_prepared_experiment(
    override: str, named: str
) -> None:
    """They were taken without a word, and numbers of the former ones came out under the new."""
    log = RunLog()
    prepared = prepare(flow.config_of(flow.data(), "mf"), log)
    with pytest.raises(ConfigError, match=named):
        with_settings(prepared, flow.config_of(flow.data(), "mf", [override]), log)


def test_a_folder_of_schema_version_1_still_loads(tmp_path: Path) -> None:
    """Its hash was one of paths and machine too, and so was that in its checkpoint."""
    config, out = flow.config_of(flow.data(), "mf"), tmp_path / "run"
    run(config, out)
    content = json.loads((out / "result.json").read_text())
    del content["continued"]
    content |= {"schema_version": 1, "config_hash": "0" * 64}
    (out / "result.json").write_text(json.dumps(content))
    (out / LAST).unlink()
    saved = read_checkpoint(out / CHECKPOINT)
    identity = saved.state["identity"] | {"config": "0" * 64, "backend": "torch"}
    state = {"identity": identity, "result": saved.state["result"]}
    del state["result"]["continued"]
    write_checkpoint(out / CHECKPOINT, Checkpoint(saved.tensors, state))
    assert len(recommend(out, ["u01"], 3)) == 3
    assert run(config, out, resume=True).config_hash == "0" * 64
    (out / "result.json").unlink()
    assert run(config, out, resume=True).metrics == read_result(flow.finished("mf")).metrics
