"""Implement the command that writes the item vectors of a run."""

import json
from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import console as show
from graphrec.cli.options import JsonFlag, Moved
from graphrec.core.names import quantity
from graphrec.serving.embeddings import write_item_embeddings


def command(
    run_dir: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="File to write, ending in .parquet.")],
    moved: Moved = None,
    as_json: JsonFlag = False,
) -> None:
    """Write the item vectors of a run as features, which encoder = "file" reads.

    The vectors depend on the training part of their run: use them only with the same data and
    split.

    Example: graphrec embed runs/joint --out joint.parquet
    """
    with show.showing(show.stderr()):
        table = write_item_embeddings(run_dir, out, moved or [])
    width = len(table["vector"][0]) if len(table) else 0
    if as_json:
        print(json.dumps({"path": str(out), "items": len(table), "dim": width}))  # noqa: T201
        return
    show.say(f"{quantity(len(table), 'item')}, {quantity(width, 'value')} each: {out}")
