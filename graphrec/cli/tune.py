"""The command that searches hyper-parameters."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from graphrec.cli import console as show
from graphrec.cli.options import JsonFlag
from graphrec.config import RunConfig, load_config
from graphrec.core.errors import ConfigError
from graphrec.core.names import folder_name
from graphrec.core.run_folder import RunFolder
from graphrec.report.tables import spread
from graphrec.tuning import join, tune
from graphrec.tuning.result import StudyResult, append_studies

OUT_ROOT = Path("studies")
SHOWN = ("recall@20", "ndcg@20")


def command(
    configs: Annotated[
        list[Path], typer.Argument(help="Configurations; several get the same budget each.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting to change, as in model.dim=32.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Trials of each study (tune.trials).")] = None,
    time: Annotated[
        str | None, typer.Option(help="Time of all trials together, as in 2h, 90m or 1h30m.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    storage: Annotated[
        str | None,
        typer.Option(help="Database URL or journal file; by default study.db in the study folder."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Study folder; by default under studies/. Of several configurations: the folder "
            "in which each gets one of its name."
        ),
    ] = None,
    only_join: Annotated[
        bool, typer.Option("--join", help="Only take trials of a study that runs elsewhere.")
    ] = False,
    append: Annotated[
        Path | None, typer.Option(help="Also add one line per study to this CSV file.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Search hyper-parameters on train and valid; open test once, for the winner.

    The same command goes on with a study that was interrupted.

    Example: graphrec tune paper_configs/quickstart.toml --trials 20 --workers 2
    """
    changes = list(overrides or [])
    if trials is not None:
        changes.append(f"tune.trials={trials}")
    if time is not None:
        changes.append(f"tune.seconds={seconds_in(time)}")
    settings = {path: load_config(path, changes) for path in configs}
    if only_join and storage is None:
        raise ConfigError("--join needs the --storage of the study.")
    folders = _folders(settings, out)
    results = []
    with show.interruptible():
        for path, config in settings.items():
            if only_join:
                join(config, str(storage))
            else:
                results.append(tune(config, folders[path], workers=workers, storage=storage))
    if append is not None:
        append_studies(append, results)
    if as_json:
        print(json.dumps([asdict(result) for result in results]))  # noqa: T201
    elif results:
        _print(results, list(folders.values()))


def _folders(settings: Mapping[Path, RunConfig], out: Path | None) -> dict[Path, Path]:
    """The study folder of each configuration.

    Raises:
        ConfigError: two would share a folder, or ``out`` holds the study folders of earlier calls.
    """
    names = {path: folder_name(each.run.name or path.stem) for path, each in settings.items()}
    if out is not None and len(names) == 1:
        ((path, name),) = names.items()
        earlier = out / name
        if RunFolder(earlier).config.exists() and not RunFolder(out).config.exists():
            raise ConfigError(
                f"--out {out} is the study folder itself, but a study lies in {earlier}. Go on "
                f"with that one with --out {earlier}, or choose another --out."
            )
        return {path: out}
    folders = {path: (out or OUT_ROOT) / name for path, name in names.items()}
    for path, folder in folders.items():
        for other in folders:
            if other != path and folders[other] == folder:
                raise ConfigError(
                    f"{path} and {other} would both have the study folder {folder}: they have the "
                    f"same run.name. Give them different names, or tune them one by one with --out."
                )
    return folders


def seconds_in(text: str) -> float:
    """Read ``2h``, ``90m``, ``45s`` or ``1h30m``.

    Raises:
        ConfigError: it is none of these.
    """
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    hours, minutes, seconds = (int(each or 0) for each in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise ConfigError(f"--time {text!r} is no duration. Write it like 2h, 90m or 1h30m.")
    return float(total)


def _print(results: "list[StudyResult]", folders: Sequence[Path]) -> None:
    """Two lines per study: the configuration as it stood, and the winner with its cost."""
    measured = results[0].test.get("best", {})
    names = [name for name in SHOWN if name in measured]
    rows = []
    for result in results:
        objective = next(iter(result.objectives))
        counts = "/".join(str(result.trials[state]) for state in ("complete", "pruned", "failed"))
        for which, valid in (("own", result.own), ("best", result.best)):
            found = result.test.get(which, result.test.get("best", {}))
            cost = [counts, f"{result.seconds:,.0f}"] if which == "best" else ["", ""]
            label = f"{result.name}, {which}"
            figures = [spread(found[name], len(result.seeds)) for name in names]
            shown = f"{valid[objective]:.4f}" if objective in valid else "failed"
            rows.append([label, *cost, objective, shown, *figures])
    header = ["study", "trials", "seconds", "objective", "valid", *(f"test {n}" for n in names)]
    show.print_table("Trials: complete/pruned/failed", header, rows)
    what = "Study folder" if len(folders) == 1 else "Study folders"
    show.say(f"\n{what}, with report.html and best.json: {', '.join(map(str, folders))}")
