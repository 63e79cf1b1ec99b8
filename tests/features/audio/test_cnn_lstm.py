import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import conv2d, elu, layer_norm, max_pool2d, pad

from graphrec.features.audio.cnn_lstm import CnnLstm, CnnLstmConfig, CnnLstmEncoder
from graphrec.features.audio.spectra import log_mels, mel_filters
from tests.features import tiny_sounds as tiny

SMALL = {"num_mels": 16, "dim": 6}


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    tiny.some(tmp_path / "sounds")
    return tmp_path / "sounds"


def module(pooling: str = "mean") -> CnnLstm:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return CnnLstm(16, 6, pooling).eval()


def spectrograms(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, 16, generator=generator) for length in lengths]


def padded(inputs: list[torch.Tensor], filling: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    frames = torch.tensor([len(each) for each in inputs])
    longest = int(frames.max())
    rows = [pad(each, (0, 0, 0, longest - len(each)), value=filling) for each in inputs]
    return torch.stack(rows), frames


def literal(network: CnnLstm, spectrogram: torch.Tensor) -> torch.Tensor:
    """One sound, step by step: ``[T', dim]``."""
    maps = spectrogram[None, None]
    for convolution, norm in zip(network.convolutions, network.norms, strict=True):
        maps = conv2d(maps, convolution.weight, convolution.bias, padding=1)
        frames = []
        for t in range(maps.shape[2]):
            frames.append(layer_norm(maps[0, :, t], norm.normalized_shape, norm.weight, norm.bias))
        maps = max_pool2d(elu(torch.stack(frames, dim=1)[None]), 2)
    cell = network.lstm
    h = c = torch.zeros(cell.hidden_size)
    states = []
    for t in range(maps.shape[2]):
        gates = cell.weight_ih_l0 @ maps[0, :, t].flatten() + cell.bias_ih_l0
        i, f, g, o = (gates + cell.weight_hh_l0 @ h + cell.bias_hh_l0).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states)


# --- the module ---


def test_a_row_is_the_mean_or_the_last_state_of_the_lstm():
    inputs = spectrograms(8, 15, 33)
    for pooling in ("mean", "last"):
        network = module(pooling)
        with torch.no_grad():
            found = network(*padded(inputs))
            states = [literal(network, each) for each in inputs]
        assert [len(each) for each in states] == [1, 1, 4]
        rows = [each.mean(dim=0) if pooling == "mean" else each[-1] for each in states]
        torch.testing.assert_close(found, torch.stack(rows), atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_padding_changes_no_row(pooling):
    network, inputs = module(pooling), spectrograms(8, 9, 21, 40)
    with torch.no_grad():
        alone = torch.cat([network(*padded([each])) for each in inputs])
        together = network(*padded(inputs))
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    assert (alone[:1] - alone[1:]).abs().max() > 0.01


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_every_parameter_gets_a_gradient(pooling):
    network = module(pooling).train()
    network(*padded(spectrograms(16, 40))).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_it_learns_to_tell_low_from_high_sounds():
    inputs, labels = spectrograms(*range(16, 32)), torch.tensor([0, 1] * 8)
    for spectrogram, label in zip(inputs, labels.tolist(), strict=True):
        spectrogram[:, 8 * label : 8 * label + 8] += 1
    network = module().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    losses = []
    for _ in range(25):
        loss = torch.nn.functional.cross_entropy(5 * network(*padded(inputs)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1
    assert losses[-1] < 0.1


# --- the encoder ---


def test_it_reads_the_decibels_of_the_mel_bands(sounds):
    samples = tiny.sound(sounds / "i0.wav", 7)
    config = CnnLstmConfig(audio="{item}.wav", **SMALL)
    network = CnnLstmEncoder(config).network()
    decibels = torch.from_numpy(log_mels(samples, config, mel_filters(config)))
    with torch.no_grad():
        expected = literal(network.module, decibels.T / 40 + 1).mean(dim=0)
    found = tiny.encode(sounds, "cnn_lstm", 1, **SMALL)
    np.testing.assert_allclose(found.values[0], expected.numpy(), atol=1e-5)


def test_a_row_does_not_depend_on_its_batch(sounds):
    alone = tiny.encode(sounds, "cnn_lstm", batch_size=1, **SMALL)
    together = tiny.encode(sounds, "cnn_lstm", store=sounds.parent / "other", **SMALL)
    assert alone.values.shape == (4, 6)
    np.testing.assert_allclose(alone.values, together.values, atol=1e-6)


def test_weights_follow_their_seed(sounds):
    first = tiny.encode(sounds, "cnn_lstm", **SMALL)
    again = tiny.encode(sounds, "cnn_lstm", store=sounds.parent / "other", **SMALL)
    other = tiny.encode(sounds, "cnn_lstm", seed=1, **SMALL)
    assert (first.values == again.values).all()
    assert np.abs(first.values - other.values).max() > 0.01


def test_weights_leave_the_global_generator_alone(sounds):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    tiny.encode(sounds, "cnn_lstm", **SMALL)
    assert torch.rand(1) == expected


def test_every_setting_is_part_of_the_identity(sounds):
    others = {"seed": 1, "dim": 5, "pooling": "last", "num_mels": 20, "rate": 8000}
    others |= {"window_ms": 40, "hop_ms": 5, "max_seconds": 0.3}
    folders = {tiny.encode(sounds, "cnn_lstm", **SMALL).report.folder}
    for key, value in others.items():
        folders.add(tiny.encode(sounds, "cnn_lstm", **{**SMALL, key: value}).report.folder)
    assert len(folders) == 1 + len(others)
    manifest = json.loads((Path(min(folders)) / "manifest.json").read_text())
    assert "LSTM" in manifest["architecture"]
    assert set(manifest["versions"]) == {"librosa", "soundfile", "soxr", "numpy", "torch"}


def test_a_sound_too_short_for_one_state_is_missing(sounds):
    tiny.sound(sounds / "i0.wav", seconds=(400 + 7 * 160) / 16_000)
    tiny.sound(sounds / "i1.wav", seconds=(399 + 7 * 160) / 16_000)
    found = tiny.encode(sounds, "cnn_lstm", **SMALL)
    assert found.present.tolist() == [True, False, True, True]
    assert found.report.missing["i1"].startswith("too short: 1519 samples")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_mels": 7}, "num_mels is smaller than 8"),
        ({"max_seconds": 0.05}, "max_seconds is too short for the 8 windows"),
        ({"pooling": "cls"}, "pooling"),
        ({"layer": 1}, "layer"),
        ({"num_coefficients": 3}, "num_coefficients"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        CnnLstmConfig(audio="{item}.wav", **settings)
