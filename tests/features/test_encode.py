import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphrec.config import build_config
from graphrec.core.errors import ConfigError, DataError
from graphrec.data import Dataset, Features, Interactions
from graphrec.features import ENCODERS, encode
from graphrec.features.audio.config import AudioConfig
from graphrec.features.config import FeatureConfig
from graphrec.features.content.pretrained import EncodedModality
from graphrec.features.image.config import ImageConfig
from graphrec.features.tabular.attributes import AttributeConfig
from graphrec.features.tabular.matrices import FileConfig
from graphrec.features.tabular.tfidf import TfidfConfig
from graphrec.features.text.config import TextConfig
from graphrec.features.video.config import VideoConfig

TABLE = pl.DataFrame({"title": ["red ball", None, "red car"], "price": [1.0, 2.0, None]})


def dataset(table: pl.DataFrame | None = TABLE) -> Dataset:
    zero = np.zeros(1, dtype=np.int32)
    return Dataset(
        name="shop",
        interactions=Interactions(zero, zero, num_users=1, num_items=3),
        user_ids=pl.Series(["u"]),
        item_ids=pl.Series(["a", "b", "c"]),
        item_table=table,
    )


def npy(folder: Path, ids: str) -> FileConfig:
    np.save(folder / "rows.npy", np.eye(2, dtype=np.float32))
    (folder / "ids.txt").write_text(ids)
    return FileConfig(path=folder / "rows.npy", ids=folder / "ids.txt")


def test_all_modalities_are_aligned_and_masked(tmp_path):
    configs = {
        "text": TfidfConfig(columns=("title",), min_df=1, dim=2),
        "facts": AttributeConfig(numeric=("price",)),
        "image": npy(tmp_path, "c\nb\n"),
    }
    features = encode(dataset(), configs)
    assert isinstance(features, Features)
    assert list(features) == ["text", "facts", "image"]
    assert features["text"].present.tolist() == [True, False, True]
    assert features["facts"].present.tolist() == [True, True, False]
    assert features["image"].present.tolist() == [False, True, True]
    assert features["image"].values.tolist() == [[0, 0], [0, 1], [1, 0]]
    for modality in features.values():
        assert not modality.values[~modality.present].any()


def test_encoding_twice_gives_the_same_fingerprint():
    configs = {"text": TfidfConfig(columns=("title",), min_df=1)}
    assert encode(dataset(), configs).fingerprint == encode(dataset(), configs).fingerprint


def test_no_modalities_are_no_features():
    assert len(encode(dataset(), {})) == 0


def test_an_error_names_the_modality():
    configs = {"words": TfidfConfig(columns=("titel",))}
    with pytest.raises(DataError, match=r"^\[features\.words\] .*'titel'.*'title'"):
        encode(dataset(), configs)


def test_a_data_set_without_item_table_names_modality_and_remedy():
    with pytest.raises(DataError, match=r"\[features\.facts\].*no item table"):
        encode(dataset(None), {"facts": AttributeConfig(numeric=("price",))})


def test_content_of_other_items_is_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"\[features\.image\] .*none is one of the 3 items: .*'a'.*'x'"
    ):
        encode(dataset(), {"image": npy(tmp_path, "x\ny\n")})


def test_an_unknown_encoder_offers_the_nearest():
    with pytest.raises(ConfigError, match=r"\[features\.text\] Unknown encoder 'tfdif'.*'tfidf'"):
        encode(dataset(), {"text": FeatureConfig(encoder="tfdif")})


def test_a_config_of_another_encoder_is_refused():
    config = AttributeConfig(encoder="tfidf", numeric=("price",))
    with pytest.raises(ConfigError, match=r"\[features\.text\].*a TfidfConfig, not a AttributeC"):
        encode(dataset(), {"text": config})


def test_an_encoder_can_be_named_by_its_import_path():
    config = AttributeConfig(
        encoder="graphrec.features.tabular.attributes:AttributeEncoder", numeric=("price",)
    )
    assert encode(dataset(), {"facts": config})["facts"].values.shape == (3, 1)


