"""The commands about known data sets: graphrec data list, info, get."""

from pathlib import Path
from typing import Annotated

import typer

from graphrec import console as show
from graphrec.datasets import CATALOG, load
from graphrec.datasets.catalog import entry_of
from graphrec.datasets.fetch import fetch

Moved = Annotated[
    list[str] | None,
    typer.Argument(
        help="Where files of the run lie by now, as in data.path=/new/ratings.csv.",
        metavar="[KEY=PATH]...",
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

data_app = typer.Typer(help="Known data sets: list, info, get.", no_args_is_help=True)


@data_app.command("list")
def data_list(as_json: JsonFlag = False) -> None:
    """List the known data sets.

    Example: graphrec data list
    """
    show.print_pairs("data sets", {name: entry.title for name, entry in CATALOG.items()}, as_json)


@data_app.command("info")
def data_info(
    name: Annotated[str, typer.Argument(help="A name of graphrec data list.")],
    as_json: JsonFlag = False,
) -> None:
    """Show source, licence, expected counts and where the files are.

    Example: graphrec data info gowalla
    """
    entry = entry_of(name)
    facts = {
        "title": entry.title,
        "page": entry.page,
        "licence": entry.licence,
        "may be redistributed": "yes" if entry.redistributable else "no",
        "cite": entry.citation,
        "split": entry.split,
        **{f"expected {what}": f"{count:,}" for what, count in entry.counts.items()},
        "note": entry.note,
    }
    show.print_pairs(name, facts, as_json)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="A name of graphrec data list.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="Copy from this folder instead of downloading.")
    ] = None,
    to: Annotated[Path, typer.Option(help="Folder for raw data.")] = Path("data/raw"),
) -> None:
    """Download or copy a data set, verify it and show its statistics.

    Example: graphrec data get gowalla --from ~/datasets
    """
    with show.showing(show.stderr()):
        folder = fetch(name, to, source)
        dataset = load(name, folder)
    facts = {what: f"{value:,.6g}" for what, value in dataset.statistics().items()}
    show.print_pairs(f"{name} in {folder}", facts, False)
