"""Implement the commands that train variants of an experiment and compare them."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import console as show
from graphrec.cli.options import JsonFlag
from graphrec.config import RunConfig, load_config
from graphrec.core.errors import ConfigError
from graphrec.core.names import folder_name, listed, quantity
from graphrec.studies import study_missing, study_modalities
from graphrec.studies.missing import Grid
from graphrec.studies.record import VariantsResult, append_rows, cells, reasons, tables

OUT_ROOT = Path("studies")

ConfigPath = Annotated[Path, typer.Argument(help="A TOML file or the config.json of a run.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="A setting to change, as in model.dim=32.")
]
Seeds = Annotated[int, typer.Option(min=1, help="Number of fresh seeds per variant.")]
Workers = Annotated[int, typer.Option(min=1, help="Number of processes on this machine.")]
Metric = Annotated[
    str | None, typer.Option(help="Metric on test; by default the metric of early stopping.")
]
Out = Annotated[Path | None, typer.Option(help="Study folder; by default under studies/.")]
Append = Annotated[
    Path | None, typer.Option(help="Also add one line per variant to this CSV file.")
]


def modality(
    config: ConfigPath,
    overrides: Changes = None,
    seeds: Seeds = 3,
    workers: Workers = 1,
    metric: Metric = None,
    out: Out = None,
    append: Append = None,
    as_json: JsonFlag = False,
) -> None:
    """Judge every modality: without it, alone, shuffled among items, and replaced by noise.

    The same command resumes a study that was interrupted.

    Example: graphrec modality shop.toml --seeds 3 --workers 2
    """

    def study(settings: RunConfig, folder: Path) -> VariantsResult:
        return study_modalities(settings, folder, seeds=seeds, workers=workers, metric=metric)

    _run("modality", study, config, overrides, out, append, as_json)


def missing(
    config: ConfigPath,
    overrides: Changes = None,
    rates: Annotated[
        str, typer.Option(help="Shares of items that lose a modality.")
    ] = "0,0.3,0.6,0.9",
    mechanisms: Annotated[
        str, typer.Option(help="Rules for the items that lose it: random, popularity, modality.")
    ] = "random,popularity,modality",
    strategies: Annotated[
        str,
        typer.Option(help="Fillings: mask, mean, neighbours, token, regression, gan, vae."),
    ] = "mask,mean,neighbours",
    modalities: Annotated[
        str | None, typer.Option(help="Modalities that items lose; by default all.")
    ] = None,
    seeds: Seeds = 3,
    workers: Workers = 1,
    metric: Metric = None,
    out: Out = None,
    append: Append = None,
    as_json: JsonFlag = False,
) -> None:
    """Remove modalities from items, fill what is missing, and draw the loss of accuracy.

    The same command resumes a study that was interrupted.

    Example: graphrec missing shop.toml --rates 0,0.5 --strategies mask,mean
    """

    def study(settings: RunConfig, folder: Path) -> VariantsResult:
        grid = Grid(
            rates=tuple(_rate(rate) for rate in listed(rates)),
            mechanisms=listed(mechanisms),
            strategies=listed(strategies),
            modalities=None if modalities is None else listed(modalities),
        )
        return study_missing(settings, folder, grid, seeds=seeds, workers=workers, metric=metric)

    _run("missing", study, config, overrides, out, append, as_json)


def _rate(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"--rates: {text!r} is no number. Write them like 0,0.3,0.6.") from error


def _run(
    name: str,
    study: Callable[[RunConfig, Path], VariantsResult],
    config: Path,
    overrides: list[str] | None,
    out: Path | None,
    append: Path | None,
    as_json: bool,
) -> None:
    settings = load_config(config, overrides or [])
    folder = out or OUT_ROOT / f"{folder_name(settings.run.name or config.stem)}-{name}"
    with show.interruptible():
        result = study(settings, folder)
    if append is not None:
        append_rows(append, result)
    if as_json:
        print(json.dumps(asdict(result)))  # noqa: T201
    else:
        _print(result, folder)


def _print(result: VariantsResult, folder: Path) -> None:
    seeds = quantity(len(result.seeds), "seed")
    for heading, part in tables(result).items():
        header, rows = cells(part)
        show.print_table(f"{result.dataset}, test part, {seeds}, {heading}", header, rows)
    for line in (*reasons(result), *(verdict.sentence for verdict in result.verdicts)):
        show.say(line)
    show.say(f"\nStudy folder, with report.html: {folder}")
