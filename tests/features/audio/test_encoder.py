import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

from graphrec.core.errors import ConfigError, DataError
from graphrec.features.audio.config import AudioConfig
from graphrec.features.audio.encoder import AudioEncoder
from graphrec.features.audio.hub_networks import windows
from graphrec.features.content.pretrained import EncodedModality
from tests.features import tiny, tiny_sounds

SECONDS = (0.6, 0.5, 0.9, 0.5)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for kind in ("Wav2Vec2", "Hubert", "WavLM"):
        for norm in ("group", "layer"):
            tiny.save_wav2vec2(folder / f"{kind}-{norm}", norm, kind)
    tiny.save_ast(folder / "ast")
    tiny.save_whisper(folder / "whisper")
    tiny.save_clap(folder / "clap")
    return folder


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    tiny_sounds.some(tmp_path / "sounds", SECONDS)
    return tmp_path / "sounds"


def encode(sounds: Path, model: Path, count: int = 4, **settings: object) -> EncodedModality:
    table = {"audio": f"{sounds}/{{item}}.wav", "store": sounds.parent / "store", **settings}
    ids = pl.Series([f"i{number}" for number in range(count)])
    return AudioEncoder(AudioConfig(encoder=f"local:{model}", **table)).encode(None, ids)


def samples(sounds: Path, number: int) -> np.ndarray:
    return tiny_sounds.soundfile.read(sounds / f"i{number}.wav", dtype="float32")[0]


def hidden(model: Path, pieces: list[np.ndarray], layer: int | None = None) -> np.ndarray:
    """One at a time, as the documentation of transformers shows it."""
    from transformers import AutoFeatureExtractor, AutoModel

    extractor, network = (
        AutoFeatureExtractor.from_pretrained(model),
        AutoModel.from_pretrained(model),
    )
    network = network.get_encoder() if model.name == "whisper" else network
    found = []
    for piece in pieces:
        inputs = extractor(piece, sampling_rate=16_000, return_tensors="pt")
        with torch.no_grad():
            output = network.eval()(**inputs, output_hidden_states=True)
        vectors = output.last_hidden_state if layer is None else output.hidden_states[layer]
        found.append(vectors[0].numpy())
    return found


# --- waveforms ---


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert", "WavLM"])
def test_a_model_of_waveforms_gives_the_mean_over_time(sounds, models, kind, norm):
    model = models / f"{kind}-{norm}"
    found = encode(sounds, model, batch_size=3)
    expected = hidden(model, [samples(sounds, number) for number in range(4)])
    assert [len(each) for each in expected] == [478, 398, 718, 398]
    means = np.stack([each.mean(axis=0) for each in expected])
    np.testing.assert_allclose(found.values, means, atol=1e-5)
    assert means.std() > 0.01


@pytest.mark.parametrize("name", ["Wav2Vec2-group", "Wav2Vec2-layer", "ast", "whisper", "clap"])
def test_a_row_does_not_depend_on_its_batch(sounds, models, name):
    alone = encode(sounds, models / name, batch_size=1)
    for size in (2, 3, 4):
        store = sounds.parent / f"store{size}"
        found = encode(sounds, models / name, batch_size=size, store=store)
        np.testing.assert_allclose(found.values, alone.values, atol=1e-5)
    assert np.abs(alone.values[:1] - alone.values[1:]).max() > 1e-3


def test_a_model_can_be_cut_at_a_layer(sounds, models):
    model = models / "Wav2Vec2-group"
    found = encode(sounds, model, 1, layer=1)
    expected = hidden(model, [samples(sounds, 0)], 1)[0].mean(axis=0)
    np.testing.assert_allclose(found.values[0], expected, atol=1e-5)
    with pytest.raises(ConfigError, match=r"layer = 5, but local:.* has the layers 0 to 2"):
        encode(sounds, model, layer=5)


def test_a_sound_without_one_whole_frame_is_missing(sounds, models):
    for number, count in enumerate((45, 44)):  # 10 + 5 (8 - 1) samples make one vector
        rows = samples(sounds, 3)[:count]
        tiny_sounds.soundfile.write(sounds / f"i{number}.wav", rows, 16_000, subtype="FLOAT")
    found = encode(sounds, models / "Wav2Vec2-group", 2)
    assert found.present.tolist() == [True, False]
    assert found.report.missing["i1"] == (
        "too short: 44 samples at 16,000 per second, at least 45 are needed"
    )


