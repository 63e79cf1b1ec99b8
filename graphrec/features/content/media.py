"""Run content files through a network: the base of encoders of pictures, sounds and videos."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from polars import Series
from torch import Tensor

from graphrec.core.device import device_of
from graphrec.features.content.config import MediaConfig
from graphrec.features.content.networks import Network, UnreadableError
from graphrec.features.content.pretrained import Batch, ContentEncoder


class MediaEncoder(ContentEncoder):
    """Base of encoders of files: threads decode the next batch while the network runs."""

    media: MediaConfig

    def __init__(self, config: MediaConfig) -> None:
        super().__init__(config)
        self.media = config

    @abstractmethod
    def network(self) -> Network:
        """Load the network, on the CPU.

        Raises:
            ConfigError, DataError: the weights are not what the config says.
        """

    def embed(self, sources: Series, keys: Series) -> Iterator[Batch]:
        """Encode files in their order."""
        return self.run(self.network(), sources, keys)

    def run(self, network: Network, sources: Series, keys: Series) -> Iterator[Batch]:
        """Run files through a network in their order."""
        device = device_of(self.media.device, "device")
        module = network.module.to(device).eval()

        def prepare(position: int) -> Tensor | str:
            try:
                return network.prepare(sources[position], keys[position])
            except UnreadableError as error:
                return str(error)

        with ThreadPoolExecutor(self.media.workers) as pool:
            for positions, prepared in _ahead(pool, prepare, len(sources), self.media.batch_size):
                results = dict(zip(positions, prepared, strict=True))
                unreadable = {
                    at: result for at, result in results.items() if isinstance(result, str)
                }
                readable = [value for value in prepared if isinstance(value, Tensor)]
                rows = np.empty((0, 0), dtype=np.float32)
                if readable:
                    arguments = (argument.to(device) for argument in network.collate(readable))
                    with torch.no_grad():
                        rows = module(*arguments).float().cpu().numpy()
                good = [at for at in positions if at not in unreadable]
                yield Batch(np.array(good, dtype=np.int64), rows, unreadable)


def stack(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Collate inputs of one shape."""
    return (torch.stack(tuple(inputs)),)


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[int], Tensor | str], count: int, size: int
) -> Iterator[tuple[list[int], list[Tensor | str]]]:
    """Yield batches of positions and results; the next batch is prepared meanwhile."""
    at_work: list[Future[Tensor | str]] = []
    for start in range(0, count, size):
        batch = range(start, min(start + size, count))
        futures = at_work or [pool.submit(work, position) for position in batch]
        following = range(batch.stop, min(batch.stop + size, count))
        at_work = [pool.submit(work, position) for position in following]
        yield list(batch), [future.result() for future in futures]
