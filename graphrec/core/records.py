"""Records: dataclasses that are written as one JSON file and read back, checked field by field."""

import json
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import ClassVar, Self, cast, get_args, get_origin

from graphrec.core.config import Json
from graphrec.core.errors import DataError
from graphrec.core.files import write_json


class Record:
    """Base of a frozen dataclass that is one JSON file; its last field is ``schema_version``.

    Field names are a stable surface: a field that is renamed or gone raises the version.
    """

    content: ClassVar[str] = "record"
    """What the file holds, in words."""
    readable: ClassVar[tuple[int, ...]] = (1,)
    """Schema versions that can be read."""

    def write(self, path: Path) -> None:
        """Write the record as JSON.

        Raises:
            DataError: the file cannot be written.
        """
        write_json(path, cast(Json, asdict(self)))  # type: ignore[call-overload]

    @classmethod
    def read(cls, path: Path, remedy: str) -> Self:
        """Read a record.

        Args:
            remedy: what to do with a file that is damaged.

        Raises:
            FileNotFoundError: there is none.
            DataError: it is damaged, or was written by another version of graphrec.
        """
        table = read_object(path, remedy)
        version = table.get("schema_version")
        if version is None:
            raise DataError(f"{path} is malformed: it holds no {cls.content}. {remedy}")
        if version not in cls.readable:
            raise DataError(
                f"{path} has schema version {version}, this graphrec reads "
                f"{' and '.join(map(str, cls.readable))}. Read it with the graphrec that wrote it."
            )
        wrong = misfit(table, cls) or cls.lacks(table)
        if wrong:
            raise DataError(f"{path} is malformed: {wrong}. {remedy}")
        return cast(Self, made(table, cls))

    @classmethod
    def lacks(cls, table: dict[str, Json]) -> str:
        """Say what a table of the right fields and types still lacks; empty if nothing."""
        return ""


def made(value: object, kind: object) -> object:
    """Turn parsed JSON that ``fits`` an annotation into it: tables become dataclasses."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        known = {field.name: field.type for field in fields(kind)}
        return kind(**{name: made(each, known[name]) for name, each in value.items()})
    if origin is list and isinstance(value, list):
        return [made(each, arguments[0]) for each in value]
    if origin is dict and isinstance(value, dict):
        return {name: made(each, arguments[1]) for name, each in value.items()}
    if isinstance(kind, UnionType) and isinstance(value, dict):
        choice = next(each for each in arguments if fits(value, each))
        return made(value, choice)
    return value


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
