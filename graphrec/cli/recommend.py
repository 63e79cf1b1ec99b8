"""The command that recommends."""

import json
from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import console as show
from graphrec.cli.explain import print_explained
from graphrec.cli.options import JsonFlag, Moved
from graphrec.serving.recommend import recommend as recommend_from


def recommend(
    run_dir: Annotated[Path, typer.Argument(help="A run folder.")],
    user: Annotated[list[str], typer.Option(help="External user id; may be repeated.")],
    moved: Moved = None,
    k: Annotated[int, typer.Option(help="Items per user.")] = 10,
    include_seen: Annotated[bool, typer.Option(help="Also items the user already had.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say why (flagship only).")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Recommend items to users with the model of a run.

    Example: graphrec recommend runs/first --user 12347 --user 12348 --k 5
    """
    with show.showing(show.stderr()):
        found = recommend_from(
            run_dir, user, k, include_seen=include_seen, explain=explain, overrides=moved or []
        )
    if as_json:
        print(json.dumps(found.to_dicts()))  # noqa: T201
        return
    if explain:
        print_explained(found, f"Recommendations of {run_dir}")
        return
    rows = [
        [f"{value:.4f}" if isinstance(value, float) else str(value) for value in row]
        for row in found.rows()
    ]
    show.print_table(f"Recommendations of {run_dir}", found.columns, rows)
