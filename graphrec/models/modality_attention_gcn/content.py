"""The modalities of items inside a model, projected to one width."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from graphrec.core.errors import ConfigError
from graphrec.data import Modality
from graphrec.data.features import LearnedRows
from graphrec.models.modality_attention_gcn.config import FusionConfig
from graphrec.nn.alignment.mixing import feature_noise, mixed
from graphrec.nn.projection import Projection, modality_mask


class NoisyRows:
    """Rows of a modality with noise that is drawn once an epoch; before that there is none.

    Args:
        content: gives the rows ``[I, F]``, fixed or from an encoder that learns.
        strength: see ``feature_noise``.
    """

    def __init__(self, content: nn.Module, strength: float) -> None:
        self.content, self.strength = content, strength
        self._drawn: Tensor | None = None

    def draw(self, present: Tensor, rng: torch.Generator) -> None:
        """Draw noise anew. ``present``: ``[I]`` bool."""
        rows = self.content()
        noise = feature_noise(rows, present, self.strength, rng)
        # Fixed rows are summed here: in a step that is half as much work as all the rest.
        self._drawn = noise if isinstance(self.content, LearnedRows) else rows + noise

    def __call__(self) -> Tensor:
        """The rows ``[I, F]``."""
        if self._drawn is None or isinstance(self.content, LearnedRows):
            rows: Tensor = self.content()
            return rows if self._drawn is None else rows + self._drawn
        return self._drawn


logger = logging.getLogger(__name__)

COMMON, LONG = 0.5, 10.0
"""Rows have more than this share in common, and their mean is so many free embeddings long."""


def require_no_learning(modalities: Mapping[str, Modality]) -> None:
    """Refuse rows that learn where nothing reads rows.

    Raises:
        ConfigError: an encoder is to be trained, or what is missing is filled with a learned row.
    """
    for name, each in modalities.items():
        if next(each.rows().parameters(), None) is not None:
            raise ConfigError(
                f"[features.{name}] learns (fine_tune, or missing.strategy = 'token'), but with "
                f"model.where = 'graph' rows are read once, before training. Choose another place, "
                f"or add model.modality_loss or model.align."
            )


class ItemContent(nn.Module):
    """Tokens x_im = W_m f_im + b_m, ``[I, M, D]``, and which of them are present, ``[I, M]``.

    In training, and never in evaluation: ``feature_drop`` reads ``f_im * c / (1 - share)`` with c
    in {0, 1}^F the same for all items of modality m (``Projection``), and ``feature_noise`` adds
    noise, both drawn once an epoch; ``feature_mix`` mixes items (``mixed``) and
    ``modality_dropout`` hides present modalities in each step (``modality_mask``).

    A modality that is hidden by ``without`` counts as missing for every item.
    """

    present: Tensor

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        num_items: int,
        dim: int,
        settings: FusionConfig,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        self.names, self.settings = tuple(sorted(modalities)), settings
        own = [modalities[name] for name in self.names]
        self.rows = nn.ModuleList(each.rows() for each in own)
        noise = settings.feature_noise
        self.noisy = [NoisyRows(each, noise) for each in self.rows] if noise else []
        self.projections = nn.ModuleList(
            Projection(each.values.shape[1], dim, settings.feature_drop, rng) for each in own
        )
        masks = [torch.from_numpy(each.present) for each in own]
        present = torch.stack(masks, dim=1) if masks else torch.zeros(num_items, 0).bool()
        self.register_buffer("present", present, persistent=False)
        self._kept: Tensor | None = None
        self._hidden: frozenset[str] = frozenset()

    def forward(self) -> Tensor:
        """The tokens; within ``kept`` the same for all who ask."""
        if self._kept is not None:
            return self._kept
        disturbed = self.training and self.noisy
        contents: Iterable[Callable[[], Tensor]] = self.noisy if disturbed else self.rows
        pairs = zip(contents, self.projections, strict=True)
        blocks = torch.stack([projection(content()) for content, projection in pairs])
        tokens = blocks.transpose(0, 1)
        if self.training and self.settings.feature_mix:
            tokens = mixed(tokens, self.present, self.settings.feature_mix)
        return tokens

    def known(self) -> Tensor:
        """The modalities that each item has, or in a step those that are not dropped."""
        if self.training and self.settings.modality_dropout:
            return modality_mask(self.present, self.settings.modality_dropout)
        if self._hidden:
            shown = torch.tensor([name not in self._hidden for name in self.names]).bool()
            return self.present & shown.to(self.present.device)
        return self.present

    @contextmanager
    def kept(self, items: Tensor) -> Iterator[Tensor]:
        """Make the tokens once for a whole step; encoders learn through ``items``."""
        with self.live(items):
            self._kept = self()
            try:
                yield self._kept
            finally:
                self._kept = None

    @contextmanager
    def live(self, items: Tensor) -> Iterator[None]:
        """Let encoders that are trained learn through the rows of ``items``."""
        with ExitStack() as live:
            for encoder in self.encoders:
                live.enter_context(encoder.live(items))
            yield

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """Count these modalities as missing too, for evaluation."""
        before = self._hidden
        self._hidden = before | set(names)
        try:
            yield
        finally:
            self._hidden = before

    @property
    def encoders(self) -> list[LearnedRows]:
        """The encoders that are trained."""
        return [each for each in self.rows if isinstance(each, LearnedRows)]

    def refresh(self) -> None:
        """Bring the rows of trained encoders up to date."""
        for encoder in self.encoders:
            encoder.refresh()

    def draw(self, rng: torch.Generator) -> None:
        """Draw the columns and the noise of an epoch."""
        if self.settings.feature_drop:
            for projection in self.projections:
                assert isinstance(projection, Projection)
                projection.draw(rng)
        for m, noisy in enumerate(self.noisy):
            noisy.draw(self.present[:, m], rng)


@torch.no_grad()
def warn_if_mean_dominates(
    modalities: Mapping[str, Modality], content: ItemContent, free: Tensor
) -> None:
    """Warn when a modality's mean row is so long that items without a row cannot be told apart.

    Items start at W f + e, and those without a row at e alone. If the mean of the rows is much
    longer than e, the messages that all of these get are nearly the same, and their own e is not
    seen among them before it has grown. On TikTok half of the rows were taken away: means of 62
    times the length of e cost a fifth of recall@20; of 2 times, or with rows standardised, nothing.

    Args:
        free: free embeddings ``[n, D]``, before training.
    """
    length = float(free.norm(dim=1).mean())
    for name, projection in zip(content.names, content.projections, strict=True):
        modality = modalities[name]
        if modality.present.all():
            continue
        mean, share = common_part(modality)
        times = float(projection(torch.from_numpy(mean)).norm()) / length
        if share > COMMON and times > LONG:
            logger.warning(
                f"Features {name}: the mean of the rows is {share:.0%} of their squared length, "
                f"and {times:.0f} times as long as a free embedding. The items without a row "
                f"({(~modality.present).sum():,}) are hard to tell apart beside it. Set "
                f"features.{name}.normalize to 'l2' or 'standard', or missing.strategy = 'mean'."
            )


def common_part(modality: Modality) -> tuple[npt.NDArray[np.float32], float]:
    """The mean row over the items that have one, ``[F]``, and |mean|^2 / mean |row|^2."""
    count = max(int(modality.present.sum()), 1)
    values = modality.values  # zeros where there is no row
    mean = values.sum(axis=0, dtype=np.float64) / count
    square = float(np.einsum("if,if->", values, values, dtype=np.float64)) / count
    return mean.astype(np.float32), float(mean @ mean) / square if square else 0.0
