"""Ranges of settings, and what makes them unsound."""

from pathlib import Path

import optuna
import pytest

from graphrec import ConfigError, build_config
from graphrec.config.space import Space, space_of
from graphrec.core.ranges import SearchRange
from graphrec.models import MODELS
from tests import flow

SEARCH: flow.Table = {
    "training.lr": {"low": 1e-3, "high": 1e-1, "log": True},
    "model.dim": [4, 8, 16],
    "model.loss": ["bpr", "softmax"],
    "model.temperature": {"low": 0.1, "high": 1.0, "when": {"model.loss": "softmax"}},
}


def space(search: flow.Table, model: str = "mf", **model_settings: float | str) -> Space:
    table = flow.table_of(Path("x"), model)
    section = table["model"]
    assert isinstance(section, dict)
    config = build_config(table | {"model": section | model_settings, "search": search})
    return Space(config, config.search)


def proposed(found: Space, **values: float | str) -> dict[str, bool | int | float | str]:
    fixed = {key.replace("__", "."): value for key, value in values.items()}
    return found.propose(optuna.trial.FixedTrial(fixed))  # type: ignore[arg-type]


def test_what_is_proposed_becomes_a_configuration() -> None:
    values = proposed(
        space(SEARCH),
        training__lr=0.05,
        model__dim=16,
        model__loss="softmax",
        model__temperature=0.3,
    )
    config = space(SEARCH).config(values).model_dump()
    assert config["training"]["lr"] == 0.05
    assert config["model"]["dim"] == 16
    assert (config["model"]["loss"], config["model"]["temperature"]) == ("softmax", 0.3)
    assert config["search"] == {}


def test_a_setting_whose_condition_does_not_hold_has_its_default() -> None:
    found = space(SEARCH, loss="softmax", temperature=0.5)
    values = proposed(found, training__lr=0.05, model__dim=16, model__loss="bpr")
    assert "model.temperature" not in values
    assert found.config(values).model_dump()["model"]["temperature"] == 1.0
    assert found.own["model.temperature"] == 0.5


def test_conditions_may_follow_conditions_in_any_order_of_the_table() -> None:
    search: flow.Table = {
        "model.temperature": {"low": 0.1, "high": 1.0, "when": {"model.normalize": True}},
        "model.normalize": {"choices": [True, False], "when": {"model.loss": ["softmax", "bce"]}},
        "model.loss": ["bpr", "softmax"],
    }
    with pytest.raises(ConfigError, match=r"'bce' can never be.*range of model\.loss"):
        space(search)
    search["model.normalize"] = {"choices": [True, False], "when": {"model.loss": "softmax"}}
    assert list(space(search).ranges) == ["model.loss", "model.normalize", "model.temperature"]
    assert space(search).own == {"model.loss": "bpr"}


def test_whole_ends_make_whole_numbers_only_where_the_setting_is_one() -> None:
    found = space({"model.dim": {"low": 4, "high": 8}, "model.init_std": {"low": 1, "high": 2}},
                  init_std=1)  # fmt: skip
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    found.propose(trial)
    kinds = {key: type(span).__name__ for key, span in trial.distributions.items()}
    assert kinds == {"model.dim": "IntDistribution", "model.init_std": "FloatDistribution"}


def test_steps_are_kept() -> None:
    found = space({"model.dim": {"low": 4, "high": 16, "step": 4},
                   "model.reg": {"low": 0.0, "high": 0.2, "step": 0.1}}, reg=0.1)  # fmt: skip
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    found.propose(trial)
    steps = {key: span.step for key, span in trial.distributions.items()}  # type: ignore[attr-defined]
    assert steps == {"model.dim": 4, "model.reg": 0.1}
    assert [point["model.dim"] for point in found.grid()[::3]] == [4, 8, 12, 16]
    assert [point["model.reg"] for point in found.grid()[:3]] == pytest.approx([0, 0.1, 0.2])


def test_a_grid_has_every_combination_once() -> None:
    grid = space(
        {
            "model.loss": ["bpr", "softmax"],
            "model.dim": [4, 8],
            "model.temperature": {"choices": [0.1, 0.2, 0.3], "when": {"model.loss": "softmax"}},
        }
    ).grid()
    assert len(grid) == 2 + 2 * 3
    assert len({tuple(point.items()) for point in grid}) == len(grid)
    assert {len(point) for point in grid if point["model.loss"] == "bpr"} == {2}


def test_a_grid_needs_something_to_count() -> None:
    with pytest.raises(ConfigError, match=r"training\.lr: a grid needs choices"):
        space({"training.lr": {"low": 0.01, "high": 0.1}}).grid()
    with pytest.raises(ConfigError, match=r"model\.dim: a grid needs choices"):
        space({"model.dim": {"low": 1, "high": 16, "log": True}}).grid()


def test_a_fixed_value_replaces_that_of_the_configuration() -> None:
    found = space({"model.dim": 4, "model.loss": ["bpr", "bce"]})
    assert found.own == {"model.dim": 4, "model.loss": "bpr"}


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"model.regg": [1]}, r"Unknown key 'model\.regg'\. Did you mean 'reg'\?"),
        ({"modell.reg": [1]}, r"modell\.reg cannot be searched\. Did you mean 'model'\?"),
        ({"evaluation.top_k": [1]}, "cannot be searched.*not be comparable"),
        ({"model": [1]}, "model cannot be searched"),
        ({"model.name": ["mf", "ngcf"]}, r"model\.name cannot be.*graphrec tune A\.toml B\.toml"),
        ({"model.reg": {"low": 1, "high": 1}}, r"search\.model\.reg: the range is empty"),
        ({"model.reg": {"low": 0, "high": 1, "log": True}}, "log range must stay above 0"),
        ({"model.reg": {"low": 0.1, "high": 1, "log": True, "step": 0.1}}, "has no step"),
        ({"model.reg": {"choices": [1], "log": True}}, "belong to low and high"),
        ({"model.reg": {"low": -1, "high": 1}}, r"model\.reg = -1 is not a setting"),
        ({"model.dim": {"low": 0.5, "high": 2.5}}, r"model\.dim = 0\.5 is not a setting"),
        (
            {"model.reg": {"low": 0, "high": 1, "when": {"model.los": "bpr"}}},
            r"when names 'model\.los', which is no setting\. Did you mean 'model\.loss'",
        ),
        (
            {"model.reg": {"low": 0, "high": 1, "when": {"model.loss": "softmax"}}},
            r"model\.reg never applies: model\.loss is 'bpr' and is not searched",
        ),
        (
            {
                "model.reg": {"low": 0, "high": 1, "when": {"model.loss": "sotfmax"}},
                "model.loss": ["bpr", "softmax"],
            },
            "'sotfmax' can never be.*Did you mean 'softmax'",
        ),
        (
            {
                "model.reg": {"choices": [0.1, 0.2], "when": {"model.dim": 4}},
                "model.dim": {"choices": [4, 8], "when": {"model.reg": 0.1}},
            },
            r"model\.reg and model\.dim depend on each other",
        ),
    ],
)
def test_an_unsound_space_is_refused(search: flow.Table, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(search)


def test_a_condition_on_a_setting_that_is_not_searched_is_decided_at_once() -> None:
    found = space(
        {"model.temperature": {"low": 0.1, "high": 1.0, "when": {"model.loss": "softmax"}}},
        loss="softmax",
    )
    assert found.own == {"model.temperature": 1.0}


def test_the_first_trial_must_lie_in_the_space() -> None:
    found = space({"model.dim": [4, 16]})
    with pytest.raises(ConfigError, match=r"model\.dim: the configuration's own value 8 is not"):
        _ = found.own
    with pytest.raises(ConfigError, match=r"own value 0\.02 is not among 0\.1 to 1\.0"):
        _ = space({"training.lr": {"low": 0.1, "high": 1.0}}).own


def test_settings_of_earlier_studies_are_taken_as_far_as_they_fit() -> None:
    found = space(SEARCH)
    earlier = {"training.lr": 0.5, "model.dim": 16, "model.loss": "softmax",
               "model.temperature": 0.2, "model.reg": 1.0}  # fmt: skip
    assert found.nearest_to(earlier) == {
        "training.lr": 0.02, "model.dim": 16, "model.loss": "softmax", "model.temperature": 0.2,
    }  # fmt: skip
    assert found.nearest_to({"model.dim": 16.5}) == found.own


def test_ends_are_whole_configurations() -> None:
    ends = space(SEARCH).end_configs()
    assert len(ends) == 2 + 3 + 2 + 2
    assert ends["model.temperature = 0.1"].model_dump()["model"]["loss"] == "softmax"


@pytest.mark.parametrize("model", MODELS)
def test_the_default_space_of_a_model_is_sound(model: str) -> None:
    config = flow.config_of(Path("x"), model)
    if not MODELS[model].Config.model_fields.keys() - {"name"}:
        with pytest.raises(ConfigError, match="has no default search space"):
            space_of(config)
        return
    found = space_of(config)
    assert found.ranges
    assert found.config(found.own).model == config.model


def test_the_default_space_reaches_as_far_as_the_configuration() -> None:
    config = flow.config_of(Path("x"), "mf", ["model.reg=5.0", "model.loss=softmax"])
    found = space_of(config)
    assert found.ranges["model.reg"] == SearchRange(low=1e-6, high=5.0, log=True)
    assert "model.temperature" in found.ranges
    assert "model.temperature" not in space_of(flow.config_of(Path("x"), "mf")).ranges
