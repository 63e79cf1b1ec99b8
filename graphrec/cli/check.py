"""Implement the command ``graphrec check``."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import console as show
from graphrec.cli.options import JsonFlag
from graphrec.config import load_config
from graphrec.config.identity import experiment_identity
from graphrec.core.names import without_imports
from graphrec.experiment.check_files import check_files


def command(
    configs: Annotated[list[Path], typer.Argument(help="Configuration files.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting to change, as in model.dim=32.")
    ] = None,
    no_data: Annotated[bool, typer.Option("--no-data", help="Do not open the files.")] = False,
    imports: Annotated[
        bool,
        typer.Option("--import", help="Also check your own classes; this runs their code."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Validate configurations and open the files they name, without running them.

    Example: graphrec check paper_configs/quickstart.toml
    """
    checked: dict[str, str | None] = {}
    for path in configs:
        trusted = nullcontext[list[str]]([]) if imports else without_imports()
        with show.showing(show.stderr()), trusted as skipped:
            config = load_config(path, overrides or [])
            if not (no_data or skipped):
                check_files(config)
        checked[str(path)] = None if skipped else experiment_identity(config)
        for name in dict.fromkeys(skipped):
            show.stderr().print(
                f"{path}: {name} was not imported, so its settings and files are not checked. Add "
                f"--import to check them, if you trust its code.",
                soft_wrap=True,
            )
    if as_json:
        print(json.dumps(checked))  # noqa: T201
        return
    rows = [[path, digest[:16] if digest else "-"] for path, digest in checked.items()]
    show.print_table("valid", ["configuration", "hash"], rows)
