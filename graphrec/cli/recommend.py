"""Implement the command that recommends items."""

import json
from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import console as show
from graphrec.cli.explain import print_explained
from graphrec.cli.options import JsonFlag, Moved
from graphrec.serving.recommend import recommend as recommend_from


def recommend(
    run_dir: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    user: Annotated[list[str], typer.Option(help="External user id; may be repeated.")],
    moved: Moved = None,
    k: Annotated[int, typer.Option(help="Number of items per user.")] = 10,
    include_seen: Annotated[
        bool, typer.Option(help="Also recommend items that the user has already.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Explain each item (flagship model only).")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Recommend items to users with the model of a run.

    Example: graphrec recommend runs/first --user 12347 --user 12348 --k 5
    """
    with show.showing(show.stderr()):
        table = recommend_from(
            run_dir, user, k, include_seen=include_seen, explain=explain, overrides=moved or []
        )
    if as_json:
        print(json.dumps(table.to_dicts()))  # noqa: T201
        return
    if explain:
        print_explained(table, f"Recommendations of {run_dir}")
        return
    rows = [
        [f"{value:.4f}" if isinstance(value, float) else str(value) for value in row]
        for row in table.rows()
    ]
    show.print_table(f"Recommendations of {run_dir}", table.columns, rows)
