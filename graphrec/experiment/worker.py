"""Train the configurations in folders: python -m graphrec.experiment.worker FOLDER..."""

import sys
from pathlib import Path

from graphrec.config import load_config
from graphrec.core.claim import claimed
from graphrec.core.processes import stoppable
from graphrec.core.run_folder import RunFolder
from graphrec.experiment.fit import build, fit_model
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare, with_settings
from graphrec.experiment.prepared import Prepared
from graphrec.models import Model
from graphrec.training import FitResult


def fit_in(folder: Path, prepared: Prepared) -> tuple[Model, FitResult, RunLog]:
    """Train, or restore what was trained: the checkpoint tells how far it is."""
    log = RunLog()
    with log.stage("build"):
        model = build(prepared.config.model, prepared)
    log.write_to(RunFolder(folder).log)
    with log.stage("fit"):
        fitted = fit_model(model, prepared, log, prepared.checkpoint_in(folder, resume=True))
    return model, fitted, log


def is_fitted(folder: Path) -> bool:
    """Whether the log of a run says that its training has ended."""
    log = RunFolder(folder).log
    return log.exists() and '"stage": "fit"' in log.read_text(encoding="utf-8", errors="replace")


if __name__ == "__main__":
    with stoppable():
        given = [Path(word) for word in sys.argv[1:]]
        configs = [load_config(RunFolder(folder).config) for folder in given]
        own, log = prepare(configs[0], RunLog()), RunLog()
        for where, config in zip(given, configs, strict=True):
            own = with_settings(own, config, log)
            with claimed(where):
                fit_in(where, own)
