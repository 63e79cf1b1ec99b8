"""Modalities -> one vector per item. One file per family; every fusion honours the mask."""

from graphrec.fusion.attention import Attention
from graphrec.fusion.base import Fusion
from graphrec.fusion.combine import Concat, Gate, Sum
from graphrec.fusion.projected import ProjectedSum

FUSIONS: dict[str, type[Fusion]] = {
    "attention": Attention,
    "concat": Concat,
    "gate": Gate,
    "sum": Sum,
}

__all__ = ["FUSIONS", "Fusion", "ProjectedSum"]
