"""What is trained under which name, and why something cannot be."""

import pytest

from graphrec import ConfigError, build_config
from graphrec.studies.missing import Grid, missing_variants
from graphrec.studies.variants import modality_variants
from tests.studies import worlds


def test_two_modalities_have_eight_different_variants() -> None:
    found = {each.label: each for each in modality_variants(worlds.config_of("image", "junk"))}
    assert list(found) == [
        "full", "without image", "only image", "shuffled image", "noise image",
        "without junk", "only junk", "shuffled junk", "noise junk", "id only",
    ]  # fmt: skip
    assert found["only image"].folder == "only-image"
    assert found["without junk"].folder == "only-image"
    assert found["only junk"].folder == "without-image"
    assert len({each.folder for each in found.values()}) == 8


def test_settings_say_what_the_label_says() -> None:
    found = {each.label: each.settings for each in modality_variants(worlds.config_of("image"))}
    assert all(found.values())
    assert found["only image"] == found["full"]
    assert not found["without image"].features
    assert found["without image"] == found["id only"]
    assert found["noise image"].controls == {"image": "noise"}
    assert found["noise image"].run.name == "toy, noise image"


def test_what_belongs_to_the_experiment_alone_is_left_out() -> None:
    table = worlds.table_of("image")
    table["evaluation"] |= {"baselines": ["popular"]}
    table |= {"search": {"training.lr": [0.1, 0.2]}}
    full = modality_variants(build_config(table))[0].settings
    assert full.evaluation.baselines == ()
    assert full.search == {}


def test_settings_of_modalities_that_are_gone_are_left_out() -> None:
    config = worlds.config_of("image", "junk", "lists", item_layers=1, knn_k=3)
    table = worlds.table_of(
        "image", "junk", item_layers=1, knn_weights={"image": 1, "junk": 2}, align="mmd"
    ) | {"missing": {"rate": 0.2, "modalities": ["image"]}, "controls": {"junk": "noise"}}
    found = {each.label: each.settings for each in modality_variants(build_config(table))}
    without = found["without image"]
    assert dict(without.model.knn_weights) == {"junk": 2}
    assert without.model.align == "none"
    assert not without.missing.active
    assert without.controls == {"junk": "noise"}
    assert found["without junk"].controls == {}
    assert found["shuffled image"].controls == {"image": "shuffled", "junk": "noise"}
    assert found["id only"].model.item_layers == 0
    lists = {each.label: each.settings for each in modality_variants(config)}["only lists"]
    assert lists.model.item_layers == 1


def test_without_ids_what_has_no_content_is_skipped_with_its_reason() -> None:
    config = worlds.config_of("image", use_id=False)
    found = {each.label: each for each in modality_variants(config)}
    for label in ("without image", "id only"):
        assert found[label].settings is None
        assert "nothing to learn from" in found[label].skipped
    assert found["shuffled image"].settings is not None


def test_a_strategy_that_needs_two_modalities_is_skipped_with_one() -> None:
    table = worlds.table_of("image", "junk") | {"missing": {"strategy": "regression"}}
    found = {each.label: each for each in modality_variants(build_config(table))}
    assert "fills a modality from another one" in found["without image"].skipped


def test_a_grid_has_one_complete_variant_and_each_cell() -> None:
    grid = Grid((0.5, 0, 0.2, 0.5), ("random", "modality"), ("mask", "mean"))
    found = missing_variants(worlds.config_of("image", "junk"), grid)
    assert [each.label for each in found] == [
        "complete",
        *(
            f"{panel} {rate} {strategy}"
            for panel in ("random", "modality image", "modality junk")
            for rate in (0.2, 0.5)
            for strategy in ("mask", "mean")
        ),
    ]
    last = found[-1]
    assert last.settings.missing.modalities == ("junk",)
    assert last.attributes == {
        "mechanism": "modality", "modality": "junk", "rate": 0.5, "strategy": "mean"
    }  # fmt: skip
    assert found[1].settings.missing.modalities is None


def test_chosen_modalities_alone_lose_items() -> None:
    grid = Grid((0.5,), ("random", "modality"), ("mask",), ("image",))
    found = missing_variants(worlds.config_of("image", "junk"), grid)
    assert [each.settings.missing.modalities for each in found[1:]] == [("image",), ("image",)]


def test_learned_strategies_are_skipped_with_one_modality() -> None:
    grid = Grid((0.5,), ("random",), ("mask", "regression", "gan", "vae"))
    found = missing_variants(worlds.config_of("image"), grid)
    assert [each.settings is None for each in found] == [False, False, True, True, True]
    assert all("fills a modality from another one" in each.skipped for each in found[2:])


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (Grid(rates=(0, 1.0)), r"--rates: 1 is no rate; it must be at least 0 and below 1"),
        (Grid(rates=(-0.1,)), r"--rates: -0\.1 is no rate"),
        (Grid(strategies=("maen",)), r"--strategies: 'maen' is unknown\. Did you mean 'mean'"),
        (Grid(mechanisms=("randm",)), r"--mechanisms: 'randm' .* Did you mean 'random'"),
        (Grid(modalities=("imag",)), r"--modalities: 'imag' .* Did you mean 'image'"),
    ],
)
def test_a_bad_grid_is_refused(grid: Grid, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        missing_variants(worlds.config_of("image"), grid)


def test_lists_of_neighbours_cannot_lose_rows() -> None:
    config = worlds.config_of("image", "lists", item_layers=1, knn_k=3)
    with pytest.raises(ConfigError, match=r"\[features\.lists\] holds lists.*--modalities"):
        missing_variants(config, Grid())
    assert missing_variants(config, Grid(modalities=("image",)))


def test_an_experiment_with_missing_modalities_of_its_own_is_refused() -> None:
    config = build_config(worlds.table_of("image") | {"missing": {"rate": 0.5}})
    with pytest.raises(ConfigError, match=r"sets the table \[missing\] itself"):
        missing_variants(config, Grid())


def test_names_that_would_share_a_folder_are_refused() -> None:
    table = worlds.table_of("image")
    image = table["features"]["image"]
    table["features"] = {"a b": image, "a-b": image, "c": image}
    with pytest.raises(ConfigError, match="Rename one of the modalities"):
        modality_variants(build_config(table))


def test_lists_that_became_values_are_values() -> None:
    """The encoder spectral reads the same files as lists of neighbours."""
    table = worlds.table_of("image", "lists", modality_dropout=0.2)
    table["features"]["lists"] |= {"encoder": "spectral", "dim": 2}
    config = build_config(table)
    assert modality_variants(config)[0].settings.model.modality_dropout == 0.2
    without = {each.label: each for each in modality_variants(config)}["without image"]
    assert without.settings.model.modality_dropout == 0
    assert missing_variants(config, Grid(strategies=("mean",)))[1].settings is not None
