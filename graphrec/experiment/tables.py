"""What a finished run writes: tables with external ids, examples for people, the record."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from graphrec.config.identity import experiment_identity
from graphrec.core.config import Json
from graphrec.core.files import write_parquet
from graphrec.core.run_folder import RunFolder
from graphrec.data import Dataset, Interactions
from graphrec.evaluation import Evaluation, Ranking, by_warmth, rank, warm_cold
from graphrec.experiment.log import RunLog
from graphrec.experiment.measurable import left_out
from graphrec.experiment.result import BetterBaseline, Example, Result, compare
from graphrec.models import Model
from graphrec.models.explanation import NUM_NEIGHBOURS, Attribution, attribute
from graphrec.training import FitResult

if TYPE_CHECKING:
    from graphrec.experiment.prepared import Prepared

EXAMPLE_USERS = 3
EXAMPLE_ITEMS = 5


def rank_users(
    model: Model,
    prepared: "Prepared",
    users: npt.NDArray[np.integer],
    k: int,
    *,
    include_seen: bool = False,
) -> Ranking:
    """Rank the catalogue for users, without what they have in train and valid, or with it.

    This is what is recommended, under every protocol; what a protocol measures may hold items of
    the validation part, which the user has.
    """
    parts = prepared.split
    with torch.no_grad():
        return rank(
            model.scorer(),
            users,
            () if include_seen else (parts.train, parts.valid),
            k,
            parts.train.num_items,
            prepared.device,
            prepared.config.evaluation.memory_mb * 2**20,
        )


def recommended(model: Model, prepared: "Prepared", test: Evaluation) -> Ranking:
    """Return the lists of ``rank_users``, as long as the measured ones, which serve where equal."""
    measured = test.ranking
    if {"train", "valid"} <= {*prepared.protocol.mask_at_test}:
        return measured
    return rank_users(model, prepared, measured.users, measured.items.shape[1])


def write_tables(
    out: Path,
    prepared: "Prepared",
    model: Model,
    test: Evaluation,
    truth: Interactions,
    lists: Ranking,
) -> None:
    """Write ``per_user.parquet`` and, of ``lists``, ``recommendations.parquet``."""
    write_parquet(RunFolder(out).per_user, _per_user(prepared, test, truth))
    reasons = attribute(model, prepared.split.train, lists)
    table = recommendation_table(prepared.dataset, lists, reasons)
    write_parquet(RunFolder(out).recommendations, table.drop("contributions", strict=False))


def _per_user(prepared: "Prepared", test: Evaluation, truth: Interactions) -> pl.DataFrame:
    """The metrics of the measured users; where test items are cold, also of each group of items.

    The columns of a group are named like ``ndcg@20 cold`` and null for users without such items.
    """
    users = prepared.dataset.user_ids.gather(test.users)
    table = pl.DataFrame({"user": users} | dict(test.per_user))
    groups = by_warmth(test, truth, prepared.split.train, prepared.protocol)
    if not groups["cold"].num_users:
        return table
    for name in ("warm", "cold"):
        group = groups[name]
        values = {f"{metric} {name}": each for metric, each in group.per_user.items()}
        own = pl.DataFrame({"user": prepared.dataset.user_ids.gather(group.users)} | values)
        table = table.join(own, on="user", how="left", maintain_order="left")
    return table


def recommendation_table(
    dataset: Dataset, ranking: Ranking, reasons: Attribution | None = None
) -> pl.DataFrame:
    """One row per recommended item: user, item (external ids), rank (from 1) and score.

    ``reasons`` add attention_m and change_m for each modality, the items of the user that speak
    for it (because) and their contributions.
    """
    num_users, length = ranking.items.shape
    filled = ranking.items.ravel() >= 0
    table = pl.DataFrame(
        {
            "user": dataset.user_ids.gather(np.repeat(ranking.users, length)[filled]),
            "item": dataset.item_ids.gather(ranking.items.ravel()[filled]),
            "rank": np.tile(np.arange(1, length + 1, dtype=np.int32), num_users)[filled],
            "score": ranking.scores.ravel()[filled],
        }
    )
    if reasons is None:
        return table
    figures = {f"attention_{name}": each for name, each in reasons.attention.items()}
    figures |= {f"change_{name}": each for name, each in reasons.change.items()}
    table = table.with_columns(pl.Series(name, x.ravel()[filled]) for name, x in figures.items())
    if reasons.neighbours is None or reasons.contributions is None:
        return table
    because = reasons.neighbours.reshape(-1, NUM_NEIGHBOURS)[filled]
    parts = reasons.contributions.reshape(-1, NUM_NEIGHBOURS)[filled]
    ids = dataset.item_ids.gather(because.ravel().clip(min=0))
    return table.with_columns(
        _lists(ids, because >= 0).alias("because"),
        _lists(pl.Series(parts.ravel()), because >= 0).alias("contributions"),
    )


def _lists(values: pl.Series, shown: npt.NDArray[np.bool_]) -> pl.Series:
    """One list per row of ``shown [R, n]``, of those of the R n values that are."""
    chosen = pl.DataFrame({"value": values, "shown": shown.ravel()})
    column = chosen.select(pl.when("shown").then("value")).to_series()
    return column.reshape(shown.shape).arr.to_list().list.drop_nulls()


def examples(prepared: "Prepared", test: Evaluation, lists: Ranking) -> list[Example]:
    """Histories and recommendations of a few users, spread evenly over the measured ones."""
    names = prepared.dataset.item_names
    places = np.linspace(0, len(test.users) - 1, EXAMPLE_USERS + 2).astype(int)[1:-1]
    found = []
    for user in np.unique(test.users[places]):
        ranked = lists.items[lists.users == user][0][:EXAMPLE_ITEMS]
        bought = _latest(prepared.split.train, int(user))
        found.append(
            Example(
                user=prepared.dataset.user_ids[int(user)],
                history=names.gather(bought).to_list(),
                recommended=names.gather(ranked[ranked >= 0]).to_list(),
            )
        )
    return found


def _latest(train: Interactions, user: int) -> npt.NDArray[np.int32]:
    """The last items of a user, latest first; without times the first ones by id."""
    own = np.flatnonzero(train.users == user)
    if train.times is not None:
        own = own[np.argsort(-train.times[own], kind="stable")]
    return train.items[own][:EXAMPLE_ITEMS]


def summarise(
    prepared: "Prepared",
    model: Model,
    fitted: FitResult,
    valid: Evaluation | None,
    test: Evaluation,
    truth: Interactions,
    lists: Ranking,
    baselines: dict[str, Evaluation],
    better: list[BetterBaseline],
    log: RunLog,
) -> Result:
    """Gather the record of the run."""
    config = prepared.config
    groups = warm_cold(test, truth, prepared.split.train, prepared.protocol)
    num_users = {f"test_{name}": int(groups[name].pop("num_users")) for name in ("warm", "cold")}
    num_users |= {"valid": valid.num_users if valid else 0, "test": test.num_users}
    steps = [asdict(step) for step in (*prepared.dataset.steps, *prepared.split.steps)]
    return Result(
        name=config.run.name or config.model.name,
        model=config.model.name,
        dataset=prepared.dataset.name,
        config=config.model_dump(mode="json"),
        config_hash=experiment_identity(config),
        fingerprints=prepared.fingerprints,
        protocol=prepared.protocol.model_dump(mode="json"),
        statistics=prepared.dataset.statistics(),
        steps=cast("list[dict[str, Json]]", steps),
        seed=config.run.seed,
        device=str(prepared.device),
        backend=prepared.backend,
        selection="none" if model.closed_form else prepared.protocol.selection,
        best_epoch=fitted.best_epoch,
        epochs=len(fitted.history),
        stopped=fitted.stopped,
        metrics={
            "valid": valid.metrics if valid else {},
            "test": test.metrics,
            "test_warm": groups["warm"],
            "test_cold": groups["cold"],
        },
        num_users=num_users,
        users_left_out=left_out(prepared.split),
        test_openings=prepared.split.test.openings,
        history=fitted.history,
        seconds=log.seconds | {"fit": max(log.seconds["fit"], _epoch_seconds(fitted))},
        peak_bytes=_peak_bytes(prepared.device),
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        baselines={name: evaluation.metrics for name, evaluation in baselines.items()},
        better_baselines=better,
        verdicts=compare(config.published, config.tolerance, test.metrics),
        examples=examples(prepared, test, lists),
        environment=prepared.environment,
        continued=fitted.continued,
    )


def _epoch_seconds(fitted: FitResult) -> float:
    """Time of all epochs: after a resume the log has measured the last ones only."""
    return sum(
        seconds
        for record in fitted.history
        for key, seconds in record.items()
        if key.endswith("_seconds")
    )


def _peak_bytes(device: torch.device) -> int:
    """Return the largest memory so far, of the GPU where one is used, else of the process.

    Windows does not count it: the result there is 0.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
