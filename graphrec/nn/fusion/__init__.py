"""Fuse the modalities of an item into one vector; every fusion respects the mask."""

from graphrec.nn.fusion.attention import Attention, SoftmaxAttention
from graphrec.nn.fusion.base import Fusion
from graphrec.nn.fusion.combine import Concat, Gate, Mean, Sum, Weighted
from graphrec.nn.fusion.experts import Experts
from graphrec.nn.fusion.interaction import Bilinear, CompressedInteraction
from graphrec.nn.fusion.token_attention import CoAttention, CrossAttention, SelfAttention

FUSIONS: dict[str, type[Fusion]] = {
    "attention": Attention,
    "bilinear": Bilinear,
    "cin": CompressedInteraction,
    "co_attention": CoAttention,
    "concat": Concat,
    "cross_attention": CrossAttention,
    "experts": Experts,
    "gate": Gate,
    "mean": Mean,
    "self_attention": SelfAttention,
    "softmax_attention": SoftmaxAttention,
    "sum": Sum,
    "weighted": Weighted,
}

__all__ = ["FUSIONS", "Fusion"]
