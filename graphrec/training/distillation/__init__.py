"""A finished run teaches a smaller model."""

from graphrec.training.distillation.student import DistilledStudent
from graphrec.training.distillation.teacher import Teacher

__all__ = ["DistilledStudent", "Teacher"]
