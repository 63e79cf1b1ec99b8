"""Explain validation problems: the key, the fault, the allowed values and the nearest name."""

from typing import get_args

from pydantic import BaseModel, ValidationError

from graphrec.core.errors import ConfigError
from graphrec.core.names import nearest


def explain(error: ValidationError, root: type[BaseModel], where: str = "") -> str:
    """Return one sentence for each problem of a table validated as ``root`` at ``where``."""
    sentences = []
    for problem in error.errors():
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, ConfigError):  # says key and remedy by itself
            sentences.append(str(cause))
            continue
        kind, location, message = problem["type"], problem["loc"], problem["msg"]
        sentences.append(_sentence(kind, location, message, problem["input"], root, where))
    return " ".join(sentences)


def _sentence(
    kind: str,
    location: tuple[int | str, ...],
    message: str,
    value: object,
    root: type[BaseModel],
    where: str,
) -> str:
    key = ".".join([*([where] if where else []), *map(str, location)]) or "The configuration"
    if kind == "extra_forbidden":
        known = _fields_at(root, location[:-1])
        listed = f" Known: {', '.join(known)}." if known else ""
        return f"Unknown key {key!r}.{nearest(str(location[-1]), known)}{listed}"
    if kind == "missing":
        return f"Key {key!r} is required."
    got = f" (got {value!r})" if isinstance(value, str | int | float) else ""
    return f"{key}: {message.removeprefix('Value error, ').rstrip('.')}{got}."


def _fields_at(root: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the names of the fields of the table at ``location``."""
    current: type[BaseModel] = root
    for key in location:
        field = current.model_fields.get(str(key))
        if field is None:  # position in a list of tables, or name in a table of tables
            continue
        table = _table_in(field.annotation)
        if table is None:
            return []
        current = table
    return list(current.model_fields)


def _table_in(annotation: object) -> type[BaseModel] | None:
    """Return the table class inside ``X``, ``X | None``, ``tuple[X, ...]`` or ``dict[str, X]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_table_in, get_args(annotation))), None)
