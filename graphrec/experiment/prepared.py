"""What the models of one experiment share, and what their numbers depend on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from graphrec.config import RunConfig
from graphrec.config.identity import training_identity
from graphrec.core.backends import Backend, choose_backend
from graphrec.core.config import Json
from graphrec.core.run_folder import RunFolder
from graphrec.data import Dataset, Features, Interactions, Split
from graphrec.evaluation import Protocol
from graphrec.experiment.content import Encoded
from graphrec.experiment.log import RunLog
from graphrec.training import CheckpointPolicy
from graphrec.training.distillation.teacher import Teacher


@dataclass(frozen=True)
class Prepared:
    """All that the models of one experiment share; built once."""

    config: RunConfig
    dataset: Dataset
    split: Split
    encoded: Mapping[str, Encoded]
    """Modalities of items before controls and removal; kept for other settings of the rest."""
    features: Features
    user_features: Features
    protocol: Protocol
    device: torch.device
    environment: dict[str, Json]
    """Versions and git state at the start: the checkout may move on while a run goes on."""
    teacher: Teacher | None = None
    """Who teaches the model; a run that is finished does without."""

    @property
    def backend(self) -> Backend:
        """Kernels of message passing; others round differently."""
        return choose_backend(self.config.run.backend, self.device)

    @property
    def fingerprints(self) -> dict[str, str]:
        """sha256 of everything that a number depends on, besides the model."""
        users = {"user_features": self.user_features.fingerprint} if self.user_features else {}
        teacher = {"teacher": self.teacher.fingerprint} if self.teacher else {}
        return {
            "dataset": self.dataset.fingerprint,
            "split": self.split.fingerprint,
            "features": self.features.fingerprint,
            "protocol": self.protocol.fingerprint,
            **users,
            **teacher,
        }

    @property
    def identity(self) -> dict[str, str]:
        """What the checkpoints of this experiment belong to."""
        return {"config": training_identity(self.config)} | self.fingerprints

    def checkpoint_in(
        self, folder: Path, resume: bool, *, keep_last: bool = False
    ) -> CheckpointPolicy:
        """Checkpoints in a run folder; with ``resume`` training goes on from one that is there.

        What may change in between is noted beside them: limits of the training, and the machine,
        of which devices and kernels round differently.
        """
        training, files = self.config.training, RunFolder(folder)
        return CheckpointPolicy(
            files.checkpoint,
            self.identity,
            resume=resume and files.checkpoint.exists(),
            circumstances={
                "training.max_epochs": training.max_epochs,
                "training.patience": training.patience,
                "run.device": str(self.device),
                "run.backend": self.backend,
            },
            last=files.last if keep_last else None,
        )

    def open_test(self, reason: str, log: RunLog) -> Interactions:
        """Open the sealed test part and leave a trace in the log."""
        log.event("test_opened", f"Test part opened: {reason}", {"reason": reason})
        return self.split.test.open(reason)
