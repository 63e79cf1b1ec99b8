from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphrec.config import FeatureConfig
from graphrec.datasets.dataset import Dataset
from graphrec.datasets.interactions import Interactions
from graphrec.errors import ConfigError, DataError
from graphrec.features import ENCODERS, Features, encode
from graphrec.features.attributes import AttributeConfig
from graphrec.features.files import FileConfig
from graphrec.features.tfidf import TfidfConfig

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
    with pytest.raises(DataError, match=r"\[features\.image\] none of the 3 items.*'shop'"):
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
        encoder="graphrec.features.attributes:AttributeEncoder", numeric=("price",)
    )
    assert encode(dataset(), {"facts": config})["facts"].values.shape == (3, 1)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_the_default_encoder_of_a_config_is_its_own_name(name):
    assert ENCODERS[name].Config.model_fields["encoder"].default == name
