"""Variants of an experiment, each trained with fresh seeds; only then is test opened, for all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from graphrec.config import RunConfig
from graphrec.config.identity import differing_settings, experiment_identity, stored_config
from graphrec.core.claim import claimed
from graphrec.core.files import write_json
from graphrec.core.names import quantity
from graphrec.core.processes import run_processes
from graphrec.core.progress import step
from graphrec.core.run_folder import RunFolder
from graphrec.experiment.comparable import COMPARABLE, require_comparable
from graphrec.experiment.folder import holds_result_of, require_same_data
from graphrec.experiment.log import RunLog, openings_in
from graphrec.experiment.prepare import prepare, with_settings
from graphrec.experiment.prepared import Prepared
from graphrec.experiment.result import Result, read_result
from graphrec.experiment.run import conclude
from graphrec.experiment.worker import fit_in, is_fitted


def train_replicates(
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
    everything = [pair for pairs in runs.values() for pair in pairs]
    for config, folder in everything:
        _make_room(config, folder, log)
    missing = [pair for pair in everything if not is_finished(*pair)]
    if prepared is not None:
        for _, folder in everything:
            if RunFolder(folder).result.exists():
                require_same_data(folder, _task_of(read_result(folder)), prepared.fingerprints)
    if missing:
        _train(missing, workers, log, prepared)
    results = {name: [read_result(folder) for _, folder in pairs] for name, pairs in runs.items()}
    if everything:
        require_comparable([each for found in results.values() for each in found])
    return results


def _task_of(result: Result) -> dict[str, str]:
    """Return the fingerprints that all variants of a study share."""
    return {name: result.fingerprints[name] for name in COMPARABLE}


def seeded(base: RunConfig, num_seeds: int) -> list[RunConfig]:
    """Return the settings with each of the seeds that no search of them has used.

    A search tries every trial with ``tune.trial_seeds`` seeds, from ``run.seed`` on.
    """
    first = base.run.seed + base.tune.trial_seeds
    seeds = range(first, first + num_seeds)
    return [
        base.model_copy(update={"run": base.run.model_copy(update={"seed": seed})})
        for seed in seeds
    ]


def folder_of(out: Path, name: str, config: RunConfig) -> Path:
    """Return the run folder of a variant with one seed."""
    return out / f"{name}-seed{config.run.seed}"


def is_finished(config: RunConfig, folder: Path) -> bool:
    """Whether the folder holds the result of this very run."""
    return _is_of(config, folder) and holds_result_of(config, folder)


def _is_of(config: RunConfig, folder: Path) -> bool:
    """Whether the folder is one of this very run, finished or not."""
    stored = RunFolder(folder).config
    return stored.exists() and not differing_settings(stored_config(folder), config)


def _train(
    runs: Sequence[tuple[RunConfig, Path]], workers: int, log: RunLog, prepared: Prepared | None
) -> None:
    """Fit all, then open test and measure all."""
    for config, folder in runs:
        write_json(RunFolder(folder).config, config.model_dump(mode="json"))
    if workers > 1:
        _train_beside(runs, workers, log)
    own = prepared or prepare(runs[0][0], log)
    with step("Final training", len(runs)) as bar:
        for config, folder in runs:
            log.event("final", f"Final training in {folder}", {"folder": str(folder)})
            own = with_settings(own, config, log)
            with claimed(folder):
                fit_in(folder, own)
            bar.advance(note=folder.name)
    models = quantity(len(runs), "model")
    own.split.test.openings += openings_in(log.path)
    truth = own.open_test(f"final evaluation of {models} of the study", log)
    for config, folder in runs:
        own = with_settings(own, config, log)
        with claimed(folder):
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
        words[told] = ["graphrec.experiment.worker", *map(str, share)]
    with step("Final training", len(runs)) as bar:

        def look() -> None:
            bar.to(sum(is_fitted(folder) for _, folder in runs))

        failed = run_processes(words, workers, look)
    for told in failed:
        message = f"A worker ended early; see {told}. What it left undone is trained here."
        log.event("worker_failed", message, {"log": str(told)})


def _make_room(config: RunConfig, folder: Path, log: RunLog) -> None:
    """Set a run of other settings aside, as a winner of fewer trials; nothing is removed.

    If these settings have been set aside before, their run comes back.
    """
    if RunFolder(folder).config.exists() and not _is_of(config, folder):
        aside = _aside(folder, stored_config(folder))
        while aside.exists():
            aside = aside.with_name(f"{aside.name}-again")
        folder.rename(aside)
        message = f"{folder} holds a run of other settings, which is now {aside}"
        log.event("set_aside", message, {"folder": str(folder), "aside": str(aside)})
    before = _aside(folder, config)
    if before.exists() and not folder.exists():
        before.rename(folder)


def _aside(folder: Path, config: RunConfig) -> Path:
    return folder.with_name(f"{folder.name}-{experiment_identity(config)[:12]}")
