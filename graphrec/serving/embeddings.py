"""Export item vectors of a finished run, as content for another one."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch

from graphrec.core.errors import ConfigError
from graphrec.core.files import write_parquet
from graphrec.experiment.load import load_run
from graphrec.experiment.result import read_result
from graphrec.models import MODELS, VectorModel


def item_embeddings(run_dir: Path | str, overrides: Sequence[str] = ()) -> pl.DataFrame:
    """Return the item vectors of a run; it learned by their inner products with user vectors.

    They are its scores as well, unless a setting adds others (``closed_form`` of the flagship).
    Items without information have no row: those whose vector is 0, and cold items of a model that
    does not score them. ``overrides`` give the present paths of the run's files.

    Returns:
        The columns ``id``, the external id as text, and ``vector``, a list of D numbers.

    Raises:
        ConfigError: the model has no item vectors.
        DataError: as in ``load_run``.
    """
    prepared, model = load_run(Path(run_dir), overrides)
    if not isinstance(model, VectorModel):
        able = (
            name for name, model_class in MODELS.items() if issubclass(model_class, VectorModel)
        )
        raise ConfigError(
            f"{run_dir} is a run of {prepared.config.model.name!r}, which has no item vectors. "
            f"Models that have: {', '.join(able)}."
        )
    with torch.no_grad():
        vectors = model.vectors()[1].cpu().float().numpy()
    known = vectors.any(axis=1)
    if not model.scores_cold_items:
        known &= prepared.split.train.item_degrees > 0
    ids = prepared.dataset.item_ids.filter(pl.Series(known))
    return pl.DataFrame({"id": ids, "vector": np.ascontiguousarray(vectors[known])}).cast(
        {"vector": pl.List(pl.Float32)}
    )


def write_item_embeddings(run_dir: Path, out: Path, overrides: Sequence[str] = ()) -> pl.DataFrame:
    """Write ``item_embeddings`` to a .parquet file, which the encoder ``file`` reads.

    The metadata of the file record the source of the vectors: model, configuration and
    fingerprints of the run.

    Raises:
        ConfigError, DataError: as in ``item_embeddings``; the file has another ending or cannot be
            written.
    """
    if out.suffix != ".parquet":
        raise ConfigError(f"--out {out} must end in .parquet, which holds vectors with their ids.")
    table = item_embeddings(run_dir, overrides)
    result = read_result(run_dir)
    source = {"model": result.model, "config_hash": result.config_hash}
    write_parquet(out, table, {"graphrec": json.dumps(source | dict(result.fingerprints))})
    return table
