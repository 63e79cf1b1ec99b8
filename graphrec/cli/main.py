"""The command line. Exit codes: 0 ok, 1 result not as expected, 2 bad input."""

import sys

import typer

from graphrec.cli import (
    check as cli_check,
)
from graphrec.cli import console as show
from graphrec.cli import (
    distill as cli_distill,
)
from graphrec.cli import (
    embed as cli_embed,
)
from graphrec.cli import (
    fusion as cli_fusion,
)
from graphrec.cli import (
    studies as cli_lab,
)
from graphrec.cli import (
    tune as cli_tune,
)
from graphrec.cli.data import data_app
from graphrec.core.errors import GraphRecError

app = typer.Typer(
    help="Multimodal recommendation with graph neural networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.command("check")(cli_check.command)
app.command("tune")(cli_tune.command)
app.command("distill")(cli_distill.command)
app.command("embed")(cli_embed.command)
app.command("fusion")(cli_fusion.command)
app.command("modality")(cli_lab.modality)
app.command("missing")(cli_lab.missing)


def main() -> None:
    """Run the command line; user errors become one paragraph and exit code 2.

    A class of your own is found in the working folder as well, after installed packages.
    """
    if "" not in sys.path:
        sys.path.append("")
    try:
        app()
    except GraphRecError as error:
        show.fail(str(error))
        sys.exit(2)
