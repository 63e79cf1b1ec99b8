"""Project the content of nodes linearly, and sum it over modalities."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphrec.data import Modality
from graphrec.nn.init import linear, parameter


class Projection(nn.Module):
    """``W f + b``; in training ``W (f * c / (1 - share)) + b``, with the same c for all rows.

    c in {0, 1}^F drops each column with probability ``share``. ``draw`` draws it; before the first
    draw no column is dropped. Kept columns are scaled up, so that the expected value of a masked
    row is the row.

    Shapes:
        rows: ``[I, F]``; result: ``[I, D]``.

    Source: attribute masking of you2020graphcl, for all nodes at once as in zhu2020grace.
    Deviations: neither paper scales the kept columns.
    """

    kept: Tensor

    def __init__(self, width: int, dim: int, share: float, rng: torch.Generator) -> None:
        super().__init__()
        self.share = share
        self.weight = parameter((dim, width), rng)
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("kept", torch.ones(width), persistent=False)

    def draw(self, rng: torch.Generator) -> None:
        """Draw the dropped columns anew."""
        draws = torch.rand(self.kept.shape, generator=rng, device=rng.device)
        self.kept.copy_((draws >= self.share) / (1 - self.share))

    def forward(self, rows: Tensor) -> Tensor:
        """Project the rows."""
        # Masking W costs F D where masking the rows would cost I F.
        weight = self.weight * self.kept if self.training and self.share else self.weight
        return functional.linear(rows, weight, self.bias)


def modality_mask(present: Tensor, share: float) -> Tensor:
    """Drop each present modality with probability ``share``, but never all of one item.

    Where all would be dropped, one stays, each with the same probability. Draws from the global
    generator, as dropout does.

    Shapes:
        present and result: ``[I, M]`` bool.

    Source: neverova2016moddrop. Deviations: one modality always stays.
    """
    draws = torch.rand(present.shape, device=present.device).masked_fill(~present, -1)
    best = draws == draws.amax(dim=1, keepdim=True)  # falls below the share if all others do
    return present & ((draws >= share) | best)


class ProjectedSum(nn.Module):
    """x = sum of W_m f_m + b_m over the present m, for every node.

    A missing modality adds nothing, whatever its row holds.
    """

    def __init__(self, features: Mapping[str, Modality], dim: int, rng: torch.Generator) -> None:
        super().__init__()
        self.projections = nn.ModuleList()
        for m, name in enumerate(sorted(features)):
            values = torch.from_numpy(features[name].values)
            present = torch.from_numpy(features[name].present).unsqueeze(1)
            self.register_buffer(f"values_{m}", values, persistent=False)
            self.register_buffer(f"present_{m}", present, persistent=False)
            self.projections.append(linear(values.shape[1], dim, rng))

    def forward(self) -> Tensor:
        """Return ``[n, D]`` for n nodes."""
        parts = [
            projection(self.get_buffer(f"values_{m}")) * self.get_buffer(f"present_{m}")
            for m, projection in enumerate(self.projections)
        ]
        return torch.stack(parts).sum(dim=0)
