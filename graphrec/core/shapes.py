"""Whether parsed JSON has the shape that a record is annotated with."""

import json
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import get_args, get_origin

from graphrec.core.config import Json
from graphrec.core.errors import DataError


def read_object(path: Path, remedy: str) -> dict[str, Json]:
    """Read a JSON file that holds one object.

    Raises:
        FileNotFoundError: there is none.
        DataError: it cannot be read, is no JSON, is nested too deeply, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except RecursionError as error:
        raise DataError(f"{path} is malformed: it is nested too deeply. {remedy}") from error
    except NotADirectoryError as error:
        raise DataError(f"{path.parent} is no run folder but a file. {remedy}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. {remedy}") from error
    except ValueError as error:
        raise DataError(f"{path} is malformed: {error}. {remedy}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is malformed: it holds no object. {remedy}")
    return content


def misfit(content: object, record: type) -> str:
    """Say which field of a dataclass has the wrong type or is missing; empty if all are right."""
    if not isinstance(content, dict):
        return "it holds no object"
    known = {field.name: field for field in fields(record)}
    for name in content:
        if name not in known:
            return f"it has the unknown field {name!r}"
    for name, field in known.items():
        if name not in content:
            if not _has_default(field):
                return f"its field {name!r} is missing"
        elif not fits(content[name], field.type):
            return f"its field {name!r} has the wrong type"
    return ""


def fits(value: object, kind: object) -> bool:
    """Whether a value is one of an annotation: scalars, lists, tables, dataclasses, unions.

    ``Json``, which refers to itself by a string, is anything.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return not misfit(value, kind)
    if origin is list:
        return isinstance(value, list) and all(fits(each, arguments[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(v, arguments[1]) for v in value.values())
    if origin is UnionType or isinstance(kind, UnionType):
        return any(fits(value, each) for each in arguments)
    if kind is float:
        return type(value) in (int, float)
    if kind in (int, str, bool, NoneType):
        return type(value) is kind
    return True


def _has_default(field: "Field[object]") -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING
