"""Configurations: files, overrides, defaults of the catalog, and the hash."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError

from graphrec import ConfigError, RunConfig, build_config, load_config
from graphrec.config.file import apply_overrides, differing_keys, parse_override, read_table
from graphrec.config.identity import experiment_identity
from graphrec.core.config import Json
from graphrec.core.ranges import SearchRange
from graphrec.models.popular import Popular
from graphrec.training.config import TrainingConfig
from tests import flow


@pytest.mark.parametrize(
    ("text", "keys", "value"),
    [
        ("model.dim=64", ["model", "dim"], 64),
        ("training.lr=1e-3", ["training", "lr"], 1e-3),
        ("model.normalize=true", ["model", "normalize"], True),
        ("model.name=mf", ["model", "name"], "mf"),
        ('run.name="007"', ["run", "name"], "007"),
        ("evaluation.top_k=[5, 10]", ["evaluation", "top_k"], [5, 10]),
        ("data.clean.rules=[{column = 'a', min = 1}]", ["data", "clean", "rules"],
         [{"column": "a", "min": 1}]),
        ("evaluation.valid_metric=ndcg@5", ["evaluation", "valid_metric"], "ndcg@5"),
        ("run.name=a=b", ["run", "name"], "a=b"),
        ("run.name=", ["run", "name"], ""),
        (" model.dim = 8", ["model", "dim"], 8),
    ],
)  # fmt: skip
def test_the_value_of_an_override_is_toml_or_else_text(
    text: str, keys: list[str], value: object
) -> None:
    assert parse_override(text) == (keys, value)


def test_overrides_apply_in_order_and_leave_their_argument_alone() -> None:
    table: flow.Table = {"model": {"name": "mf", "dim": 8}}
    changed = apply_overrides(table, ["model.dim=1", "model.dim=2", "training.lr=0.5"])
    assert changed == {"model": {"name": "mf", "dim": 2}, "training": {"lr": 0.5}}
    assert table == {"model": {"name": "mf", "dim": 8}}


def test_toml_and_json_give_the_same_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[data]\npath = "x.csv"\n[model]\nname = "mf"\ndim = 8\n[search]\n'
        '"training.lr" = {low = 1e-4, high = 1e-2, log = true}\n'
    )
    config = load_config(tmp_path / "a.toml")
    dumped = config.model_dump(mode="json")
    (tmp_path / "config.json").write_text(json.dumps(dumped))
    again = load_config(tmp_path / "config.json")
    assert again == config
    assert experiment_identity(again) == experiment_identity(config)


def test_the_name_of_the_file_is_the_label_unless_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[data]\npath = "x.csv"\n[model]\nname = "mf"\n')
    assert load_config(path).run.name == "mine"
    assert load_config(path, ["run.name=other"]).run.name == "other"


def test_an_error_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[data]\npath = "x.csv"\n[model]\nname = "mf"\nlayers = 2\n')
    with pytest.raises(ConfigError, match=r"mine\.toml: Unknown key 'model\.layers'"):
        load_config(path)


def test_all_problems_are_told_at_once() -> None:
    overrides = ["training.lr=-1", "split.kind=x", "run.sed=1"]
    with pytest.raises(ConfigError) as caught:
        build_config(flow.table_of(Path(), "mf"), overrides)
    assert all(key in str(caught.value) for key in ("training.lr", "split.kind", "run.sed"))


def test_configurations_are_frozen() -> None:
    config = flow.config_of(Path(), "mf")
    with pytest.raises(ValidationError, match="frozen"):
        config.training.lr = 0.5  # type: ignore[misc]


def test_differing_keys_are_dotted_and_sorted() -> None:
    old: flow.Table = {"a": {"b": 1, "c": [1]}, "d": {}}
    assert differing_keys(old, old) == []
    assert differing_keys(old, {"a": {"b": 2, "c": [1, 2]}, "e": None}) == ["a.b", "a.c", "d"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "exactly one of: name, path, or train and test"),
        ({"path": "a.csv", "train": "b.csv", "test": "c.csv"}, "exactly one of"),
        ({"train": "b.csv"}, "needs both train and test"),
        ({"name": "gowalla", "path": "a.csv"}, "cannot stand beside"),
        ({"name": "gowalla", "user": "u"}, "cannot stand beside"),
    ],
)
def test_data_come_from_one_source(data: flow.Table, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config(flow.table_of(Path(), "mf") | {"data": data})


def test_settings_of_the_catalog_are_the_defaults_and_stand_in_the_record() -> None:
    config = build_config({"data": {"name": "online-retail"}, "model": {"name": "popular"}})
    assert config.data.clean.rules
    assert config.data.item_columns
    changed = build_config(
        {"data": {"name": "online-retail", "clean": {"k_core": 7}}, "model": {"name": "popular"}}
    )
    assert (changed.data.clean.k_core, changed.data.clean.rules) == (7, config.data.clean.rules)
    assert build_config(changed.model_dump(mode="json")) == changed


def test_tables_of_models_and_encoders_are_of_their_own_kind() -> None:
    config = flow.config_of(Path())
    assert type(config.model).__name__ == "ModalityAttentionGCNConfig"
    assert type(config.features["text"]).__name__ == "TfidfConfig"
    dumped = config.model_dump(mode="json")
    assert dumped["model"]["fusion"] == "attention"
    assert dumped["features"]["text"]["dim"] == 4


def test_a_model_of_your_own_is_imported_by_its_path() -> None:
    own = flow.config_of(Path(), "mf", ['model.name="graphrec.models.ngcf:NGCF"'])
    assert type(own.model).__name__ == "NGCFConfig"


def test_cut_offs_are_sorted_and_single() -> None:
    config = flow.config_of(Path(), "mf", ["evaluation.top_k=[20, 5, 20]"])
    assert config.evaluation.top_k == (5, 20)


@pytest.mark.parametrize(
    "span",
    [
        {"low": 1, "high": 1},
        {"low": 0, "high": 1, "log": True},
        {"low": 1, "high": 2, "choices": [1]},
        {},
    ],
)
def test_a_search_range_is_an_interval_or_choices(span: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SearchRange.model_validate(span)


def test_valid_search_ends_are_accepted() -> None:
    table = flow.table_of(Path(), "mf")
    table["search"] = {
        "model.dim": {"low": 8, "high": 64},
        "training.lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "model.loss": {"choices": ["bpr", "softmax"]},
        "model.normalize": {"choices": [True, False]},
    }
    assert set(build_config(table).search) == set(table["search"])


def test_tolerance_and_published_need_each_other() -> None:
    table = flow.table_of(Path(), "mf")
    with pytest.raises(ConfigError, match=r"need a \[paper\] table"):
        build_config(table | {"published": {"recall@5": 0.1}})
    with pytest.raises(ConfigError, match="tolerance without a published value: recall@5"):
        build_config(table | {"tolerance": {"recall@5": 0.1}})


@pytest.mark.parametrize("override", ["training.lr=inf", "model.reg=inf", "model.reg=nan"])
def test_settings_that_are_not_finite_are_refused(override: str) -> None:
    """JSON has no infinity: such a run could not be written down."""
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        flow.config_of(Path(), "mf", [override])


def test_read_table_reads_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[run]\nname = "caf\u00e9"\n', encoding="utf-8")
    assert read_table(tmp_path / "a.toml") == {"run": {"name": "caf\u00e9"}}
    (tmp_path / "b.toml").write_bytes(b'[run]\nname = "caf\xe9"\n')
    with pytest.raises(ConfigError, match=r"b\.toml is malformed"):
        read_table(tmp_path / "b.toml")


def test_json_schema_can_be_made() -> None:
    schema = RunConfig.model_json_schema()
    assert "training" in schema["properties"]


def test_a_byte_order_mark_is_no_part_of_a_configuration(tmp_path: Path) -> None:
    for name, text in (("a.toml", 'x = "y"'), ("a.json", '{"x": "y"}')):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert read_table(tmp_path / name) == {"x": "y"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"path": "r.txt", "user": "column_1"}, r'user has no effect.*data\.format = "csv"'),
        ({"path": "r.txt", "item": "column_2"}, r'item has no effect.*data\.format = "csv"'),
        ({"path": "r.txt", "time": "t"}, r'time has no effect.*data\.format = "csv"'),
        ({"path": "r.txt.gz", "weight": "w"}, r'weight has no effect.*data\.format = "csv"'),
        ({"path": "r.TXT", "label": "w"}, r'label has no effect.*data\.format = "csv"'),
        ({"path": "r.txt", "separator": " "}, r'separator has no effect.*data\.format = "csv"'),
        ({"path": "r.txt", "quote": "'"}, r'quote has no effect.*data\.format = "csv"'),
        ({"path": "r.dat", "format": "adjacency", "time": "t"}, "time has no effect"),
        ({"train": "a.txt", "test": "b.txt", "user": "u"}, "user has no effect"),
        ({"path": "r.npy", "user": "u"}, "user has no effect"),
        ({"path": "r.csv", "line_start": "count"}, "line_start has no effect"),
        ({"path": "r.csv", "unroll_separator": " "}, "unroll_separator has no effect"),
        ({"path": "r.parquet", "separator": ";"}, "separator has no effect"),
        ({"path": "r.jsonl", "quote": "none"}, "quote has no effect"),
        ({"path": "r.npz", "encoding": "latin-1"}, "encoding has no effect"),
        ({"path": "r.csv", "items_format": "csv"}, "items_format has no effect"),
        ({"path": "r.csv", "items_separator": ";"}, "items_separator has no effect"),
        ({"path": "r.csv", "items": "i.jsonl", "items_quote": "'"}, "items_quote has no effect"),
        ({"path": "r.csv", "items": "i.parquet", "items_encoding": "latin-1"}, "items_encoding"),
        ({"path": "r.csv", "encoding": "latin-77"}, "must be the name of an encoding"),
        ({"path": "r.csv", "separator": ""}, "at least 1 character"),
    ],
)
def test_a_setting_that_the_format_of_the_file_makes_idle_is_refused(
    data: flow.Table, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config({"data": data, "model": {"name": "popular"}})


@pytest.mark.parametrize(
    "data",
    [
        {"path": "r.dat", "separator": "::"},  # a name that tells nothing
        {"path": "r.parquet", "items": "i.csv", "separator": ";", "quote": "'"},
        {"path": "r.npz", "items": "i.jsonl", "encoding": "latin-1"},
        {"path": "r.txt", "format": "csv", "separator": " ", "user": "column_1"},
        {"train": "a.txt", "test": "b.txt", "encoding": "utf-16"},
    ],
)
def test_a_setting_that_one_of_the_files_needs_is_accepted(data: flow.Table) -> None:
    assert build_config({"data": data, "model": {"name": "popular"}})


class DistilledStudent(Popular):
    """A model with a learning rate of its own."""

    training_defaults: ClassVar[Mapping[str, Json]] = {"lr": 0.25, "num_negatives": 3}


TAUGHT = [f'model.name="{__name__}:DistilledStudent"']


def test_a_model_has_training_defaults_of_its_own(tmp_path: Path) -> None:
    table = flow.table_of(Path(), "popular") | {"training": {"num_negatives": 5}}
    own, other = build_config(table, TAUGHT).training, build_config(table).training
    assert (own.lr, own.num_negatives) == (0.25, 5)
    assert own.batch_size == other.batch_size
    assert other.lr == TrainingConfig().lr
    without = {key: value for key, value in table.items() if key != "training"}
    assert build_config(without, TAUGHT).training.num_negatives == 3


def test_training_defaults_of_a_model_stand_in_the_record_and_in_the_hash(tmp_path: Path) -> None:
    table = {key: value for key, value in flow.table_of(Path(), "popular").items()}
    del table["training"]
    config = build_config(table, TAUGHT)
    path = tmp_path / "config.json"
    path.write_text(config.model_dump_json(), encoding="utf-8")
    assert read_table(path)["training"]["lr"] == 0.25  # type: ignore[index, call-overload]
    again = load_config(path, ["run.name=popular"])
    assert again == config
    assert experiment_identity(again) == experiment_identity(config)
    explicit = build_config(table, [*TAUGHT, "training.lr=1e-3"])
    assert explicit.training.lr == 1e-3
    assert experiment_identity(explicit) != experiment_identity(config)


def test_a_training_table_of_python_keeps_what_it_was_given() -> None:
    config = build_config(flow.table_of(Path(), "popular"), TAUGHT)
    given = {name: getattr(config, name) for name in ("data", "model")}
    assert RunConfig(**given, training=TrainingConfig(lr=0.5)).training.lr == 0.5
    assert RunConfig(**given, training=TrainingConfig(lr=0.5)).training.num_negatives == 3
    assert RunConfig(**given).training.lr == 0.25


def test_wrong_settings_of_training_are_named_for_such_a_model_too() -> None:
    for override, named in (("training.lrr=1", "lrr"), ("training.lr=-1", "training.lr")):
        with pytest.raises(ConfigError, match=named):
            build_config(flow.table_of(Path(), "popular"), [*TAUGHT, override])
    with pytest.raises(ConfigError, match="training"):
        build_config(flow.table_of(Path(), "popular") | {"training": 3}, TAUGHT)
