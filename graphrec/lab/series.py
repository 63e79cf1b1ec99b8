"""Variants of an experiment, each trained with fresh seeds; only then is test opened, for all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from graphrec.config import RunConfig
from graphrec.config_file import differing_settings
from graphrec.files import remove_half_written, write_json
from graphrec.lab.fit import LOG, fit_in
from graphrec.processes import run_processes
from graphrec.progress import step
from graphrec.result import Result, read_result
from graphrec.run import CHECKPOINT, Prepared, conclude, prepare, with_settings
from graphrec.run_log import RunLog


def train_series(
    settings: Mapping[str, RunConfig],
    num_seeds: int,
    out: Path,
    workers: int,
    log: RunLog,
    prepared: Prepared | None = None,
) -> dict[str, list[Result]]:
    """Train every variant with the seeds after its own; then open test, once.

    Its own seed is left out: settings may have been chosen by it, and that may be what made them
    win. Each variant and seed has a run folder, ``out/<variant>-seed<seed>``. What was trained
    before is not trained again.

    Args:
        prepared: the data of one of the variants, test part included; by default loaded here.
    """
    runs = {
        name: [(each, folder_of(out, name, each)) for each in seeded(base, num_seeds)]
        for name, base in settings.items()
    }
    missing = [pair for pairs in runs.values() for pair in pairs if not is_finished(*pair)]
    if missing:
        _train(missing, workers, log, prepared)
    return {name: [read_result(folder) for _, folder in pairs] for name, pairs in runs.items()}


def seeded(base: RunConfig, num_seeds: int) -> list[RunConfig]:
    """The settings with each of the seeds after their own."""
    return [
        base.model_copy(
            update={"run": base.run.model_copy(update={"seed": base.run.seed + 1 + index})}
        )
        for index in range(num_seeds)
    ]


def folder_of(out: Path, name: str, config: RunConfig) -> Path:
    """The run folder of a variant with one seed."""
    return out / f"{name}-seed{config.run.seed}"


def is_finished(config: RunConfig, folder: Path) -> bool:
    """Whether the folder holds the result of this very run."""
    stored = folder / "config.json"
    same = stored.exists() and not differing_settings(stored, config)
    return same and (folder / "result.json").exists()


def _train(
    runs: Sequence[tuple[RunConfig, Path]], workers: int, log: RunLog, prepared: Prepared | None
) -> None:
    """Fit all, then open test and measure all."""
    for config, folder in runs:
        _begin(config, folder)
    if workers > 1:
        _train_beside(runs, workers, log)
    own = prepared or prepare(runs[0][0], log)
    with step("Final training", len(runs)) as bar:
        for config, folder in runs:
            log.event("final", f"Final training in {folder}", {"folder": str(folder)})
            own = with_settings(own, config, log)
            fit_in(folder, own)
            bar.advance(note=folder.name)
    truth = own.open_test(f"final evaluation of {len(runs)} models of the study", log)
    for config, folder in runs:
        own = with_settings(own, config, log)
        model, fitted, own_log = fit_in(folder, own)  # restores what was trained above
        conclude(folder, own, model, fitted, truth, {}, own_log)


def _train_beside(runs: Sequence[tuple[RunConfig, Path]], workers: int, log: RunLog) -> None:
    """Fit in processes, each of which loads once and takes its share of the runs in turn.

    What one that fails has not finished is left to this process, and that is said.
    """
    words = {}
    for index in range(min(workers, len(runs))):
        share = [folder for _, folder in runs[index::workers]]
        told = share[0].parent / f"worker-{index}.log"
        words[told] = ["graphrec.lab.fit", *map(str, share)]
    with step("Final training", len(runs)) as bar:

        def look() -> None:
            bar.to(sum((folder / LOG).exists() for _, folder in runs))

        failed = run_processes(words, workers, look)
    for told in failed:
        message = f"A worker ended early; see {told}. What it left undone is trained here."
        log.event("worker_failed", message, {"log": str(told)})


def _begin(config: RunConfig, folder: Path) -> None:
    """Make the folder of a run; what a run of other settings left in it is removed."""
    stored = folder / "config.json"
    if stored.exists() and differing_settings(stored, config):
        for name in (CHECKPOINT, LOG, "result.json"):
            (folder / name).unlink(missing_ok=True)
    remove_half_written(folder)
    write_json(stored, config.model_dump(mode="json"))
