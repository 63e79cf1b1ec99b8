"""What every configuration table is made of."""

from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

AbsolutePath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]


class Config(BaseModel):
    """Base of every configuration table: frozen, and unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )
