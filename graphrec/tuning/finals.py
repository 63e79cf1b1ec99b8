"""The end of a study: settings are trained with fresh seeds, and only then is test opened."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from graphrec.config import RunConfig
from graphrec.config_file import differing_settings
from graphrec.files import write_json
from graphrec.progress import step
from graphrec.result import Result, read_result
from graphrec.run import CHECKPOINT, conclude, prepare
from graphrec.run_log import RunLog
from graphrec.tuning.fit import LOG, fit_in
from graphrec.tuning.objective import with_settings
from graphrec.tuning.work import run_processes


def train_finals(
    settings: Mapping[str, RunConfig], num_seeds: int, out: Path, workers: int, log: RunLog
) -> dict[str, list[Result]]:
    """Train every setting with the seeds after that of the search; then open test, once.

    The seed of the search is left out: it may be what made the winner win. Each setting and seed
    has a run folder, ``out/<setting>-seed<seed>``. What was trained before is not trained again.
    """
    runs = {
        (name, config.run.seed): (config, out / f"{name}-seed{config.run.seed}")
        for name, base in settings.items()
        for config in _seeded(base, num_seeds)
    }
    missing = {
        key: (config, folder)
        for key, (config, folder) in runs.items()
        if not _finished(config, folder)
    }
    if missing:
        _train(list(missing.values()), workers, log)
    found: dict[str, list[Result]] = {name: [] for name in settings}
    for (name, _), (_, folder) in runs.items():
        found[name].append(read_result(folder))
    return found


def _seeded(base: RunConfig, num_seeds: int) -> list[RunConfig]:
    return [
        base.model_copy(
            update={"run": base.run.model_copy(update={"seed": base.run.seed + 1 + index})}
        )
        for index in range(num_seeds)
    ]


def _finished(config: RunConfig, folder: Path) -> bool:
    stored = folder / "config.json"
    same = stored.exists() and not differing_settings(stored, config)
    return same and (folder / "result.json").exists()


def _train(runs: Sequence[tuple[RunConfig, Path]], workers: int, log: RunLog) -> None:
    """Fit all, then open test and measure all."""
    for config, folder in runs:
        _begin(config, folder)
    if workers > 1:
        _train_beside(runs, workers)
    prepared = prepare(runs[0][0], log)
    with step("Final training", len(runs)) as bar:
        for config, folder in runs:
            log.event("final", f"Final training in {folder}", {"folder": str(folder)})
            fit_in(folder, with_settings(prepared, config, log))
            bar.advance(note=folder.name)
    truth = prepared.open_test(f"final evaluation of {len(runs)} models of the study", log)
    for config, folder in runs:
        own = with_settings(prepared, config, log)
        model, fitted, own_log = fit_in(folder, own)  # restores what was trained above
        conclude(folder, own, model, fitted, truth, {}, own_log)


def _train_beside(runs: Sequence[tuple[RunConfig, Path]], workers: int) -> None:
    """Fit in processes of their own; what they do not finish is left to this one."""
    words = {folder / "fit.log": ["graphrec.tuning.fit", str(folder)] for _, folder in runs}
    with step("Final training", len(runs)) as bar:

        def look() -> None:
            bar.to(sum((folder / LOG).exists() for _, folder in runs))

        run_processes(words, workers, look)


def _begin(config: RunConfig, folder: Path) -> None:
    """Make the folder of a final run; what an earlier winner left in it is removed."""
    stored = folder / "config.json"
    if stored.exists() and differing_settings(stored, config):
        for name in (CHECKPOINT, LOG, "result.json"):
            (folder / name).unlink(missing_ok=True)
    write_json(stored, config.model_dump(mode="json"))
