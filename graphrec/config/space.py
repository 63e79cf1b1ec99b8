"""Turn ranges of settings into proposals, and proposals into configurations that run."""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, cast

from graphrec.config.run import RunConfig, validate
from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.core.names import nearest
from graphrec.core.ranges import Choice, SearchRange

if TYPE_CHECKING:
    import optuna

from graphrec.models import model_of

SEARCHABLE = ("model", "training", "features", "user_features")
"""Tables whose settings may be searched; the others define the data and the measurement."""

NAMES = ("name", "encoder")
"""Settings that choose a class, and so decide which other settings exist."""

Values = dict[str, Choice]
"""One value for each searched setting that applies."""


class Space:
    """Search space: ranges around a configuration, checked at both ends.

    Attributes:
        ranges: the ranges by key; a setting comes before the settings that depend on it.

    Raises:
        ConfigError: a key is unknown or may not be searched, an end is no valid setting, or a
            condition can never hold.
    """

    def __init__(self, config: RunConfig, ranges: Mapping[str, SearchRange]) -> None:
        self._table: dict[str, Json] = config.model_dump(mode="json", exclude={"search", "tune"})
        self._given = ranges
        for key in ranges:
            self._require_searchable(key)
        for key, span in ranges.items():
            for parent, wanted in span.when.items():
                self._require_possible(key, parent, wanted)
        self.ranges = {key: ranges[key] for key in self._in_order()}
        self._whole = {key for key, span in self.ranges.items() if self._is_whole(key, span)}

    @classmethod
    def default(cls, config: RunConfig, ranges: Mapping[str, SearchRange]) -> "Space":
        """Return the default space of a model: its ranges that apply, widened to own values."""
        given, kept = cls(config, {}), applying(config, ranges)
        return cls(config, {key: _widened(span, given._current(key)) for key, span in kept.items()})

    @cached_property
    def own(self) -> Values:
        """Return the values of the configuration itself: the first trial.

        Raises:
            ConfigError: one of them lies outside its range.
        """
        return self._walk(self._own_value)

    def propose(self, trial: "optuna.Trial") -> Values:
        """Ask the sampler for a value of every setting that applies."""

        def ask(key: str, span: SearchRange) -> Choice:
            if span.choices:
                return cast(Choice, trial.suggest_categorical(key, span.choices))
            assert span.low is not None
            assert span.high is not None
            if key in self._whole:
                low, high, step = int(span.low), int(span.high), int(span.step or 1)
                return trial.suggest_int(key, low, high, step=step, log=span.log)
            return trial.suggest_float(key, span.low, span.high, step=span.step, log=span.log)

        return self._walk(ask)

    def config(self, values: Mapping[str, Choice]) -> RunConfig:
        """Return the configuration with these values; other searched settings get defaults.

        Raises:
            ConfigError: values that are valid each by itself contradict each other.
        """
        return validate(self._table_with(values))

    def grid(self) -> list[Values]:
        """Return every combination of the choices, each once.

        Raises:
            ConfigError: a range has neither choices nor steps.
        """
        points: list[Values] = [{}]
        for key, span in self.ranges.items():
            listed = self._listed(key, span)
            points = [
                extended
                for point in points
                for extended in (
                    [point | {key: value} for value in listed]
                    if self._applies(span, point)
                    else [point]
                )
            ]
        return points

    def end_configs(self) -> dict[str, RunConfig]:
        """Return the configurations at both ends of every range, by a label like ``key = end``."""
        return {
            f"{key} = {end!r}": self.config(self._assumed(key) | {key: end})
            for key, span in self.ranges.items()
            for end in dict.fromkeys(span.ends)
        }

    def nearest_to(self, values: Mapping[str, Json]) -> Values:
        """Return these values where they lie in the space, and else the configuration's own."""

        def value_of(key: str, span: SearchRange) -> Choice:
            value = values.get(key)
            if self.holds(key, value):
                assert isinstance(value, Choice)
                return value
            return self._own_value(key, span)

        return self._walk(value_of)

    def holds(self, key: str, value: Json) -> bool:
        """Return whether a value lies in the range of a key."""
        span = self.ranges[key]
        if span.choices:
            return any(type(value) is type(choice) and value == choice for choice in span.choices)
        assert span.low is not None
        assert span.high is not None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and span.low <= value <= span.high  # type: ignore[operator]

    def _walk(self, value_of: Callable[[str, SearchRange], Choice]) -> Values:
        """Assign a value to every range that applies, in order."""
        values: Values = {}
        for key, span in self.ranges.items():
            if self._applies(span, values):
                values[key] = value_of(key, span)
        return values

    def _applies(self, span: SearchRange, values: Mapping[str, Choice]) -> bool:
        """Return whether all conditions hold; they never hold on a parent that does not apply."""
        return all(
            (values.get(parent) if parent in self._given else self._current(parent)) in wanted
            for parent, wanted in span.when.items()
        )

    def _own_value(self, key: str, span: SearchRange) -> Choice:
        if span.fixed:
            return span.choices[0]
        value = self._current(key)
        if not self.holds(key, value):
            allowed = span.choices or f"{span.low} to {span.high}"
            raise ConfigError(
                f"[search] {key}: the configuration's own value {value!r} is not among {allowed}. "
                f"The first trial is the configuration as it stands: widen the range, or set {key}."
            )
        assert isinstance(value, Choice)
        return value

    def _listed(self, key: str, span: SearchRange) -> list[Choice]:
        if span.choices:
            return list(span.choices)
        if span.log or (span.step is None and key not in self._whole):
            raise ConfigError(
                f"[search] {key}: a grid needs choices, or low, high and step. Give them, or "
                f"choose another tune.sampler."
            )
        assert span.low is not None
        assert span.high is not None
        step = span.step or 1
        count = int((span.high - span.low) / step + 1e-9) + 1
        return [span.low + index * step for index in range(count)]

    def _require_searchable(self, key: str) -> None:
        root, _, rest = key.partition(".")
        if root not in SEARCHABLE or not rest:
            offered = nearest(root, SEARCHABLE)
            raise ConfigError(
                f"[search] {key} cannot be searched.{offered} Settings of {', '.join(SEARCHABLE)} "
                f"can; the others decide what is measured, and scores would not be comparable."
            )
        if key.rpartition(".")[2] in NAMES:
            raise ConfigError(
                f"[search] {key} cannot be searched, because other settings depend on it. Tune "
                f"one configuration for each under the same budget: graphrec tune A.toml B.toml."
            )

    def _require_possible(self, key: str, parent: str, wanted: tuple[Choice, ...]) -> None:
        """Refuse a condition on a setting that does not exist, or that can never hold."""
        if parent in self._given:
            span = self._given[parent]
            values, between = list(span.choices), (span.low, span.high)
            possible = [
                each
                for each in wanted
                if each in values or (None not in between and between[0] <= each <= between[1])  # type: ignore[operator]
            ]
            if len(possible) < len(wanted):
                strange = next(each for each in wanted if each not in possible)
                offered = nearest(str(strange), map(str, values))
                raise ConfigError(
                    f"[search] {key}: when {parent!r} is {strange!r} can never be: it is not in "
                    f"the range of {parent}.{offered}"
                )
            return
        known = [*self._given, *_dotted(self._table)]
        if parent not in known:
            raise ConfigError(
                f"[search] {key}: when names {parent!r}, which is no setting."
                f"{nearest(parent, known)}"
            )
        if self._current(parent) not in wanted:
            raise ConfigError(
                f"[search] {key} never applies: {parent} is {self._current(parent)!r} and is not "
                f"searched. Search {parent} too, or remove {key}."
            )

    def _in_order(self) -> list[str]:
        """Return the keys, each after the keys on which it depends."""
        ordered: list[str] = []
        waiting = list(self._given)
        while waiting:
            ready = [
                key
                for key in waiting
                if all(
                    parent in ordered or parent not in self._given
                    for parent in self._given[key].when
                )
            ]
            if not ready:
                raise ConfigError(f"[search] {' and '.join(waiting)} depend on each other.")
            ordered += ready
            waiting = [key for key in waiting if key not in ready]
        return ordered

    def _is_whole(self, key: str, span: SearchRange) -> bool:
        """Return whether a range has only whole numbers; refuse an end that is no setting."""
        needed = self._assumed(key)
        for end in span.ends:
            try:
                self.config(needed | {key: end})
            except ConfigError as error:
                raise ConfigError(f"[search] {key} = {end!r} is not a setting: {error}") from error
        if not isinstance(span.low, int) or not isinstance(span.high, int):
            return False
        try:
            self.config(needed | {key: span.low + 0.5})
        except ConfigError:
            return True
        return False

    def _assumed(self, key: str) -> Values:
        """Return values of other settings under which a key applies."""
        needed: Values = {}
        for parent, wanted in self._given[key].when.items():
            if parent in self._given:
                needed |= self._assumed(parent) | {parent: wanted[0]}
        return needed

    def _current(self, key: str) -> Json:
        node: Json = self._table
        for name in key.split("."):
            node = node.get(name) if isinstance(node, dict) else None
        return node

    def _table_with(self, values: Mapping[str, Choice]) -> dict[str, Json]:
        table: dict[str, Json] = json.loads(json.dumps(self._table))
        for key, span in self._given.items():
            *path, last = key.split(".")
            node = table
            for name in path:
                child = node.get(name)
                if not isinstance(child, dict):
                    child = node[name] = {}
                node = child
            if key in values:
                node[last] = values[key]
            elif span.when:
                node.pop(last, None)
        return table


