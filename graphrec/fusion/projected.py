"""Content of nodes that have a vector of their own already: projected and summed."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from graphrec.features.features import Modality


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
            projection = nn.utils.skip_init(nn.Linear, values.shape[1], dim)
            nn.init.xavier_normal_(projection.weight, generator=rng)
            nn.init.zeros_(projection.bias)
            self.projections.append(projection)

    def forward(self) -> Tensor:
        """Return ``[n, D]`` for n nodes."""
        parts = [
            projection(self.get_buffer(f"values_{m}")) * self.get_buffer(f"present_{m}")
            for m, projection in enumerate(self.projections)
        ]
        return torch.stack(parts).sum(dim=0)
