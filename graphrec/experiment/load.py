"""Load the model of a finished run."""

from collections.abc import Sequence
from pathlib import Path

from graphrec.config import RunConfig, build_config
from graphrec.config.file import read_table
from graphrec.config.identity import differing_settings, file_paths, gone, relocated, stored_config
from graphrec.config.run import validate
from graphrec.core.errors import ConfigError, DataError
from graphrec.core.run_folder import RunFolder
from graphrec.experiment.fit import build
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare
from graphrec.experiment.prepared import Prepared
from graphrec.experiment.result import read_result
from graphrec.models import Model
from graphrec.training import read_checkpoint, restore_weights


def load_run(
    run_dir: Path, overrides: Sequence[str] = (), beside: RunConfig | None = None
) -> tuple[Prepared, Model]:
    """Load the data and the fitted model of a finished run.

    Closed-form models keep nothing on disk: they are solved again.

    Args:
        overrides: where its files lie now and the machine, as in ``data.path=/new/ratings.csv``.
        beside: a configuration whose paths stand in for those at which nothing lies any more.

    Raises:
        ConfigError: an override would make another experiment.
        DataError: the run is not finished, its data are not where they were, or have changed.
    """
    result = read_result(run_dir)
    config = _config_of(run_dir, overrides)
    if differing_settings(validate(result.config), config):
        raise DataError(
            f"{run_dir / 'config.json'} has changed since the run. Restore it, run again, or go on "
            f"with the run if that was stopped (--resume)."
        )
    if beside is not None:
        config = relocated(config, beside, only_gone=True)
    for key, place in file_paths(config).items():
        if gone(place) and key[0] != "distill":  # a finished run needs no teacher
            setting = ".".join(key)
            raise DataError(
                f"{setting} of {run_dir}: nothing lies at {place} any more. If it has moved, add "
                f"{setting}=PATH to the command."
            )
    prepared = prepare(config, RunLog())
    for name, fingerprint in prepared.fingerprints.items():
        if fingerprint != result.fingerprints[name]:
            raise DataError(
                f"The {name} of {run_dir} has changed since the run (fingerprint "
                f"{result.fingerprints[name][:12]} then, {fingerprint[:12]} now). Restore the "
                f"files or run again."
            )
    model = build(prepared.config.model, prepared)
    if model.closed_form:
        model.fit_exact()
    else:
        checkpoint = read_checkpoint(RunFolder(run_dir).checkpoint, prepared.identity)
        restore_weights(model, checkpoint.group("best"), RunFolder(run_dir).checkpoint)
    model.eval()
    return prepared, model


def _config_of(run_dir: Path, overrides: Sequence[str]) -> RunConfig:
    """The configuration of a run; overrides may say where it lies, and nothing else of it."""
    stored = stored_config(run_dir)
    config = build_config(read_table(RunFolder(run_dir).config), overrides)
    different = differing_settings(stored, config)
    if different:
        raise ConfigError(
            f"{', '.join(different)} of {run_dir} cannot be changed afterwards: it would be "
            f"another experiment. Only paths and the machine can, as in data.path=PATH."
        )
    return config
