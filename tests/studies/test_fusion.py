"""A grid of fusions: planned wholly, tuned by equal budgets, compared once on test."""

import csv
import json
import re
import shutil
import statistics
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import pytest

from graphrec import ConfigError, DataError, RunConfig, build_config, load_config, read_result
from graphrec.config.identity import experiment_identity
from graphrec.data import SealedTest
from graphrec.evaluation.significance import compare, holm
from graphrec.experiment import worker as fit_module
from graphrec.report.tables import FINGERPRINTS, RUN_KEY
from graphrec.studies import fusion as grid_module
from graphrec.studies.fusion import run_grid
from graphrec.studies.fusion_cells import Axes, Cell, plan_of
from graphrec.studies.fusion_record import CellResult, GridResult, append_grid, write_grid
from graphrec.studies.fusion_record import table_of as shown_table
from graphrec.tuning import objective as objective_module
from graphrec.tuning import search as search_module
from graphrec.tuning.result import read_study
from tests import flow
from tests.tuning import small

FLAGSHIP = "modality_attention_gcn"
AXES = Axes(("lightgcn", "none"), ("early",), ("attention", "sum"))


def table_of(**tune: object) -> flow.Table:
    """A flagship with two modalities."""
    table = small.table_of(FLAGSHIP, **({"trials": 2, "final_seeds": 2} | tune))
    table["features"] = {
        name: {"encoder": "tfidf", "columns": [name], "dim": 4, "min_df": 1}
        for name in ("text", "title")
    }
    return table


def config_of(*overrides: str, **tune: object) -> RunConfig:
    return build_config(table_of(**tune), overrides)


@pytest.fixture(autouse=True)
def _without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "write_report", lambda *_: None)


@cache
def made() -> tuple[Path, GridResult]:
    """A finished grid, made once per process; tests must not change its folder."""
    folder = flow.data() / "grids" / "small"
    with mock.patch.object(search_module, "write_report"):
        return folder, run_grid(config_of(), AXES, folder)


def finished() -> Path:
    return made()[0]


def record() -> dict[str, object]:
    found: dict[str, object] = json.loads((finished() / "fusion.json").read_text())
    return found


def cells_of(result: GridResult) -> dict[str, CellResult]:
    return {cell.name: cell for cell in result.cells}


def again(folder: Path, *overrides: str, axes: Axes = AXES) -> GridResult:
    return run_grid(config_of(*overrides), axes, folder)


def name_of(backbone: str, how: str) -> str:
    return f"{backbone}-early-{how}"


NAMES = [
    name_of(backbone, how) for backbone in ("lightgcn", "none") for how in ("attention", "sum")
]


# The plan.


def test_every_place_is_crossed_with_its_own_how() -> None:
    plan = plan_of(config_of(), Axes(), tuned=True)
    fused = ("attention", "concat", "gate", "sum")
    assert [tuple(cell.settings.items()) for cell in plan.cells] == [
        (("backbone", backbone), ("where", where), (setting, how))
        for backbone in ("lightgcn", "none")
        for where, setting, hows in (
            ("early", "fusion", fused), ("middle", "fusion", fused),
            ("late", "late", ("mean", "learned")),
        )
        for how in hows
    ]  # fmt: skip
    assert plan.reference == "lightgcn-early-attention"
    assert plan.skipped == {}
    for cell in plan.cells:
        assert {key: getattr(cell.config.model, key) for key in cell.settings} == cell.settings
        assert cell.config.run.name == cell.name
        assert cell.in_grid


def test_a_combination_that_is_refused_is_skipped_with_the_reason() -> None:
    axes = Axes(("lightgcn",), ("early", "late", "sample"), ("attention", "learned", "weighted"))
    plan = plan_of(config_of(), axes, tuned=True)
    assert [cell.name for cell in plan.cells] == [
        "lightgcn-early-attention", "lightgcn-early-weighted", "lightgcn-late-learned",
    ]  # fmt: skip
    reasons = {name.removeprefix("lightgcn-"): reason for name, reason in plan.skipped.items()}
    assert set(reasons) == {
        "early-learned", "late-attention", "late-weighted", "sample-attention", "sample-learned",
        "sample-weighted",
    }  # fmt: skip
    assert reasons["early-learned"] == "'learned' fuses scores, not vectors"
    assert reasons["late-attention"] == "'attention' fuses vectors, not scores"
    assert "view_weights belong together" in reasons["late-weighted"]
    assert "nothing to learn from" in reasons["sample-learned"]


