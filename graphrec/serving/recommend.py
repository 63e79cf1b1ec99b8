"""Recommend items from a finished run."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl

from graphrec.core.errors import ConfigError, DataError
from graphrec.core.files import read_parquet
from graphrec.core.names import nearest
from graphrec.core.run_folder import RunFolder
from graphrec.data import load
from graphrec.experiment.load import _config_of, load_run
from graphrec.experiment.result import read_result
from graphrec.experiment.tables import rank_users, recommendation_table
from graphrec.models import MODELS, Model
from graphrec.models.explanation import Explainable, attribute


def recommend(
    run_dir: Path | str,
    users: str | Sequence[str],
    k: int = 10,
    *,
    include_seen: bool = False,
    explain: bool = False,
    overrides: Sequence[str] = (),
) -> pl.DataFrame:
    """Rank the catalogue for one user or several, given by external id.

    Items of the user's train and valid parts are left out unless ``include_seen``. ``overrides``
    give the present paths of the run's files, as in ``data.path=/new/ratings.csv``.

    Returns:
        One row per recommendation: user, item, rank, score, and title where items have one. With
        ``explain`` also attention_m and change_m of each modality m, and the lists because (up to
        three items of the user), contributions and because_titles; see
        ``graphrec.models.explanation``.

    Raises:
        DataError: a user is unknown (the message offers the nearest id), or as in ``load_run``.
        ConfigError: ``k`` is below 1 or larger than the catalogue, a user is no text, or the model
            cannot be explained.
    """
    users = _as_list(users)
    _require_known(Path(run_dir), users, overrides)
    prepared, model = load_run(Path(run_dir), overrides)
    num_items = len(prepared.dataset.item_ids)
    if not 1 <= k <= num_items:
        raise ConfigError(
            f"k = {k}, but a list cannot hold the best {k} items: the catalogue has {num_items}. "
            f"Use k from 1 to {num_items}."
        )
    if explain:
        _require_explainable(model)
    known = {user: index for index, user in enumerate(prepared.dataset.user_ids)}
    _refuse_unknown(users, known, Path(run_dir))
    chosen = np.array([known[user] for user in users], dtype=np.int64)
    ranking = rank_users(model, prepared, chosen, k, include_seen=include_seen)
    reasons = attribute(model, prepared.split.train, ranking, few=True) if explain else None
    table = recommendation_table(prepared.dataset, ranking, reasons)
    if prepared.dataset.item_title is None:
        return table
    titles = prepared.dataset.item_names
    names = pl.DataFrame({"item": prepared.dataset.item_ids, "title": titles})
    table = table.join(names, on="item", how="left", maintain_order="left")
    if "because" not in table.columns:
        return table
    named = pl.element().replace_strict(names["item"], titles, return_dtype=pl.String)
    return table.with_columns(pl.col("because").list.eval(named).alias("because_titles"))


def _as_list(users: object) -> list[str]:
    """Return the users as a list.

    Raises:
        ConfigError: a user is no text but, for example, a number.
    """
    if isinstance(users, str):
        return [users]
    if isinstance(users, bytes) or not isinstance(users, Iterable):
        raise ConfigError(
            f"users is {users!r}. Users are given by their ids as text, as in 'u1' or ['u1', 'u2']."
        )
    ids = []
    for user in users:
        if not isinstance(user, str):
            raise ConfigError(
                f"users holds {user!r}, which is {type(user).__name__}. Users are given by their "
                f"id as text: {str(user)!r}."
            )
        ids.append(user)
    return ids


def _require_known(run_dir: Path, users: Sequence[str], overrides: Sequence[str]) -> None:
    """Refuse an unknown user before features and model are loaded.

    Nearly all users are in the recommendations of the run. A user who is not may have had no item
    left to recommend: then the data decide.

    Raises:
        DataError: a user is unknown.
    """
    with suppress(DataError):  # a damaged or missing table only costs time
        listed = read_parquet(RunFolder(run_dir).recommendations, ["user"], "")["user"]
        listed_ids = set(listed.unique())
        users = [user for user in users if user not in listed_ids]
    if not users:
        return
    read_result(run_dir)
    known = set(load(_config_of(run_dir, overrides).data).user_ids)
    _refuse_unknown(users, known, run_dir)


def _refuse_unknown(users: Sequence[str], known: Collection[str], run_dir: Path) -> None:
    for user in users:
        if user not in known:
            raise DataError(f"Unknown user {user!r} in {run_dir}.{nearest(user, known)}")


def _require_explainable(model: Model) -> None:
    """Refuse a model that cannot be explained.

    Raises:
        ConfigError: it has no method ``explain``.
    """
    if not isinstance(model, Explainable):
        able = ", ".join(name for name, other in MODELS.items() if hasattr(other, "explain"))
        raise ConfigError(
            f"Recommendations of {type(model).__name__} cannot be explained: only those of "
            f"{able} can. Leave explain out."
        )
