"""A whole study: searched on train and valid, resumed exactly, its winner measured once."""

import gc
import json
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import polars as pl
import pytest

from graphrec import ConfigError, DataError, Model, build_config, read_result, run, tune
from graphrec.data import Features, SealedTest
from graphrec.experiment import content as content_module
from graphrec.models.mf import MF
from graphrec.tuning import objective as objective_module
from graphrec.tuning import search as search_module
from graphrec.tuning import work as work_module
from graphrec.tuning.result import read_study
from graphrec.tuning.work import withhold_test
from tests import flow
from tests.tuning import small

run_module = sys.modules[run.__module__]


@pytest.fixture(autouse=True)
def _without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these studies; ``small.finished`` has its plots."""
    small.finished()
    monkeypatch.setattr(search_module, "write_report", lambda *_: None)


def trials(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "trials.parquet")


def what_was_tried(folder: Path) -> pl.DataFrame:
    """The finished trials without what may differ between equal studies."""
    table = trials(folder).filter(pl.col("state") != "lost")
    return table.drop("number", "trial_seconds", "started", "worker")


def test_a_study_folder_is_complete() -> None:
    folder = small.finished()
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.json", "study.db", "study.json", "trials.parquet", "trials.csv", "best.json",
        "report.html", "plots", "final", "log.jsonl",
    }  # fmt: skip
    result = read_study(folder)
    assert result.objectives == {"ndcg@5": "maximize"}
    assert result.budget == {"trials": 4, "seconds": None}
    assert result.trials == {"complete": 4, "pruned": 0, "failed": 0, "lost": 0}
    assert result.seconds > 0
    assert result.workers == 1
    assert result.best["ndcg@5"] == trials(folder)["ndcg@5"].max()


def test_the_first_trial_is_the_configuration_as_it_stands(tmp_path: Path) -> None:
    first = trials(small.finished()).row(0, named=True)
    assert (first["training.lr"], first["model.dim"], first["why"]) == (0.02, 8, "own")
    alone = run(small.config_of(), tmp_path / "run")
    assert first["ndcg@5"] == max(record["valid/ndcg@5"] for record in alone.history)
    assert first["best_epoch"] == alone.best_epoch
    assert read_study(small.finished()).own == {"ndcg@5": first["ndcg@5"]}


def test_the_best_configuration_runs_as_it_is(tmp_path: Path) -> None:
    folder = small.finished()
    result = run(build_config(json.loads((folder / "best.json").read_text())), tmp_path / "run")
    best = trials(folder).sort("ndcg@5", descending=True, maintain_order=True).row(0, named=True)
    assert max(record["valid/ndcg@5"] for record in result.history) == best["ndcg@5"]
    assert result.config["model"]["dim"] == best["model.dim"]  # type: ignore[index,call-overload]


def test_the_winner_is_trained_with_fresh_seeds_and_test_opened_once(tmp_path: Path) -> None:
    config = small.config_of("tune.final_seeds=2", "tune.trials=3")
    result = tune(config, tmp_path)
    assert result.seeds == [1, 2]
    assert len(result.test_openings) == 1
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    kinds = [each["event"] for each in events]
    assert kinds.count("test_opened") == 1
    assert kinds.index("best") < kinds.index("test_opened")
    last_fit = max(index for index, each in enumerate(events) if each["event"] == "final")
    assert last_fit < kinds.index("test_opened")
    for which in result.test:
        results = [read_result(tmp_path / "final" / f"{which}-seed{seed}") for seed in (1, 2)]
        found = [each.metrics["test"]["ndcg@5"] for each in results]
        assert result.test[which]["ndcg@5"] == pytest.approx(
            [np.mean(found), np.std(found, ddof=1)]
        )
        again = run(build_config(results[0].config), tmp_path / f"again-{which}")
        assert again.metrics == results[0].metrics


def test_the_objective_is_in_the_log_with_its_direction() -> None:
    lines = (small.finished() / "log.jsonl").read_text().splitlines()
    study = next(each for each in map(json.loads, lines) if each["event"] == "study")
    assert study["objectives"] == ["ndcg@5"]
    assert study["directions"] == ["maximize"]
    assert "maximize ndcg@5 on valid" in study["message"]


def test_the_same_call_again_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small.finished()
    before = read_study(folder)

    def refuse(*_: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(objective_module, "fit_model", refuse)
    monkeypatch.setattr(SealedTest, "open", refuse)
    again = tune(small.config_of(), folder)
    assert replace(again, environment=before.environment) == before


def test_a_larger_budget_goes_on_with_the_same_study(tmp_path: Path) -> None:
    tune(small.config_of("tune.trials=2"), tmp_path / "grown")
    tune(small.config_of("tune.trials=4"), tmp_path / "grown")
    assert what_was_tried(tmp_path / "grown").equals(what_was_tried(small.finished()))


def test_an_interrupted_study_goes_on_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = objective_module.fit_model, 0

    def interrupt(*given: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(objective_module, "fit_model", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tune(small.config_of(), tmp_path)
    result = tune(small.config_of(), tmp_path)
    assert result.trials == {"complete": 4, "pruned": 0, "failed": 0, "lost": 1}
    assert what_was_tried(tmp_path).equals(what_was_tried(small.finished()))


def test_a_trial_that_fails_is_recorded_and_the_study_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = objective_module.fit_model, 0

    def fail(*given: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ValueError("no luck")
        return real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(objective_module, "fit_model", fail)
    result = tune(small.config_of(), tmp_path)
    assert result.trials == {"complete": 3, "pruned": 0, "failed": 1, "lost": 0}
    assert trials(tmp_path).row(1, named=True)["error"] == "ValueError: no luck"


def test_when_all_trials_fail_the_first_error_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("never any luck")

    monkeypatch.setattr(objective_module, "fit_model", fail)
    with pytest.raises(
        DataError, match=r"No trial .* completed\. The first error was: ValueError: n"
    ):
        tune(small.config_of(), tmp_path)
    assert trials(tmp_path)["state"].to_list() == ["fail"] * 4


def test_hopeless_trials_are_pruned(tmp_path: Path) -> None:
    config = small.config_of(
        "tune.trials=12", "tune.pruner=halving", "tune.min_epochs=1", "tune.final_seeds=0",
        "training.max_epochs=12",
    )  # fmt: skip
    result = tune(config, tmp_path)
    assert result.trials["pruned"] >= 3
    assert sum(result.trials.values()) == 12
    table = trials(tmp_path)
    pruned = table.filter(pl.col("state") == "pruned")
    assert pruned["epochs"].max() < table.filter(pl.col("state") == "complete")["epochs"].max()  # type: ignore[operator]
    assert pruned["last_score"].is_not_null().all()
    assert result.test == {}
    assert result.test_openings == []


def test_every_point_of_a_grid_is_tried_once(tmp_path: Path) -> None:
    table = small.table_of(sampler="grid", trials=50, final_seeds=0)
    table["search"] = {"model.dim": [4, 8], "model.loss": ["bpr", "softmax", "bce"]}
    result = tune(build_config(table), tmp_path)
    assert result.trials["complete"] == 6
    tried = trials(tmp_path).select("model.dim", "model.loss").rows()
    assert tried[0] == (8, "bpr")
    assert len(set(tried)) == 6


def test_seeds_can_be_averaged(tmp_path: Path) -> None:
    config = small.config_of("tune.trials=1", "tune.trial_seeds=3", "tune.final_seeds=0")
    tune(config, tmp_path / "study")
    alone = [
        run(small.config_of(f"run.seed={seed}"), tmp_path / f"run{seed}").history
        for seed in range(3)
    ]
    expected = np.mean([max(record["valid/ndcg@5"] for record in each) for each in alone])
    assert trials(tmp_path / "study")["ndcg@5"].item() == pytest.approx(expected)


def test_several_objectives_give_a_front(tmp_path: Path) -> None:
    config = small.config_of(
        'tune.objectives=["recall@5", "coverage@5", "seconds", "parameters"]',
        "tune.sampler=nsga2", "tune.pruner=none", "tune.trials=6", "tune.final_seeds=0",
    )  # fmt: skip
    result = tune(config, tmp_path)
    assert list(result.objectives.values()) == ["maximize", "maximize", "minimize", "minimize"]
    table = trials(tmp_path)
    assert set(table["parameters"]) <= {4 * (24 + 18), 8 * (24 + 18)}
    assert result.best["recall@5"] == table["recall@5"].max()
    for number in result.front:
        assert (tmp_path / f"trial-{number}.json").exists()
        row = table.row(number, named=True)
        better = (
            (pl.col("recall@5") >= row["recall@5"])
            & (pl.col("coverage@5") >= row["coverage@5"])
            & (pl.col("seconds") < row["seconds"])
            & (pl.col("parameters") < row["parameters"])
        )
        assert table.filter(better).is_empty()


def test_closed_form_models_are_tuned_too(tmp_path: Path) -> None:
    table = flow.table_of(flow.data(), "itemknn") | {"tune": {"trials": 3, "final_seeds": 1}}
    result = tune(build_config(table, ["tune.sampler=random"]), tmp_path)
    assert result.trials["complete"] == 3
    assert set(result.best_params) == {"model.knn_k", "model.shrink"}


def test_a_study_starts_from_the_best_of_earlier_ones(tmp_path: Path) -> None:
    earlier = small.finished()
    config = small.config_of(
        f'tune.warm_start=["{earlier}"]', "tune.warm_trials=2", "tune.final_seeds=0"
    )
    tune(config, tmp_path)
    best = trials(earlier).sort("ndcg@5", descending=True, maintain_order=True).head(2)
    table = trials(tmp_path)
    warm = table.filter(pl.col("why").str.starts_with("warm start"))
    expected = [row for row in best["training.lr"] if row != 0.02]
    assert warm["training.lr"].to_list() == expected
    with pytest.raises(DataError, match=r"nowhere holds no finished study"):
        tune(small.config_of(f'tune.warm_start=["{tmp_path}/nowhere"]'), tmp_path / "other")


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    config = small.config_of("tune.trials=1")
    left = [tmp_path / ".config.json.7.part", tmp_path / "final/best-seed1/.result.json.7.part"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    result = tune(config, tmp_path)
    assert list(result.test) == ["best"]
    assert not list(tmp_path.rglob("*.part"))


def test_seconds_end_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock in which every trial takes a second, however busy the machine is."""
    monkeypatch.setattr(
        work_module, "seconds_left", lambda study, budget: budget - len(study.trials)
    )
    config = small.config_of("tune.trials=1000", "tune.final_seeds=0", "tune.seconds=3")
    result = tune(config, tmp_path)
    assert sum(result.trials.values()) == 3
    assert result.budget == {"trials": 1000, "seconds": 3.0}