def test_what_has_no_effect_in_a_cell_is_left_out_of_it() -> None:
    axes = Axes(("lightgcn",), ("early", "late"), ("mean",))
    plan = plan_of(config_of("model.fusion=concat"), axes, tuned=True)
    assert [(cell.name, cell.left_out) for cell in plan.cells] == [
        ("lightgcn-early-concat", []),
        ("lightgcn-early-mean", []),
        ("lightgcn-late-mean", ["model.fusion"]),
    ]
    assert [cell.in_grid for cell in plan.cells] == [False, True, True]


def test_where_nothing_is_fused_there_is_one_cell() -> None:
    config = config_of("model.item_layers=1", "model.knn_k=3", "model.fusion=concat")
    axes = Axes(("lightgcn", "none"), ("early", "graph"), ("mean", "sum"))
    plan = plan_of(config, axes, tuned=False)
    assert [cell.name for cell in plan.cells] == [
        "lightgcn-early-concat", "lightgcn-early-mean", "lightgcn-early-sum", "lightgcn-graph",
        "none-early-mean", "none-early-sum", "none-graph",
    ]  # fmt: skip
    assert plan.cells[3].left_out == ["model.fusion"]
    assert plan.skipped == {}
    assert plan_of(config_of(), axes, tuned=False).skipped.keys() == {
        "lightgcn-graph", "none-graph",
    }  # fmt: skip


def test_the_reference_can_combine_scores() -> None:
    config = config_of(
        "model.where=late", "model.late=weighted", "model.view_weights={text=1.0, title=2.0}"
    )
    axes = Axes(("lightgcn",), ("early", "late"), ("sum", "weighted", "mean"))
    plan = plan_of(config, axes, tuned=False)
    others = ["model.late", "model.view_weights"]
    assert plan.reference == "lightgcn-late-weighted"
    assert {cell.name: sorted(cell.left_out) for cell in plan.cells} == {
        "lightgcn-early-sum": others,
        "lightgcn-early-weighted": others,
        "lightgcn-early-mean": others,
        "lightgcn-late-weighted": [],
        "lightgcn-late-mean": ["model.view_weights"],
    }
    assert list(plan.skipped) == ["lightgcn-late-sum"]
    assert all(cell.in_grid for cell in plan.cells)


def by_name(*overrides: str, search: flow.Table | None = None) -> dict[str, Cell]:
    table = table_of() | ({"search": search} if search else {})
    return {
        cell.name: cell for cell in plan_of(build_config(table, overrides), AXES, tuned=True).cells
    }


def test_settings_and_ranges_of_message_passing_are_left_out_without_it() -> None:
    cells = by_name(
        "model.num_layers=3",
        "model.edge_drop=0.5",
        search={
            "training.lr": [0.01, 0.02],
            "model.num_layers": [1, 2, 3],
            "model.edge_drop": {"low": 0.1, "high": 0.9, "when": {"model.backbone": "lightgcn"}},
        },
    )
    none, lightgcn = cells[name_of("none", "sum")], cells[name_of("lightgcn", "sum")]
    assert sorted(none.left_out) == ["model.edge_drop", "model.num_layers"]
    assert set(none.config.search) == {"training.lr"}
    assert lightgcn.left_out == []
    assert set(lightgcn.config.search) == {"training.lr", "model.num_layers", "model.edge_drop"}