# --- spectrograms ---


def test_a_spectrogram_transformer_gives_the_mean_or_the_first_vector(sounds, models):
    expected = hidden(models / "ast", [samples(sounds, number) for number in (0, 1)])
    found = encode(sounds, models / "ast", 2)
    np.testing.assert_allclose(found.values, [each.mean(axis=0) for each in expected], atol=1e-5)
    found = encode(sounds, models / "ast", 2, pooling="cls")
    np.testing.assert_allclose(found.values, [each[0] for each in expected], atol=1e-5)
    found = encode(sounds, models / "ast", 2, layer=-2)
    expected = hidden(models / "ast", [samples(sounds, number) for number in (0, 1)], -2)
    np.testing.assert_allclose(found.values, [each.mean(axis=0) for each in expected], atol=1e-5)


@pytest.mark.parametrize("name", ["ast", "whisper"])
def test_a_longer_sound_is_the_mean_of_windows_that_cover_it(sounds, models, name):
    size = {"ast": 400 + 63 * 160, "whisper": 16_000}[name]
    tiny_sounds.sound(sounds / "i0.wav", 5, 2.3)
    whole = samples(sounds, 0)
    count = {"ast": 4, "whisper": 3}[name]
    starts = [round(k * (len(whole) - size) / (count - 1)) for k in range(count)]
    pieces = hidden(models / name, [whole[start : start + size] for start in starts])
    found = encode(sounds, models / name, 1)
    np.testing.assert_allclose(
        found.values[0], np.mean([p.mean(axis=0) for p in pieces], axis=0), atol=1e-5
    )


