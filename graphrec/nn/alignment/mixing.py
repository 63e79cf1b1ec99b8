"""Disturb content in training: add noise to features, and mix items with others."""

import torch
from torch import Tensor
from torch.distributions import Beta


def feature_noise(rows: Tensor, present: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Draw Gaussian noise with a standard deviation of ``strength`` times that of the column.

    The deviation of a column is taken over the present rows. A constant column gets no noise.
    Shapes:
        rows and result: ``[I, F]``; present: ``[I]`` bool.
    """
    known = rows[present]
    deviation = known.std(dim=0, correction=0) if len(known) else rows.new_zeros(rows.shape[1])
    draws = torch.randn(rows.shape, generator=rng, device=rng.device, dtype=rows.dtype)
    return strength * deviation * draws


def mixed(tokens: Tensor, present: Tensor, alpha: float) -> Tensor:
    """Mix each item with another: c x_im + (1 - c) x_jm for all modalities m that both have.

    A permutation assigns item j to each item i. c is drawn from Beta(alpha, alpha) and replaced by
    the larger of c and 1 - c: the item keeps its own interactions, so it stays the larger part.
    Tokens are linear projections, so mixing them is mixing the features. Draws from the global
    generator, as dropout does.

    Shapes:
        tokens and result: ``[I, M, D]``; present: ``[I, M]`` bool.

    Source: zhang2018mixup.
    Deviations: interactions are not mixed, hence the larger part.
    """
    others = torch.randperm(len(tokens), device=tokens.device)
    parameter = torch.tensor(alpha, device=tokens.device)
    drawn = Beta(parameter, parameter).sample(tokens.shape[:1])
    parts = torch.maximum(drawn, 1 - drawn).unsqueeze(1)
    both = present & present[others]
    kept = torch.where(both, parts, 1.0).unsqueeze(2).to(tokens.dtype)
    return kept * tokens + (1 - kept) * tokens.index_select(0, others)