@pytest.mark.parametrize("name", sorted(name for name in ENCODERS if not name.endswith(":")))
def test_the_default_encoder_of_a_config_is_its_own_name(name):
    assert ENCODERS[name].Config.model_fields["encoder"].default == name


# --- pretrained encoders: prefix and content key ---


def features(**table: object) -> FeatureConfig:
    """``[features.x]`` of a whole configuration, as a run validates it."""
    whole = {"data": {"path": "pairs.csv"}, "model": {"name": "popular"}, "features": {"x": table}}
    return build_config(json.loads(json.dumps(whole))).features["x"]


@pytest.mark.parametrize("prefix", ["hf", "local", "package"])
def test_the_content_key_tells_what_is_encoded(prefix):
    assert isinstance(features(encoder=f"{prefix}:any/thing", text="title"), TextConfig)
    assert isinstance(features(encoder=f"{prefix}:any/thing", images="{item}.png"), ImageConfig)
    assert isinstance(features(encoder=f"{prefix}:any/thing", video="{item}.mp4"), VideoConfig)
    assert isinstance(features(encoder=f"{prefix}:any/thing", audio="{item}.wav"), AudioConfig)


def test_a_resolved_configuration_can_be_run_again():
    for first in (
        features(encoder="hf:a/b", text=["title", "price"], layer=-2, pca=16),
        features(encoder="torchvision:resnet18", images="{item}.png", weights="random", seed=3),
        features(encoder="torchvision:r3d_18", video="{item}.mp4", frames=16, layer="layer3"),
        features(encoder="package:resemblyzer", audio="{data}/{item}.mp3", max_seconds=10),
        features(encoder="mfcc", audio="{item}.wav", num_coefficients=13),
        features(encoder="cnn_lstm", audio="{item}.wav", seed=3),
    ):
        again = features(**first.model_dump(mode="json"))
        assert again == first


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"text": "title", "images": "{item}.png"},
        {"text": "title", "audio": "{item}.wav"},
        {"columns": ["title"]},
    ],
)
def test_exactly_one_content_key_is_needed(content):
    with pytest.raises(
        ConfigError,
        match=r"features\.x: .*exactly one of text or text_files or images or video or audio",
    ):
        features(encoder="hf:a/b", **content)


def test_a_setting_of_the_other_kind_is_unknown():
    with pytest.raises(ConfigError, match=r"Unknown key 'features\.x\.max_length'.*'max_pixels'"):
        features(encoder="hf:a/b", images="{item}.png", max_length=3)
    with pytest.raises(ConfigError, match=r"features\.x\.pooling: Input should be 'mean', 'cls'"):
        features(encoder="hf:a/b", text="title", pooling="max")
    with pytest.raises(ConfigError, match=r"Unknown key 'features\.x\.num_mels'|'num_mels'"):
        features(encoder="stft", audio="{item}.wav", num_mels=3)


def test_a_prefix_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="Cannot import encoder 'torchvison:resnet18'"):
        features(encoder="torchvison:resnet18", images="{item}.png")


def test_pretrained_errors_name_the_modality(tmp_path):
    config = features(encoder=f"local:{tmp_path}", text="titel", store=str(tmp_path / "store"))
    with pytest.raises(DataError, match=r"^\[features\.x\] .*'titel'.*'title'"):
        encode(dataset(), {"x": config})


def test_pretrained_and_other_features_stand_side_by_side(tmp_path):
    tiny = pytest.importorskip("tests.features.tiny")
    folder = tiny.save_bert(tmp_path / "bert")
    words = features(encoder=f"local:{folder}", text="title", store=str(tmp_path / "store"))
    found = encode(dataset(), {"words": words, "facts": AttributeConfig(numeric=("price",))})
    assert found["words"].values.shape == (3, 8)
    assert found["words"].present.tolist() == [True, False, True]
    assert isinstance(found["words"], EncodedModality)
    assert found["words"].report.missing == {"b": "no text"}