def test_windows_are_the_fewest_that_cover_a_sound():
    for count in (1, 9, 10, 11, 20, 21, 99, 100, 101):
        pieces = windows(np.arange(count, dtype=np.float32), 10)
        assert len(pieces) == -(-count // 10)
        assert {len(piece) for piece in pieces} == {min(count, 10)}
        assert set(np.concatenate(pieces)) == set(range(count))


def test_whisper_gives_the_mean_over_the_frames_with_sound(sounds, models):
    expected = hidden(models / "whisper", [samples(sounds, number) for number in range(4)])
    used = [30, 25, 45, 25]  # 10 ms per frame, two frames per vector
    means = [each[:count].mean(axis=0) for each, count in zip(expected, used, strict=True)]
    np.testing.assert_allclose(encode(sounds, models / "whisper").values, means, atol=1e-5)


def test_clap_gives_its_joint_embedding(sounds, models):
    from transformers import AutoFeatureExtractor, AutoModel

    extractor = AutoFeatureExtractor.from_pretrained(models / "clap")
    inputs = extractor(samples(sounds, 2), sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        expected = AutoModel.from_pretrained(models / "clap").eval().get_audio_features(**inputs)
    found = encode(sounds, models / "clap")
    assert found.values.shape == (4, 6)
    np.testing.assert_allclose(found.values[2], expected.pooler_output[0].numpy(), atol=1e-5)
    with pytest.raises(ConfigError, match="one joint embedding per sound: remove layer and pool"):
        encode(sounds, models / "clap", layer=1)


@pytest.mark.parametrize("name", ["ast", "whisper", "clap", "WavLM-layer", "Hubert-group"])
def test_no_global_random_state_is_read_or_changed(sounds, models, name):
    tiny_sounds.sound(sounds / "i0.wav", 5, 2.3)
    rows = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        rows.append(encode(sounds, models / name, store=sounds.parent / str(seed)).values)
        drawn = np.random.random(), torch.rand(1).item()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        assert drawn == (np.random.random(), torch.rand(1).item())  # noqa: NPY002
    assert (rows[0] == rows[1]).all()


def test_a_clap_that_draws_parts_at_random_is_refused(sounds):
    fused = tiny.save_clap(sounds.parent / "fused", "fusion")
    with pytest.raises(ConfigError, match=r"drawn at random \(fusion\).* unfused variant"):
        encode(sounds, fused)


# --- folders ---


def test_a_folder_without_feature_extractor_is_named(sounds):
    folder = tiny.save_bert(sounds.parent / "bert")
    with pytest.raises(DataError, match="bert holds no audio model with its feature extractor"):
        encode(sounds, folder)


def test_a_model_of_pictures_is_refused(sounds):
    folder = tiny.save_vit(sounds.parent / "vit")
    with pytest.raises((ConfigError, DataError), match=r"vit.* (not supported|no audio model)"):
        encode(sounds, folder)


def test_an_empty_folder_is_named(sounds):
    with pytest.raises(DataError, match=r"holds no model.*feature extractor"):
        encode(sounds, sounds.parent)


def test_the_identity_names_weights_settings_and_versions(sounds, models):
    folders = set()
    for settings in ({}, {"layer": 1}, {"max_seconds": 0.4}, {"pooling": "cls"}):
        folders.add(encode(sounds, models / "ast", 1, **settings).report.folder)
    assert len(folders) == 4
    manifest = json.loads((Path(min(folders)) / "manifest.json").read_text())
    assert len(manifest["weights_sha256"]) == 64
    libraries = {"librosa", "soundfile", "soxr", "numpy", "torch", "transformers", "torchaudio"}
    assert set(manifest["versions"]) == libraries
    for key in ("encoder", "revision", "layer", "pooling", "max_seconds", "decoding"):
        assert key in manifest


# --- content ---


def test_deleting_one_sound_encodes_nothing_else(sounds, models):
    first = encode(sounds, models / "Wav2Vec2-group")
    (sounds / "i1.wav").unlink()
    again = encode(sounds, models / "Wav2Vec2-group")
    assert (again.report.encoded, again.report.reused) == (0, 3)
    assert again.report.missing == {"i1": "no file"}
    assert (again.values[[0, 2, 3]] == first.values[[0, 2, 3]]).all()


def test_a_changed_sound_encodes_only_itself(sounds, models):
    first = encode(sounds, models / "Wav2Vec2-group")
    tiny_sounds.sound(sounds / "i1.wav", seed=9)
    again = encode(sounds, models / "Wav2Vec2-group")
    assert (again.report.encoded, again.report.reused) == (1, 3)
    assert not np.allclose(again.values[1], first.values[1])


def test_bad_sounds_are_missing_each_with_its_reason(sounds, models):
    (sounds / "i0.wav").write_bytes(b"")
    (sounds / "i1.wav").write_text("no sound")
    tiny_sounds.soundfile.write(sounds / "i2.wav", np.zeros(8000), 16_000)
    tiny_sounds.sound(sounds / "stray.wav")
    found = encode(sounds, models / "Wav2Vec2-group", 5)
    assert found.present.tolist() == [False, False, False, True, False]
    assert found.report.missing == {
        "i0": "empty file",
        "i1": "not a sound of a known format",
        "i2": "silent",
        "i4": "no file",
    }
    assert found.report.unused == 1
    with pytest.raises(DataError, match=r"2 of 5 items have no audio \('i0': empty file; 'i4'"):
        encode(sounds, models / "Wav2Vec2-group", 5, strict=True)
    tiny_sounds.sound(sounds / "i0.wav")
    with pytest.raises(DataError, match=r"2 of 4 items have no audio \('i1': not a .*'i2': silent"):
        encode(sounds, models / "Wav2Vec2-group", strict=True)


def test_the_same_sound_twice_is_encoded_once(sounds, models):
    (sounds / "i1.wav").write_bytes((sounds / "i0.wav").read_bytes())
    report = encode(sounds, models / "Wav2Vec2-group").report
    assert (report.encoded, report.duplicates) == (3, 1)


def test_a_missing_folder_is_named(sounds, models):
    with pytest.raises(
        DataError, match=r"folder .*/gone of '.*/gone/\{item\}\.wav' does not exist"
    ):
        encode(sounds, models / "ast", audio=f"{sounds}/gone/{{item}}.wav")


# --- settings ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"audio": "sounds"}, r"must say where the item comes in"),
        ({"encoder": "torchvision:resnet18"}, "torchvision has no audio encoders"),
        ({"encoder": "local:x", "revision": "main"}, "revision is for hf: encoders"),
        ({"layer": "fc"}, "layer"),
        ({"pooling": "max"}, "pooling"),
        ({"seed": 1}, "seed"),
        ({"rate": 8000}, "rate"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        AudioConfig(**{"encoder": "hf:x", "audio": "{item}.wav", **settings})


@pytest.mark.parametrize("name", ["Wav2Vec2-group", "whisper"])
def test_a_first_vector_that_means_nothing_is_refused(sounds, models, name):
    with pytest.raises(ConfigError, match=rf"pooling = 'cls': local:.*{name} has no vector for"):
        encode(sounds, models / name, pooling="cls")
