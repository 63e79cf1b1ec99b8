"""Pool the frames of a video by attention."""

import torch
from torch import Tensor, nn

from graphrec.nn.init import parameter


class TemporalAttention(nn.Module):
    """x = sum_t a_t f_t, a = softmax over t of q . tanh(W f_t + b).

    Shapes:
        frames ``[b, T, F]`` -> ``[b, F]``.

    Source: bahdanau2015attention, Eq. 6, with a learned query in place of the decoder's state.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.transform = parameter((dim, dim), generator)
        self.bias = nn.Parameter(torch.zeros(dim))
        self.query = parameter((dim, 1), generator)

    def forward(self, frames: Tensor) -> Tensor:
        """Sum the frames of each video, weighted by attention."""
        energy = torch.tanh(frames @ self.transform + self.bias) @ self.query
        return (torch.softmax(energy, dim=1) * frames).sum(dim=1)
