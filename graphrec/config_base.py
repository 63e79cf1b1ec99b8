"""What every configuration table is made of."""

from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

DATA_FOLDER = "{data}"
"""Stands at the start of a path for the folder in which the data set was found."""


def absolute(path: Path) -> Path:
    """Return the path from the root, or as it is where the data set's folder will precede it."""
    return path if path.parts[:1] == (DATA_FOLDER,) else path.expanduser().absolute()


Fraction = Annotated[float, Field(ge=0, lt=1)]
"""From 0 to below 1."""

AbsolutePath = Annotated[Path, AfterValidator(absolute)]


class Config(BaseModel):
    """Base of every configuration table: frozen, and unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )
