import json
from pathlib import Path

import numpy as np
import pytest

from graphrec.core.errors import ConfigError, DataError
from graphrec.data import CATALOG, load, split
from graphrec.data.catalog.layouts import file_settings, with_catalog_defaults
from graphrec.data.config import CleanConfig, DataConfig, SplitConfig


def test_every_entry_is_complete_and_its_layouts_are_valid_settings() -> None:
    for name, entry in CATALOG.items():
        assert entry.page.startswith("https://") and entry.licence and entry.citation, name
        assert {"users", "items", "interactions"} <= entry.counts.keys(), name
        SplitConfig.model_validate({"kind": entry.split})
        for layout in entry.layouts:
            config = DataConfig.model_validate(layout.settings)
            assert not {"clean", "item_columns"} & config.model_fields_set, name
            for path in (config.path, config.train, config.valid, config.test, config.items):
                assert path is None or path.name in layout.files, name


def test_parts_add_up_where_they_are_known() -> None:
    for name, entry in CATALOG.items():
        if "train" in entry.counts:
            parts = sum(entry.counts[part] for part in ("train", "valid", "test"))
            assert parts == entry.counts["interactions"], name


def test_only_the_bundled_set_may_be_redistributed() -> None:
    assert [name for name, entry in CATALOG.items() if entry.redistributable] == ["online-retail"]


def test_own_settings_win_key_by_key() -> None:
    merged = with_catalog_defaults(
        {"name": "online-retail", "clean": {"k_core": 10}, "item_columns": {"x": {"column": "y"}}}
    )
    config = DataConfig.model_validate(merged)
    assert config.clean.k_core == 10
    assert config.clean.duplicates == "sum"
    assert len(config.clean.rules) == 3
    assert set(config.item_columns) == {"description", "price", "family", "x"}


def test_merging_a_resolved_configuration_changes_nothing() -> None:
    once = DataConfig.model_validate(with_catalog_defaults({"name": "online-retail"}))
    dumped = json.loads(once.model_dump_json())
    assert DataConfig.model_validate(with_catalog_defaults(dumped)) == once


def test_settings_without_a_name_pass_untouched() -> None:
    assert with_catalog_defaults({"path": "a.csv"}) == {"path": "a.csv"}


def test_unknown_names_and_contradicting_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"Unknown data set 'gowala'.*'gowalla'"):
        with_catalog_defaults({"name": "gowala"})
    with pytest.raises(ConfigError, match=r"data\.user cannot stand beside data\.name = 'gowalla'"):
        with_catalog_defaults({"name": "gowalla", "user": "u"})
    with pytest.raises(ConfigError, match=r"is no CatalogEntry"):
        with_catalog_defaults({"name": "graphrec.core.errors:DataError"})
    with pytest.raises(ConfigError, match=r"data\.time cannot stand beside"):
        load(DataConfig(name="gowalla", time="t"))


def test_missing_files_list_the_places_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHREC_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        file_settings("microlens")
    message = str(error.value)
    for place in ("microlens", "data/microlens", "data/raw/microlens"):
        assert f"{tmp_path / place}\n" in message
    assert "graphrec data get microlens [--from DIR]" in message
    assert "microlens.inter" in message


def test_the_first_place_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHREC_DATA", str(tmp_path))
    (tmp_path / "microlens").mkdir()
    (tmp_path / "microlens" / "microlens.inter").touch()
    config = file_settings("microlens")
    assert config.path == tmp_path / "microlens" / "microlens.inter"
    assert (config.format, config.num_items) == ("mmrec", 17228)


def test_counts_are_checked_unless_the_cleaning_is_your_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHREC_DATA", str(tmp_path))
    (tmp_path / "tiktok").mkdir()
    pair = np.array([[0], [1]], dtype=np.int32)
    np.savez(tmp_path / "tiktok" / "tiktok.npz", train=pair, valid=pair + 1, test=pair + 2)
    with pytest.raises(DataError, match=r"'tiktok' has 3 interactions.*expects 68722"):
        load("tiktok")
    own = load(DataConfig(name="tiktok", clean=CleanConfig(duplicates="last")))
    assert len(own.interactions) == 3


def test_the_bundled_data_set_loads_without_a_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GRAPHREC_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    dataset = load("online-retail")
    assert dataset.statistics()["interactions"] == 264514
    assert dataset.item_table is not None
    row = dataset.item_ids.to_list().index("85123A")
    description, _, family = dataset.item_table.row(row)
    assert (description, family) == ("WHITE HANGING HEART T-LIGHT HOLDER", "85123")
    parts = split(dataset, SplitConfig(kind="temporal_user"))
    assert len(parts.train) + len(parts.valid) + len(parts.test) == 264514
