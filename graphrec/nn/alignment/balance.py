"""A ranking loss for each modality alone, and how these losses share the gradient."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from graphrec.core.errors import ConfigError
from graphrec.core.names import nearest

Ranking = Callable[[Tensor, Tensor], Tensor]
"""Scores of positives ``[B]`` and of their negatives ``[B, n]`` to a scalar."""


def modality_losses(
    users: Tensor, tokens: Tensor, present: Tensor, items: Tensor, ranking: Ranking
) -> tuple[Tensor, Tensor]:
    """Ranking loss of each modality by the scores u . x_m, u a user and x_m a token, alone.

    It is taken over the pairs whose positive and at least one negative have the modality; a
    negative of these that lacks it has the score -inf. Without any such pair the loss is 0.

    Shapes:
        users: ``[B, D]``; tokens: ``[n, M, D]``, finite; present: ``[n, M]`` bool; items:
        ``[B, 1 + k]``, rows of ``tokens`` of the positive and of k negatives.
        result: the losses ``[M]``, and for which of them there were pairs, ``[M]`` bool.
    """
    shape = (*items.shape, *tokens.shape[1:])
    chosen = tokens.index_select(0, items.flatten()).reshape(shape)
    scores = torch.einsum("bd,bkmd->mbk", users, chosen)
    losses, pairs = separate_losses(scores, present[items].permute(2, 0, 1), ranking)
    return losses, pairs > 0


def separate_losses(scores: Tensor, has: Tensor, ranking: Ranking) -> tuple[Tensor, Tensor]:
    """Ranking loss of each of M scores over the pairs that it knows, and how many these are.

    Shapes:
        scores: ``[M, B, 1 + k]``, of a positive and of k negatives; has: the same, bool, whether
        the item has what is scored; result: ``[M]`` both.
    """
    losses, counts = [], []
    for own, known in zip(scores, has, strict=True):
        pairs = known[:, 0] & known[:, 1:].any(dim=1)
        if pairs.any():
            negatives = own[pairs, 1:].masked_fill(~known[pairs, 1:], -torch.inf)
            losses.append(ranking(own[pairs, 0], negatives))
        else:
            losses.append(0.0 * own.sum())
        counts.append(pairs.sum())
    return torch.stack(losses), torch.stack(counts)


class Balance(nn.Module, ABC):
    """Weighs the losses of M modalities."""

    @abstractmethod
    def forward(
        self, losses: Tensor, counted: Tensor, shared: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Weigh.

        Shapes:
            losses: ``[M]``; counted: ``[M]`` bool, which of them are more than 0 by default;
            shared: the weights that all losses train.
            result: the weighed losses ``[M]``, and a scalar that teaches the weights, if any.
        """


class Fixed(Balance):
    """w_m L_m, with w_m given or 1.

    Raises:
        ConfigError: the shares are not of these modalities, or all of them are 0.
    """

    shares: Tensor

    def __init__(self, names: Sequence[str], shares: Mapping[str, float] | None) -> None:
        super().__init__()
        given = dict.fromkeys(names, 1.0) if shares is None else shares
        for name in sorted(given.keys() ^ set(names)):
            problem = f"model.modality_weights has no share for {name!r}."
            if name not in names:
                problem = f"model.modality_weights has an unknown {name!r}.{nearest(name, names)}"
            raise ConfigError(f"{problem} Give one to each modality: {', '.join(names)}.")
        if not any(given.values()):
            raise ConfigError(
                "All of model.modality_weights are 0. Give one of them more, or set "
                "model.modality_loss = 0."
            )
        values = torch.tensor([given[name] for name in names])
        self.register_buffer("shares", values, persistent=False)

    def forward(self, losses: Tensor, counted: Tensor, shared: Tensor) -> tuple[Tensor, None]:
        """Weigh; nothing is learned."""
        return self.shares * losses, None


class Uncertainty(Balance):
    """exp(-s_m) L_m + s_m / 2, with s_m learned from 0: a loss that stays high counts less.

    s_m is the logarithm of the variance of modality m; this is the form for a likelihood of
    classes, which a ranking loss is.

    Source: kendall2018multitask, Eq. 10.
    """

    def __init__(self, num_modalities: int) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(num_modalities))

    def forward(self, losses: Tensor, counted: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh; the scalar is the sum of s_m / 2."""
        return torch.exp(-self.log_variance) * losses, (self.log_variance * counted).sum() / 2


class GradNorm(Balance):
    """w_m L_m, with w_m learned so that slow modalities get a larger gradient.

    G_m = |gradient of w_m L_m at the shared weights| is to follow mean_n(G_n) r_m^alpha, where
    r_m is L_m / L_m(first step), divided by the mean of these ratios. The w_m learn from
    sum_m |G_m - mean_n(G_n) r_m^alpha|, whose second part is a constant, and the L_m do not.
    Modalities whose loss is 0 in a batch, as it is without pairs, take no part in it.

    Source: chen2018gradnorm, Eq. 1 and 2.
    Deviations: w = M softmax(a), which has the sum M that the paper restores after each step. The
    shared weights are the users' vectors, which are what the losses have in common.
    """

    first: Tensor

    def __init__(self, num_modalities: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.logits = nn.Parameter(torch.zeros(num_modalities))
        self.register_buffer("first", torch.zeros(num_modalities))

    def forward(self, losses: Tensor, counted: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh; the scalar is the sum of the distances of G_m from what it is to be."""
        weights = len(losses) * torch.softmax(self.logits, dim=0)
        gradients = [torch.autograd.grad(loss, shared, retain_graph=True)[0] for loss in losses]
        norms = weights * torch.stack([gradient.norm() for gradient in gradients]).detach()
        with torch.no_grad():
            above = losses > 0
            first = torch.where(self.first == 0, losses, self.first)
            if self.training:
                self.first.copy_(first)
            ratios = torch.where(above, losses / first, 0.0)
            rates = ratios / (ratios.sum() / above.sum())
            wanted = norms.sum() / above.sum() * rates**self.alpha
        distances = torch.where(above, norms - wanted, 0.0).abs()
        return weights.detach() * losses, distances.sum()
