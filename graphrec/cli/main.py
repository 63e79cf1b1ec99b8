"""Run the command line. Exit codes: 0 ok, 1 result not as expected, 2 bad input."""

import sys

import typer

from graphrec.cli import check, distill, embed, fusion, recommend, reports, runs, studies, tune
from graphrec.cli import console as show
from graphrec.cli.data import data_app
from graphrec.core.errors import GraphRecError

app = typer.Typer(
    help="Multimodal recommendation with graph neural networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(runs.run)
app.command("check")(check.command)
app.command("encode")(runs.encode)
app.command("recommend")(recommend.recommend)
app.command("embed")(embed.command)
app.command("report")(reports.report)
app.command("tune")(tune.command)
app.command("modality")(studies.modality)
app.command("missing")(studies.missing)
app.command("fusion")(fusion.command)
app.command("distill")(distill.command)
app.command("list")(reports.list_names)
app.command("cite")(reports.cite)
app.command("doctor")(reports.doctor)
app.add_typer(data_app, name="data")


def main() -> None:
    """Run the command line; user errors become one paragraph and exit code 2.

    Classes of the user are also found in the working folder, after installed packages.
    """
    if "" not in sys.path:
        sys.path.append("")
    try:
        app()
    except GraphRecError as error:
        show.fail(str(error))
        sys.exit(2)
