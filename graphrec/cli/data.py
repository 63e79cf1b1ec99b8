"""Implement the commands about known data sets: graphrec data list, info, get."""

import json
from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import console as show
from graphrec.cli.options import JsonFlag
from graphrec.data import CATALOG, load
from graphrec.data.catalog.entries import CatalogEntry
from graphrec.data.catalog.fetch import fetch
from graphrec.data.catalog.inspect import compare, described
from graphrec.data.catalog.layouts import data_folders, entry_of, find_layout

SIZES = ("users", "items", "interactions")

data_app = typer.Typer(help="Known data sets: list, info, get.", no_args_is_help=True)


@data_app.command("list")
def data_list(as_json: JsonFlag = False) -> None:
    """List the known data sets with their sizes and licences.

    Example: graphrec data list
    """
    if as_json:
        facts = {
            name: {"title": entry.title, "licence": entry.licence, **entry.counts}
            for name, entry in CATALOG.items()
        }
        print(json.dumps(facts))  # noqa: T201
        return
    rows = [
        [name, *(f"{entry.counts[size]:,}" for size in SIZES), entry.licence]
        for name, entry in CATALOG.items()
    ]
    longest = max(map(len, CATALOG))
    show.print_table(
        "data sets", ["name", *SIZES, "licence"], rows, least=[longest, *(0 for _ in SIZES), 0]
    )


@data_app.command("info")
def data_info(
    name: Annotated[str, typer.Argument(help="Name of a data set, from graphrec data list.")],
    as_json: JsonFlag = False,
) -> None:
    """Show source, licence, expected counts and files of a data set, and where the files are.

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
        **_files(name, entry),
        "note": entry.note,
    }
    show.print_pairs(name, facts, as_json)


def _files(name: str, entry: CatalogEntry) -> dict[str, str]:
    """Describe the files: each form of the data set, its folder, and files of the release."""
    forms = {"files": described(entry, entry.layouts[0])}
    forms |= {
        f"or files ({number})": described(entry, layout)
        for number, layout in enumerate(entry.layouts[1:], start=2)
    }
    folders = data_folders(entry)
    folder = next((folder for folder in folders if find_layout(entry, folder)), None)
    forms["found in"] = str(folder or f"no folder yet: graphrec data get {name}")
    for file, identity in entry.identities.items():
        states = [compare(folder / file, identity) for folder in dict.fromkeys(folders)]
        state = next((candidate for candidate in states if candidate != "absent"), "absent")
        forms[f"release: {file}"] = (
            f"{identity.num_bytes:,} bytes, sha256 {identity.sha256}; here: {state}"
        )
    unknown = entry.unverifiable()
    if unknown:
        forms["no checksum known of"] = ", ".join(unknown)
    return forms


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="Name of a data set, from graphrec data list.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Folder to copy from; its files are checked first."),
    ] = None,
    to: Annotated[Path, typer.Option(help="Folder of all raw data.")] = Path("data/raw"),
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Also download files without a known checksum.")
    ] = False,
) -> None:
    """Download or copy a data set, verify it and show its statistics.

    Example: graphrec data get gowalla --from ~/datasets
    """
    with show.showing(show.stderr()):
        folder = fetch(name, to, source, unverified)
        dataset = load(name, folder)
    facts = {what: f"{value:,.6g}" for what, value in dataset.statistics().items()}
    show.print_pairs(f"{name} in {folder}", facts, False)
