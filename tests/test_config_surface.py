"""Every field and default of a configuration is a stable surface.

A changed default changes the numbers of everybody who relied on it. When a change is meant, write
the new surface and say so in CHANGELOG.md:

    python -m tests.test_config_surface
"""

import json
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from graphrec import config
from graphrec.core.config import Config, Json
from graphrec.evaluation import PRESETS
from graphrec.features import ENCODERS
from graphrec.features.encode import CONTENTS
from graphrec.models import MODELS

SURFACE = Path(__file__).with_suffix(".json")
TABLES = {
    table.__name__: table
    for table in vars(config).values()
    if isinstance(table, type) and issubclass(table, Config)
}


def fields_of(table: type[BaseModel]) -> dict[str, Json]:
    """``{field: default}``; a required field has no default."""
    result: dict[str, Json] = {}
    for name, field in table.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if default is PydanticUndefined:
            result[name] = "(required)"
        elif isinstance(default, BaseModel):
            result[name] = type(default).__name__
        else:
            result[name] = json.loads(json.dumps(default, default=str))
    return result


def surface() -> dict[str, Json]:
    tables: dict[str, Json] = {name: fields_of(table) for name, table in TABLES.items()}
    tables |= {f"model {name}": fields_of(model.Config) for name, model in MODELS.items()}
    own = {name: model.training_defaults for name, model in MODELS.items()}
    tables |= {f"training of {name}": dict(values) for name, values in own.items() if values}
    tables |= {f"encoder {name}": fields_of(encoder.Config) for name, encoder in ENCODERS.items()}
    tables |= {f"content {name}": fields_of(kind.Config) for name, kind in CONTENTS.items()}
    tables |= {f"protocol {name}": p.model_dump(mode="json") for name, p in PRESETS.items()}
    return tables


def test_fields_and_defaults_are_as_promised() -> None:
    promised = json.loads(SURFACE.read_text(encoding="utf-8"))
    found = surface()
    assert found.keys() == promised.keys()
    for name, fields in found.items():
        assert fields == promised[name], f"[{name}]: see the first lines of this file"


def test_every_field_is_documented() -> None:
    tables = [*TABLES.values(), *(model.Config for model in MODELS.values())]
    tables += [encoder.Config for encoder in ENCODERS.values()]
    tables += [kind.Config for kind in CONTENTS.values()]
    missing = {
        f"{table.__name__}.{name}"
        for table in tables
        for name, field in table.model_fields.items()
        if not field.description
    }
    assert missing == set()


def test_every_table_is_documented() -> None:
    assert all((table.__doc__ or "").strip() for table in TABLES.values())


if __name__ == "__main__":
    text = json.dumps(surface(), indent=1, sort_keys=True)
    SURFACE.write_text(text + "\n", encoding="utf-8")
