"""A finished run teaches a smaller model."""

from graphrec.distillation.taught import Taught, taught
from graphrec.distillation.teacher import Teacher, with_teacher

__all__ = ["Taught", "Teacher", "taught", "with_teacher"]