def test_a_trial_stops_when_the_seconds_are_used_up(tmp_path: Path) -> None:
    config = small.config_of(
        "tune.seconds=2", "training.max_epochs=100000", "training.patience=100000"
    )
    with pytest.raises(DataError, match=r"No trial .* completed\. The budget was too small"):
        tune(config, tmp_path)
    assert trials(tmp_path)["error"].to_list() == ["tune.seconds are used up"]


def test_features_can_be_searched_and_are_encoded_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = small.table_of("modality_attention_gcn", trials=4, final_seeds=0, sampler="grid")
    table["search"] = {"features.text.dim": [2, 4], "training.lr": [0.01, 0.02]}
    widths = []
    real = content_module.encode

    def spy(*given: object, **more: object) -> Features:
        features: Features = real(*given, **more)
        widths.extend(features["text"].values.shape[1] for name in features if name == "text")
        return features

    monkeypatch.setattr(content_module, "encode", spy)
    result = tune(build_config(table), tmp_path)
    assert result.trials["complete"] == 4
    assert {2, 4} <= set(widths)


def test_data_are_prepared_once_and_no_model_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, models = [], []
    real_prepare, real_build = search_module.prepare, objective_module.build

    def count(*given: object) -> object:
        prepared.append(real_prepare(*given))  # type: ignore[arg-type]
        return prepared[-1]

    def watch(*given: object) -> Model:
        gc.collect()
        assert all(model() is None for model in models)
        model = real_build(*given)  # type: ignore[arg-type]
        models.append(weakref.ref(model))
        return model

    monkeypatch.setattr(search_module, "prepare", count)
    monkeypatch.setattr(objective_module, "build", watch)
    tune(small.config_of("tune.final_seeds=0"), tmp_path)
    assert len(prepared) == 1
    assert len(models) >= 4


