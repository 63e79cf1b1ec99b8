"""A student that was taught beside the same student alone, and both beside the teacher."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from graphrec.config import RunConfig
from graphrec.core.claim import claimed
from graphrec.core.config import Json
from graphrec.core.environment import environment
from graphrec.core.errors import ConfigError
from graphrec.core.records import Record
from graphrec.evaluation import METRICS, parse_metric
from graphrec.experiment.load import load_run
from graphrec.experiment.result import Result, read_result
from graphrec.experiment.run import run
from graphrec.models import Model, VectorModel
from graphrec.training.distillation.config import DistillConfig

BLOCK = 256
"""Users that are scored at once."""
ROUNDS = 15
"""Blocks of each model; the models take turns, so that other work on the machine hits all."""


@dataclass(frozen=True)
class Line:
    """One model of the comparison.

    Attributes:
        role: ``teacher``, ``alone`` or ``taught``.
        parameters: numbers that were learned.
        model_bytes: of parameters and buffers, content and graph included: what gives embeddings.
        embedding_bytes: of the final embeddings, which are enough to score known users; None for a
            model without.
        ready_ms: to build the scorer, once for all users: content, messages, fusion.
        user_ms: to score the catalogue for one user and take the best of it, with the scorer
            built; median over blocks of 256 users.
        test: test metrics of the run.
        lost_percent: how much of the teacher's test metrics is lost, for those of which more is
            better; negative where the student is better.
    """

    role: str
    folder: str
    model: str
    device: str
    parameters: int
    model_bytes: int
    embedding_bytes: int | None
    ready_ms: float
    user_ms: float
    test: dict[str, float]
    lost_percent: dict[str, float]


@dataclass(frozen=True)
class Comparison(Record):
    """All of ``distill.json``. Field names are a stable surface.

    Attributes:
        settings: the table ``[distill]``.
        k: length of the lists that were timed.
        threads: of torch, while they were.
    """

    name: str
    dataset: str
    seed: int
    settings: dict[str, Json]
    fingerprints: dict[str, str]
    lines: list[Line]
    k: int
    threads: int
    environment: dict[str, Json]
    schema_version: int = 1


def distill(config: RunConfig, out: Path | str) -> Comparison:
    """Train the student of ``config`` with its teacher and without, and compare the three.

    Both students have the same seed: the same first weights, order and negatives. They are
    compared with each other: baselines are fitted only if the configuration names them. Writes the
    run folders ``out/taught`` and ``out/alone`` and the record ``out/distill.json``. The same call
    goes on with what was interrupted.

    Raises:
        ConfigError: ``config`` has no teacher, its model cannot be taught, or ``out`` holds
            another comparison.
        DataError: the teacher is not finished, or is one of other data, split or protocol.
    """
    out, teacher = Path(out), config.distill.teacher
    if teacher is None:
        raise ConfigError("There is no teacher. Set distill.teacher to the folder of a run.")
    if config.evaluation.baselines is None:
        evaluation = config.evaluation.model_copy(update={"baselines": ()})
        config = config.model_copy(update={"evaluation": evaluation})
    with claimed(out):
        return _distill(config, out, teacher)


def _distill(config: RunConfig, out: Path, teacher: Path) -> Comparison:
    folders = {"teacher": teacher, "alone": out / "alone", "taught": out / "taught"}
    # The taught one first: a teacher that does not fit is refused before anything is trained.
    run(_named(config, "taught"), folders["taught"], resume=True)
    alone = config.model_copy(update={"distill": DistillConfig()})
    run(_named(alone, "alone"), folders["alone"], resume=True)
    results = {role: read_result(folder) for role, folder in folders.items()}
    k = config.run.recommend_k
    comparison = Comparison(
        name=config.run.name or config.model.name,
        dataset=results["taught"].dataset,
        seed=config.run.seed,
        settings=config.distill.model_dump(mode="json"),
        fingerprints=results["taught"].fingerprints,
        lines=_lines(folders, results, k, config),
        k=k,
        threads=torch.get_num_threads(),
        environment=environment(),
    )
    comparison.write(out / "distill.json")
    return comparison


def _named(config: RunConfig, role: str) -> RunConfig:
    name = f"{config.run.name or config.model.name}-{role}"
    return config.model_copy(update={"run": config.run.model_copy(update={"name": name})})


def _lines(
    folders: Mapping[str, Path], results: Mapping[str, Result], k: int, config: RunConfig
) -> list[Line]:
    loaded = {role: load_run(folder, beside=config) for role, folder in folders.items()}
    models = {role: model for role, (_, model) in loaded.items()}
    ready, user = milliseconds(models, {role: own.device for role, (own, _) in loaded.items()}, k)
    best = results["teacher"].metrics["test"]
    return [
        Line(
            role=role,
            folder=str(folders[role]),
            model=results[role].model,
            device=str(loaded[role][0].device),
            parameters=results[role].num_parameters,
            model_bytes=_bytes([*model.parameters(), *model.buffers()]),
            embedding_bytes=_embedding_bytes(model),
            ready_ms=ready[role],
            user_ms=user[role],
            test=results[role].metrics["test"],
            lost_percent=lost_percent(best, results[role].metrics["test"]),
        )
        for role, model in models.items()
    ]


def lost_percent(teacher: Mapping[str, float], student: Mapping[str, float]) -> dict[str, float]:
    """100 (1 - student / teacher) for each metric of both of which more is better."""
    return {
        name: 100 * (1 - student[name] / value)
        for name, value in teacher.items()
        if name in student and value > 0 and METRICS[parse_metric(name)[0]].higher_is_better
    }


@torch.no_grad()
def milliseconds(
    models: Mapping[str, Model], devices: Mapping[str, torch.device], k: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Medians of the milliseconds to build the scorer, and to rank for one user once it is built.

    Each block is a fresh one of 256 users, from the first to the last and round again.
    """
    built, blocks = ({role: list[float]() for role in models} for _ in range(2))
    scorers = {role: model.scorer() for role, model in models.items()}
    for turn in range(ROUNDS):
        for role, model in models.items():
            first = torch.arange(turn * BLOCK, (turn + 1) * BLOCK) % model.num_users
            work = partial(_rank, scorers[role], first.to(devices[role]), k)
            work()  # caches and allocations are those of a service that is at work
            blocks[role].append(_seconds(work, devices[role]))
            built[role].append(_seconds(model.scorer, devices[role]))
    return (
        {role: 1e3 * statistics.median(seconds) for role, seconds in built.items()},
        {role: 1e3 * statistics.median(seconds) / BLOCK for role, seconds in blocks.items()},
    )


def _rank(scorer: Callable[[Tensor], Tensor], users: Tensor, k: int) -> Tensor:
    return scorer(users).topk(k, dim=1).indices


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time of ``work``, to the end of what it has queued on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@torch.no_grad()
def _embedding_bytes(model: Model) -> int | None:
    if isinstance(model, VectorModel) and model.ranks_by_products:
        return _bytes(model.vectors())
    return None
