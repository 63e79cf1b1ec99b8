"""Define the options that several commands share."""

from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings to change, as in model.num_layers=2.", metavar="[KEY=VALUE]..."),
]


Strict = Annotated[bool, typer.Option("--strict", help="Fail for items without readable content.")]


AllowDownload = Annotated[
    bool, typer.Option("--allow-download", help="Download weights that are not on this machine.")
]


Moved = Annotated[
    list[str] | None,
    typer.Argument(
        help="New paths of the run's files, as in data.path=/new/ratings.csv.",
        metavar="[KEY=PATH]...",
    ),
]


JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