def test_another_study_in_the_folder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"another configuration: model\.reg differ"):
        tune(small.config_of("model.reg=0.5"), small.finished())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluation.selection=best_test_epoch"], r"chooses on valid.*selection = 'valid'"),
        (["evaluation.selection=last_epoch"], r"chooses on valid"),
        (['tune.objectives=["recall"]'], r"'recall' has no cut-off"),
        (['tune.objectives=["recal@5"]'], r"Did you mean 'recall'"),
        (['tune.objectives=["recall@5", "seconds"]'], r"tune.*set pruner = 'none'"),
        (["tune.sampler=tep"], r"tune\.sampler"),
        (["tune.trails=3"], r"Did you mean 'trials'"),
        (['search."model.dim"={low=8, high=100000000000}'], "model cannot be built"),
    ],
)
def test_bad_settings_are_refused_before_the_first_trial(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    if overrides[0].startswith("search"):
        table = small.table_of()
        table["search"] = {"model.dim": {"low": 8, "high": 100_000_000_000}}
        overrides = []
    else:
        table = small.table_of()
    with pytest.raises(ConfigError, match=message):
        tune(build_config(table, overrides), tmp_path / "study")
    study = tmp_path / "study" / "study.db"
    if study.exists():
        storage = f"sqlite:///{study}"
        names = optuna.get_all_study_names(storage)
        assert all(not optuna.load_study(study_name=n, storage=storage).trials for n in names)


def test_trials_have_no_way_to_the_test_part() -> None:
    prepared = withhold_test(objective_prepared())
    pairs = set(zip(prepared.dataset.interactions.users, prepared.dataset.interactions.items,
                    strict=True))  # fmt: skip
    train = prepared.split.train
    assert pairs == set(zip(train.users, train.items, strict=True))
    assert len(prepared.split.test) == 0
    assert prepared.dataset.parts is None
    assert prepared.split.fingerprint == objective_prepared().split.fingerprint
    with pytest.raises(PermissionError, match="withheld"):
        prepared.split.test.open("curiosity")


def objective_prepared() -> objective_module.Prepared:
    from graphrec.experiment.log import RunLog
    from graphrec.experiment.prepare import prepare

    return prepare(small.config_of(), RunLog())


def test_mf_has_the_default_space_of_embedding_models(tmp_path: Path) -> None:
    table = small.table_of(trials=2, final_seeds=0)
    del table["search"]
    result = tune(build_config(table), tmp_path)
    assert set(trials(tmp_path).columns) >= set(MF.search) - {"model.temperature"}
    assert "training.lr" in result.best_params
