"""Modalities -> one vector per item. One file per family; every fusion honours the mask."""

from graphrec.fusion.attention import Attention, SoftmaxAttention
from graphrec.fusion.base import Fusion
from graphrec.fusion.combine import Concat, Gate, Mean, Sum, Weighted
from graphrec.fusion.experts import Experts
from graphrec.fusion.interaction import Bilinear, CompressedInteraction
from graphrec.fusion.projected import ProjectedSum
from graphrec.fusion.token_attention import CoAttention, CrossAttention, SelfAttention

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

__all__ = ["FUSIONS", "Fusion", "ProjectedSum"]