def applying(config: RunConfig, ranges: Mapping[str, SearchRange]) -> dict[str, SearchRange]:
    """Return the ranges whose conditions can hold, on other ranges or on the configuration."""
    given = Space(config, {})
    return {
        key: span
        for key, span in ranges.items()
        if all(
            parent in ranges or given._current(parent) in wanted
            for parent, wanted in span.when.items()
        )
    }


def _widened(span: SearchRange, value: Json) -> SearchRange:
    """Return the range, widened to include a value."""
    if span.low is None or span.high is None or not isinstance(value, int | float):
        return span
    if span.log and value <= 0:
        return span
    return span.model_copy(update={"low": min(span.low, value), "high": max(span.high, value)})


def _dotted(table: Mapping[str, Json], where: str = "") -> list[str]:
    """Return the dotted keys of all settings."""
    return [
        key
        for name, value in table.items()
        for key in (
            _dotted(value, f"{where}{name}.") if isinstance(value, dict) else [f"{where}{name}"]
        )
    ]


def space_of(config: RunConfig) -> Space:
    """Return the space of ``[search]``, or else the default space of the model.

    Raises:
        ConfigError: there is nothing to search.
    """
    if config.search:
        return Space(config, config.search)
    space = Space.default(config, model_of(config.model.name).search)
    if not space.ranges:
        raise ConfigError(
            f"Model {config.model.name!r} has no default search space. Add a table [search], as "
            f'in "training.lr" = {{low = 1e-4, high = 1e-2, log = true}}.'
        )
    return space
