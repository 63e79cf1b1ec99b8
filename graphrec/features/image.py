"""Pictures through a pretrained network."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import polars as pl
import torch
from pydantic import AfterValidator, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor

from graphrec.config import Json, absolute
from graphrec.features.content import PLACEHOLDER, Content, file_content
from graphrec.features.image_networks import HubNetwork, ImageNetwork
from graphrec.features.pictures import DECODING, UnreadableError, read_picture
from graphrec.features.pretrained import Batch, ContentEncoder, PretrainedConfig, device_of
from graphrec.features.torchvision_networks import (
    LITE0,
    STATE_DICTS,
    Lite0Network,
    TorchvisionNetwork,
)
from graphrec.features.torchvision_shim import import_torchvision
from graphrec.features.weights import missing_extra


def _pattern(value: str) -> str:
    if not PLACEHOLDER.search(value):
        raise ValueError(
            "must say where the item comes in, as in 'posters/{item}.jpg', or name a column of "
            "the item table, as in '{poster_path}'"
        )
    return value if value.startswith("{") else str(absolute(Path(value)))


def _weights(value: str) -> str:
    return str(absolute(Path(value))) if value.endswith(STATE_DICTS) else value


class ImageConfig(PretrainedConfig):
    """Picture files and the network that looks at them."""

    images: Annotated[str, AfterValidator(_pattern)]
    """File of an item: {item} is its id, any other {name} a column of the item table."""
    weights: Annotated[str, AfterValidator(_weights)] = "default"
    """torchvision: default, another name of the model's weights, random, or a file with a
    state_dict (.safetensors or .pth)."""
    seed: NonNegativeInt = 0
    """Seed of random weights."""
    revision: str | None = None
    """Branch, tag or commit of an hf: model."""
    layer: str | int | None = None
    """torchvision and efficientnet-lite0: a node, by default the one before the last linear layer;
    otherwise the number of a hidden layer, by default the last."""
    pooling: Literal["mean", "cls"] = "mean"
    """hf, local and package: mean of the patch vectors, or the first one."""
    max_pixels: PositiveInt = 50_000_000
    """Larger pictures count as missing: a small file can unpack to all memory."""
    workers: PositiveInt = 4
    """Threads that decode."""

    @model_validator(mode="after")
    def _settings_fit_the_encoder(self) -> Self:
        prefix = self.encoder.partition(":")[0]
        from_hub = prefix != "torchvision" and self.encoder != LITE0
        for name, wanted in (("weights", "default"), ("seed", 0)):
            if prefix != "torchvision" and getattr(self, name) != wanted:
                raise ValueError(f"{name} is for torchvision: encoders")
        if self.seed and self.weights != "random":
            raise ValueError("seed is for weights = 'random'")
        if self.revision is not None and prefix != "hf":
            raise ValueError("revision is for hf: encoders")
        if self.pooling != "mean" and not from_hub:
            raise ValueError(f"pooling is not for {self.encoder}")
        if isinstance(self.layer, str if from_hub else int):
            raise ValueError(
                f"layer of {self.encoder} is the "
                f"{'number of a hidden layer' if from_hub else 'name of a node'}"
            )
        return self


class ImageEncoder(ContentEncoder):
    """The output of a layer, averaged over positions where it has any.

    Threads decode and transform the next batch, as the weights define it, while the network works
    on this one.
    """

    Config: ClassVar[type[PretrainedConfig]] = ImageConfig
    kind: ClassVar[str] = "image"

    def __init__(self, config: ImageConfig) -> None:
        super().__init__(config)
        self.config = config
        self._network = _network_of(config)

    def content(self, items: pl.DataFrame | None, item_ids: pl.Series) -> Content:
        """Find the file of each item.

        Raises:
            DataError: the folder or a column is absent.
        """
        return file_content(items, item_ids, self.config.images)

    def identity(self) -> dict[str, Json]:
        """Weights by their sha256, and every setting that changes a row."""
        return {**self._network.identity(), "decoding": DECODING}

    def embed(self, sources: pl.Series, keys: pl.Series) -> Iterator[Batch]:
        """Encode picture files in their order.

        Raises:
            ConfigError, DataError: the weights are not what the config says.
        """
        config = self.config
        device = device_of(config.device)
        transform, network = self._network.load(device)

        def decode(position: int) -> Tensor | str:
            try:
                picture = read_picture(sources[position], keys[position], config.max_pixels)
                return transform(picture)
            except UnreadableError as error:
                return str(error)

        with ThreadPoolExecutor(config.workers) as pool:
            for positions, decoded in _ahead(pool, decode, len(sources), config.batch_size):
                unreadable = {
                    at: each
                    for at, each in zip(positions, decoded, strict=True)
                    if isinstance(each, str)
                }
                pixels = [each for each in decoded if isinstance(each, Tensor)]
                rows = np.empty((0, 0), dtype=np.float32)
                if pixels:
                    with torch.no_grad():
                        rows = network(torch.stack(pixels).to(device)).float().cpu().numpy()
                good = [at for at in positions if at not in unreadable]
                yield Batch(np.array(good, dtype=np.int64), rows, unreadable)


def _network_of(config: ImageConfig) -> ImageNetwork:
    try:
        import_torchvision()
        import PIL  # noqa: F401
    except ImportError as error:
        raise missing_extra(error, config.encoder) from error
    if config.encoder.startswith("torchvision:"):
        return TorchvisionNetwork(config)
    return Lite0Network(config) if config.encoder == LITE0 else HubNetwork(config)


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[int], Tensor | str], count: int, size: int
) -> Iterator[tuple[list[int], list[Tensor | str]]]:
    """Yield batches of positions and results; the next batch is at work while one is used."""
    starts = range(0, count, size)
    batches = [list(range(start, min(start + size, count))) for start in starts]
    at_work: list[Future[Tensor | str]] = []
    for number, batch in enumerate(batches):
        futures = at_work or [pool.submit(work, position) for position in batch]
        following = batches[number + 1] if number + 1 < len(batches) else []
        at_work = [pool.submit(work, position) for position in following]
        yield batch, [future.result() for future in futures]
