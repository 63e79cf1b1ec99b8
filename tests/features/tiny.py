"""Small random networks, saved to disk as real ones are, and pictures of every kind."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from graphrec.features.image.torchvision_shim import import_torchvision

if not all(map(find_spec, ("transformers", "torchvision", "PIL"))):
    pytest.skip("needs graphrec[encoders]", allow_module_level=True)
import_torchvision()

import transformers  # noqa: E402
from PIL import Image  # noqa: E402
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: E402

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "ball", "car", "a", "b", "c", "d"]


def save_tokenizer(folder: Path, *, marks: bool) -> None:
    """One token per word; BERT-like marks around the text, or none as in GPT."""
    ids = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"unk_token": "[UNK]", "eos_token": "[SEP]"}
    if marks:
        named |= {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(
        folder
    )


def save_bert(folder: Path) -> Path:
    """A BERT with 2 layers, 8 columns and room for 16 tokens."""
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    return _save(folder, transformers.BertModel, config, marks=True)


def save_gpt(folder: Path) -> Path:
    """A GPT-2 whose tokenizer has neither marks nor padding."""
    config = transformers.GPT2Config(
        vocab_size=len(WORDS), n_embd=8, n_layer=2, n_head=2, n_positions=16
    )
    return _save(folder, transformers.GPT2Model, config, marks=False)


def save_clip(folder: Path) -> Path:
    """A CLIP with a joint space of 6 columns."""
    text = transformers.CLIPTextConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        eos_token_id=3,
        bos_token_id=2,
        pad_token_id=0,
    )
    vision = _vision(transformers.CLIPVisionConfig)
    config = transformers.CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=6
    )
    _save(folder, transformers.CLIPModel, config, marks=True)
    return _with_processor(folder)


def save_vit(folder: Path) -> Path:
    """A vision transformer with 2 layers, 8 columns and 4 patches."""
    _save(folder, transformers.ViTModel, _vision(transformers.ViTConfig), marks=None)
    return _with_processor(folder)


def save_resnet(folder: Path) -> Path:
    """A residual network with 2 stages, 8 columns and pictures of 32 pixels."""
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic"
    )
    _save(folder, transformers.ResNetModel, config, marks=None)
    return _with_processor(folder, side=32)


def save_wav2vec2(folder: Path, norm: str = "group", kind: str = "Wav2Vec2") -> Path:
    """A wav2vec 2.0, Hubert or WavLM with 2 layers, 8 columns and a vector per 20 samples.

    ``norm`` is group as in the base models, which cannot mask, or layer as in the large ones.
    """
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_kernel=(10, 8),
        conv_stride=(5, 4),
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
    )
    _save(folder, getattr(transformers, f"{kind}Model"), config, marks=None)
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer")
    extractor.save_pretrained(folder)
    return folder


def save_ast(folder: Path) -> Path:
    """A spectrogram transformer with 2 layers, 8 columns and a window of 64 frames."""
    config = transformers.ASTConfig(
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        num_mel_bins=32,
        max_length=64,
    )
    _save(folder, transformers.ASTModel, config, marks=None)
    transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    return folder


def save_whisper(folder: Path) -> Path:
    """A Whisper with 2 layers, 8 columns and a window of 1 second."""
    config = transformers.WhisperConfig(
        vocab_size=12,
        d_model=8,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_mel_bins=20,
        max_source_positions=50,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    _save(folder, transformers.WhisperModel, config, marks=None)
    transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=1).save_pretrained(folder)
    return folder


def save_clap(folder: Path, truncation: str = "rand_trunc") -> Path:
    """A CLAP with a joint space of 6 columns and a window of 1 second."""
    audio = transformers.ClapAudioConfig(
        spec_size=64,
        num_mel_bins=16,
        patch_size=4,
        patch_stride=(4, 4),
        patch_embeds_hidden_size=8,
        hidden_size=16,
        depths=[1, 1],
        num_attention_heads=[2, 2],
        window_size=4,
        projection_dim=6,
    )
    text = transformers.ClapTextConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        projection_dim=6,
    )
    config = transformers.ClapConfig(
        text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=6
    )
    _save(folder, transformers.ClapModel, config, marks=None)
    transformers.ClapFeatureExtractor(
        feature_size=16,
        max_length_s=1,
        sampling_rate=16_000,
        truncation=truncation,
        frequency_max=8000,
        hop_length=160,
    ).save_pretrained(folder)
    return folder


def _vision(kind: type) -> "transformers.PretrainedConfig":
    return kind(
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=16,
        patch_size=8,
    )


def _with_processor(folder: Path, side: int = 16) -> Path:
    size = {"height": side, "width": side}
    transformers.ViTImageProcessor(size=size).save_pretrained(folder)
    return folder


def _save(folder: Path, kind: type, config: object, *, marks: bool | None) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kind(config).save_pretrained(folder)
    if marks is not None:
        save_tokenizer(folder, marks=marks)
    return folder


def picture(path: Path, seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (24, 20)) -> Path:
    """A random picture file."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).convert(mode).save(path)
    return path


def video(
    path: Path,
    frames: Sequence[int | tuple[int, int, int] | np.ndarray],
    *,
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    size: tuple[int, int] = (32, 32),
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    title: str = "",
) -> Path:
    """A video of flat or given frames, ten a second or at the given tenths of seconds."""
    av = pytest.importorskip("av", reason="needs graphrec[encoders]")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=10, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        for number, frame in enumerate(frames):
            values = np.broadcast_to(np.array(frame, np.uint8), (size[1], size[0], 3))
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(values), format="rgb24")
            picture.pts = number if times is None else times[number]
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def sound(path: Path, codec: str = "pcm_s16le") -> Path:
    """A tenth of a second of silence."""
    av = pytest.importorskip("av", reason="needs graphrec[encoders]")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def save_vitpose(folder: Path, *, num_experts: int = 1) -> Path:
    """A ViTPose with 2 layers and 5 keypoints; heatmaps of 16 x 8 for pictures of 32 x 16."""
    backbone = transformers.VitPoseBackboneConfig(
        image_size=(32, 16),
        patch_size=(8, 8),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_experts=num_experts,
        part_features=4,
        out_indices=[2],
        initializer_range=0.5,
    )
    config = transformers.VitPoseConfig(backbone_config=backbone, scale_factor=4, num_labels=5)
    _save(folder, transformers.VitPoseForPoseEstimation, config, marks=None)
    size = {"height": 32, "width": 16}
    transformers.VitPoseImageProcessor(size=size).save_pretrained(folder)
    return folder
