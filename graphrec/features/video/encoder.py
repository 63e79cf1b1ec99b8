"""Encode videos by a pretrained network, frame by frame or as a whole."""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError, DataError
from graphrec.core.rng import torch_stream
from graphrec.features.content.config import PretrainedConfig
from graphrec.features.content.media import MediaEncoder, stack
from graphrec.features.content.networks import Network, UnreadableError
from graphrec.features.content.pretrained import Batch
from graphrec.features.content.sources import Content, file_content
from graphrec.features.content.store import Matrix
from graphrec.features.content.weights import versions
from graphrec.features.image.pose import PoseNetwork
from graphrec.features.video.clips import DECODING, SAMPLING, read_frames
from graphrec.features.video.config import VideoConfig
from graphrec.features.video.networks import ClipNetwork, FrameByFrame, PooledFrames, video_network
from graphrec.features.video.temporal_attention import TemporalAttention


class VideoEncoder(MediaEncoder):
    """Pretrained encoder of videos: rows of frames, pooled, or the row of a whole clip.

    Networks of torchvision.models.video read the clip as a whole. Their default weights are trained
    to classify the actions of Kinetics-400, so the layer before the last has action features. All
    others are image networks that read each frame; the store keeps the rows of all frames
    ``[T * F]``. Poses become the mean and the standard deviation of each column over the frames,
    ``[2 * F]``.
    """

    Config: ClassVar[type[PretrainedConfig]] = VideoConfig
    kind: ClassVar[str] = "video"

    def __init__(self, config: VideoConfig) -> None:
        super().__init__(config)
        self.config = config
        self._network = video_network(config)
        self.whole = isinstance(self._network, ClipNetwork)
        self.pose = isinstance(self._network, PoseNetwork)
        if config.frame_pooling != "mean" and (self.whole or self.pose):
            why = (
                "gives one row per video, not one per frame"
                if self.whole
                else "finds poses, whose mean and deviation over the frames are kept"
            )
            raise ConfigError(
                f"frame_pooling = {config.frame_pooling!r}: {config.encoder} {why}. Remove "
                f"frame_pooling, or use an image network that gives vectors."
            )

    def content(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Content:
        """Find the file of each item.

        Raises:
            DataError: the folder or a column is absent.
        """
        return file_content(items, item_ids, self.config.video)

    def identity(self) -> dict[str, Json]:
        """Return the sha256 of the weights and every setting that changes the row of a frame."""
        return {
            **self._network.identity(),
            "frames": self.config.frames,
            "sampling": SAMPLING,
            "decoding": DECODING,
            "reader": versions("av"),
        }

    def licence(self) -> str:
        """Return the licence of the weights."""
        return self._network.licence()

    def pooled(self, rows: Matrix) -> Matrix:
        """Pool the rows of the frames, ``[n, T * F] -> [n, F]``."""
        if self.whole:
            return rows
        frames = rows.reshape(len(rows), self.config.frames, -1)
        if self.pose:
            return np.concatenate([frames.mean(axis=1), frames.std(axis=1)], axis=1)
        if self.config.frame_pooling == "mean":
            return frames.mean(axis=1)
        if self.config.frame_pooling == "max":
            finite = np.isfinite(frames).all(axis=1)
            return np.where(finite, frames.max(axis=1), np.nan)  # max would hide -infinity
        with torch.no_grad():
            pooled: Matrix = self._attention(frames.shape[2])(torch.from_numpy(frames)).numpy()
        return pooled

    def after_store(self) -> dict[str, str]:
        """Return the pooling of frames, and the processing after the store of all encoders."""
        return {**super().after_store(), "frame_pooling": self.config.frame_pooling}

    def embed(self, sources: pl.Series, keys: pl.Series) -> Iterator[Batch]:
        """Encode the frames of videos; pooling comes after the store."""
        return self.run(self.frame_network(), sources, keys)

    def network(self) -> Network:
        """Return the network of frames with its pooling, or attention over stored frames.

        With attention the input is the stored frames ``[T, F]``.

        Raises:
            DataError: with attention, no video is encoded yet.
        """
        if self.config.frame_pooling != "attention":
            network = self.frame_network()
            if self.whole:
                return network
            pooled = PooledFrames(network.module, self.config.frames, self.config.frame_pooling)
            return replace(network, module=pooled.eval())
        row_store, frames = self.row_store(), self.config.frames
        if row_store.width is None:
            raise DataError(f"{row_store.folder} holds no frames yet. Encode the videos first.")

        def prepare(_: str, key: str) -> Tensor:
            row = row_store.row(key)
            if row is None:
                raise UnreadableError("its frames are not encoded")
            return torch.from_numpy(row.reshape(frames, -1))

        return Network(prepare, stack, self._attention(row_store.width // frames))

    def frame_network(self) -> Network:
        """Return the loaded network of frames, with the transform that its weights need."""
        transform, module = self._network.load()

        def prepare(path: str, key: str) -> Tensor:
            config = self.config
            frames = read_frames(path, key, config.frames, config.max_pixels)
            return torch.stack([transform(frame) for frame in frames])

        if not self.whole:
            module = FrameByFrame(module, self.config.batch_size).eval()
        return Network(prepare, stack, module)

    def _attention(self, dim: int) -> TemporalAttention:
        return TemporalAttention(dim, torch_stream(self.config.seed, "attention over frames"))
