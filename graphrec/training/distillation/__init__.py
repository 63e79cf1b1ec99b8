"""A finished run teaches a smaller model."""

from graphrec.training.distillation.student import Taught
from graphrec.training.distillation.teacher import Teacher

__all__ = ["Taught", "Teacher"]
