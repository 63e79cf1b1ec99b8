"""Define the ranges of a search space."""

from collections.abc import Mapping
from typing import Self

from pydantic import PositiveFloat, PositiveInt, model_validator

from graphrec.core.config import Config

Choice = bool | int | float | str
"""A value of one setting."""


class SearchRange(Config):
    """One dimension of a search space: an interval, a list of choices, or one fixed value.

    ``[1, 2, 3]`` is short for ``{choices = [1, 2, 3]}``, and a single value for a single choice.
    An interval with whole ends has only whole numbers if the setting takes nothing else.
    """

    low: int | float | None = None
    """Lower end of the interval."""
    high: int | float | None = None
    """Upper end of the interval."""
    log: bool = False
    """Search on a logarithmic scale."""
    step: PositiveInt | PositiveFloat | None = None
    """Distance between two values of the interval; without it a float may take any value."""
    choices: tuple[Choice, ...] = ()
    """The values to choose from."""
    when: Mapping[str, tuple[Choice, ...]] = {}
    """Values of other settings under which this range applies; elsewhere the default is kept."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return {"choices": value}
        if isinstance(value, Choice):
            return {"choices": [value]}
        if isinstance(value, Mapping) and isinstance(value.get("when"), Mapping):
            when = {
                key: [wanted] if isinstance(wanted, Choice) else wanted
                for key, wanted in value["when"].items()
            }
            return {**value, "when": when}
        return value

    @model_validator(mode="after")
    def _interval_or_choices(self) -> Self:
        interval = self.low is not None and self.high is not None
        if interval == bool(self.choices):
            raise ValueError("give either low and high, or choices")
        if self.low is None or self.high is None:
            if self.log or self.step is not None:
                raise ValueError("log and step belong to low and high, not to choices")
            return self
        if self.low >= self.high:
            raise ValueError("the range is empty: low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("a log range must stay above 0")
        if self.log and self.step is not None:
            raise ValueError("a log range has no step")
        return self

    @property
    def ends(self) -> tuple[Choice, ...]:
        """Return the values that must all be valid settings: the choices, or both ends."""
        return self.choices or tuple(end for end in (self.low, self.high) if end is not None)

    @property
    def fixed(self) -> bool:
        """Return whether there is only one choice."""
        return len(self.choices) == 1