def test_all_cells_have_the_same_space_and_budget() -> None:
    cells = by_name("tune.trials=7").values()
    assert {tuple(cell.config.search) for cell in cells} == {tuple(small.SEARCH)}
    assert {cell.config.tune for cell in cells} == {
        config_of("tune.trials=7").tune.model_copy(update={"final_seeds": 0})
    }


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (Axes(how=("atention",)), r"Unknown --how 'atention'\. Did you mean 'attention'"),
        (Axes(how=("nowhere:Fusion",)), r"Cannot import --how"),
        (Axes(how=()), r"--how is empty, and so is the grid"),
        (Axes(backbones=()), r"--backbones is empty, and so is the grid"),
        (Axes(backbones=("lightgcm",)), r"Unknown --backbones 'lightgcm'\. Did you .* 'lightgcn'"),
        (Axes(where=("earl",)), r"Unknown --where 'earl'\. Did you mean 'early'"),
    ],
)
def test_unknown_values_and_empty_axes_are_refused(axes: Axes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(config_of(), axes, tuned=True)


def test_a_model_that_does_not_fuse_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'mf' has no settings .*fusion.*modality_attention_gcn"):
        plan_of(small.config_of(), AXES, tuned=True)


def test_trials_cannot_vary_what_the_grid_varies() -> None:
    table = table_of() | {"search": {"model.fusion": ["attention", "sum"]}}
    with pytest.raises(ConfigError, match=r"\[search\] model\.fusion: the grid varies it"):
        plan_of(build_config(table), AXES, tuned=True)
    assert plan_of(build_config(table), AXES, tuned=False).cells


# The run.


def test_every_cell_gets_the_same_number_of_trials_on_the_same_space() -> None:
    cells = record()["cells"]
    assert isinstance(cells, list)
    assert [cell["name"] for cell in cells] == NAMES
    assert [cell["trials"] for cell in cells] == [2] * 4
    for name in NAMES:
        table = pl.read_parquet(finished() / name / "trials.parquet")
        assert table["state"].to_list() == ["complete"] * 2
        assert set(small.SEARCH) <= set(table.columns)
        # the first trial is the configuration as it stands, the second the same proposal
        assert table.row(0, named=True)["why"] == "own"
        first = pl.read_parquet(finished() / NAMES[0] / "trials.parquet")
        assert table.select(*small.SEARCH).equals(first.select(*small.SEARCH))


def test_test_is_opened_once_after_all_cells_have_been_fitted() -> None:
    lines = (finished() / "log.jsonl").read_text().splitlines()
    kinds = [json.loads(line)["event"] for line in lines]
    assert kinds.count("test_opened") == 1
    assert kinds.count("final") == 8
    assert max(index for index, kind in enumerate(kinds) if kind in ("cell", "final")) < (
        kinds.index("test_opened")
    )
    for name in NAMES:
        assert read_study(finished() / name).test_openings == []
    assert len(record()["test_openings"]) == 1  # type: ignore[arg-type]


def test_the_record_is_what_the_final_runs_say() -> None:
    found = record()
    results = {
        name: [read_result(finished() / "final" / f"{name}-seed{seed}") for seed in (1, 2)]
        for name in NAMES
    }
    values = {
        name: np.stack(
            [
                pl.read_parquet(finished() / f"final/{name}-seed{seed}/per_user.parquet")["ndcg@5"]
                for seed in (1, 2)
            ]
        )
        for name in NAMES
    }
    reference = name_of("lightgcn", "attention")
    assert (found["reference"], found["seeds"], found["metric"]) == (reference, [1, 2], "ndcg@5")
    compared = [compare(values[name], values[reference]) for name in NAMES if name != reference]
    cells = {cell["name"]: cell for cell in found["cells"]}  # type: ignore[attr-defined]
    for name in NAMES:
        for part in ("valid", "test"):
            numbers = [each.metrics[part]["ndcg@5"] for each in results[name]]
            expected = [statistics.fmean(numbers), statistics.stdev(numbers)]
            assert cells[name][part]["ndcg@5"] == pytest.approx(expected)
        assert cells[name]["parameters"] == results[name][0].num_parameters
    others = [cells[name] for name in NAMES if name != reference]
    assert [cell["difference"]["p"] for cell in others] == [each.p for each in compared]
    assert [cell["p_holm"] for cell in others] == holm([each.p for each in compared])
    for cell in others:
        gap = cell["test"]["ndcg@5"][0] - cells[reference]["test"]["ndcg@5"][0]
        assert cell["difference"]["difference"] == pytest.approx(gap)
        assert cell["difference"]["low"] <= gap <= cell["difference"]["high"]
    assert cells[reference]["difference"] is None
    assert found["best"] == max(NAMES, key=lambda name: cells[name]["valid"]["ndcg@5"][0])


def test_means_along_an_axis() -> None:
    found = record()
    tests = {cell["name"]: cell["test"]["ndcg@5"][0] for cell in found["cells"]}  # type: ignore[attr-defined]
    means = {(each["setting"], each["value"]): each for each in found["means"]}  # type: ignore[attr-defined]
    for how in ("attention", "sum"):
        both = [tests[name_of(backbone, how)] for backbone in ("lightgcn", "none")]
        assert means["fusion", how]["test"] == pytest.approx(statistics.fmean(both))
        assert means["fusion", how]["cells"] == 2
    both = [tests[name_of("none", how)] for how in ("attention", "sum")]
    assert means["backbone", "none"]["test"] == pytest.approx(statistics.fmean(both))


def test_the_same_call_again_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained")

    finished()
    for module in (objective_module, fit_module):
        monkeypatch.setattr(module, "fit_model", refuse)
    monkeypatch.setattr(search_module, "prepare", refuse)
    monkeypatch.setattr(SealedTest, "open", refuse)
    before = record()
    result = again(finished())
    assert [cell.name for cell in result.cells] == NAMES
    assert record() | {"environment": 0} == before | {"environment": 0}


def test_a_grid_grows_by_what_is_new_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(finished(), tmp_path / "grid")
    trained = []
    real = fit_module.fit_in

    def spy(folder: Path, *more: object) -> object:
        trained.append(folder.name)
        return real(folder, *more)  # type: ignore[arg-type]

    monkeypatch.setattr("graphrec.experiment.series.fit_in", spy)
    axes = replace(AXES, backbones=("lightgcn",), how=("attention", "mean"))
    result = again(tmp_path / "grid", axes=axes)
    old, new = name_of("lightgcn", "attention"), name_of("lightgcn", "mean")
    assert {name.rpartition("-seed")[0] for name in trained} == {new}
    assert [(cell.name, cell.trials) for cell in result.cells] == [(old, 2), (new, 2)]
    assert cells_of(result)[old].test == cells_of(made()[1])[old].test


def test_budgets_that_would_not_be_equal_are_refused(tmp_path: Path) -> None:
    shutil.copytree(finished(), tmp_path / "grid")
    axes = replace(AXES, backbones=("lightgcn",), how=("attention", "mean"))
    with pytest.raises(ConfigError, match=r"has 2 trials, and 1 are asked for\. Set --trials 2"):
        again(tmp_path / "grid", "tune.trials=1", axes=axes)


def test_without_tuning_every_cell_has_the_settings_as_they_stand(tmp_path: Path) -> None:
    result = run_grid(config_of("tune.final_seeds=1"), AXES, tmp_path, tuned=False)
    assert result.budget == {"trials": 0, "seconds": None}
    assert [(cell.trials, cell.seconds, cell.best_params) for cell in result.cells] == [
        (0, 0.0, {})
    ] * 4
    assert not list(tmp_path.glob("*/study.db"))
    for told, tuned in ((result, False), (made()[1], True)):
        header, rows = shown_table(told)
        assert ("trials" in header, "seconds" in header) == (tuned, tuned)
        assert {len(row) for row in rows} == {len(header)}
    for cell in result.cells:
        config = read_result(tmp_path / "final" / f"{cell.name}-seed1").config
        expected = config_of().model_copy().training.model_dump(mode="json")
        assert config["training"] == expected


def test_a_cell_that_fails_is_listed_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = objective_module.fit_model

    def fail(model: object, prepared: object, *given: object, **more: object) -> object:
        if getattr(model, "config").fusion == "sum":  # noqa: B009
            raise ValueError("no luck")
        return real(model, prepared, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(objective_module, "fit_model", fail)
    axes = replace(AXES, backbones=("lightgcn",))
    result = run_grid(config_of("tune.final_seeds=1", "tune.trials=1"), axes, tmp_path)
    failed = name_of("lightgcn", "sum")
    assert set(result.skipped) == {failed}
    assert "no luck" in result.skipped[failed]
    assert [cell.name for cell in result.cells] == [name_of("lightgcn", "attention")]
    assert [each.cells for each in result.means if each.setting == "backbone"] == [1]
    table = list(csv.DictReader((tmp_path / "fusion.csv").open()))
    assert [line["name"] for line in table if "no luck" in line["skipped"]] == [failed]
    assert "no luck" in (tmp_path / "report.html").read_text()


def test_what_cannot_be_built_from_the_data_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = grid_module.build

    def refuse(settings: object, prepared: object) -> object:
        if getattr(settings, "fusion") == "sum":  # noqa: B009
            raise ConfigError("no such content")
        return real(settings, prepared)  # type: ignore[arg-type]

    monkeypatch.setattr(grid_module, "build", refuse)
    with pytest.raises(ConfigError, match=r"No cell of the grid .*none.*sum: no such content"):
        again(tmp_path, axes=replace(AXES, backbones=("none",), how=("sum",)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tune.final_seeds=0"], r"tune\.final_seeds = 0 leaves nothing to compare"),
        (["evaluation.metrics=['recall']"], r"'ndcg@5', and it is not measured"),
        (["tune.objectives=['coverage@5']"], r"'coverage@5' is no accuracy of each user"),
        (["evaluation.selection=last_epoch"], r"chooses on valid"),
        (["features.title.columns=['titel']"], r"titel"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_the_first_trial(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        again(tmp_path, *overrides)
    assert not list(tmp_path.iterdir())


def test_one_modality_is_nothing_to_fuse(tmp_path: Path) -> None:
    config = build_config(small.table_of(FLAGSHIP))
    with pytest.raises(ConfigError, match=r"needs two or more modalities .* there are 1"):
        run_grid(config, AXES, tmp_path)


def test_another_grid_in_the_folder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"study of another configuration: model\.reg differ"):
        again(finished(), "model.reg=0.5")


# What it leaves.


def test_the_table_has_a_line_for_each_cell(tmp_path: Path) -> None:
    with (finished() / "fusion.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == NAMES
    assert [line["mark"].split()[:1] for line in lines if "reference" in line["mark"]] == [
        ["reference"]
    ]
    assert {line["budget_trials"] for line in lines} == {"2"}
    assert append_grid(tmp_path / "grids.csv", made()[1]) == 4
    assert append_grid(tmp_path / "grids.csv", made()[1]) == 0


def test_a_line_says_what_was_tuned_and_trained_on_what(tmp_path: Path) -> None:
    _, result = made()
    skipped = replace(result, skipped={"none-late-x": "it cannot be"})
    append_grid(tmp_path / "grids.csv", skipped)
    with (tmp_path / "grids.csv").open() as file:
        lines = {line["name"]: line for line in csv.DictReader(file)}
    for cell in result.cells:
        settings = load_config(finished() / cell.name / "config.json")
        line = lines[cell.name]
        assert line["config_hash"] == experiment_identity(settings, searched=True)[:16]
        for column, key in FINGERPRINTS.items():
            assert line[column] == result.fingerprints[key][:16]
    assert len({lines[name]["config_hash"] for name in NAMES}) == len(NAMES)
    for column in RUN_KEY:
        assert lines["none-late-x"][column] == lines[result.reference][column]


def test_one_seed_has_no_deviation_in_the_table() -> None:
    _, result = made()
    assert all("±" in each for row in shown_table(result)[1] for each in row[4:6])
    alone = replace(result, seeds=result.seeds[:1])
    assert not any("±" in each for row in shown_table(alone)[1] for each in row)


def test_the_page_needs_no_other_file() -> None:
    assert ET.parse(finished() / "fusion.svg").getroot().tag.endswith("svg")
    page = (finished() / "report.html").read_text()
    assert page.count("<svg") == 1
    assert not re.search(r"(src|href)=['\"](?!#|data:)", page)
    for name in NAMES:
        assert name in page
    assert "best on valid" in page


def test_thirty_cells_have_a_line_each_in_the_plot(tmp_path: Path) -> None:
    few = made()[1]
    cells = [
        replace(
            cell, name=f"{cell.name}{index}", settings=cell.settings | {"fusion": f"how{index}"}
        )
        for index in range(8)
        for cell in few.cells
    ]
    write_grid(tmp_path, replace(few, cells=[*few.cells[:1], *cells]))
    drawn = (tmp_path / "fusion.svg").read_text()
    assert all(drawn.count(f"how{index}<") == 4 for index in range(8))
    assert float(re.search(r'height="([\d.]+)pt"', drawn)[1]) > 10 * 33  # type: ignore[index]
