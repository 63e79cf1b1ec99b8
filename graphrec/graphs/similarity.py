"""Item-item graphs: the most similar items by content, and the operators that they make."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from graphrec.core.errors import ConfigError, DataError
from graphrec.core.names import nearest
from graphrec.data.neighbours import Neighbours
from graphrec.graphs.propagation import DirectedGraph

# Unit rows are rounded to whole multiples of 2^-26. Every partial sum of a cosine is then a whole
# multiple of 2^-52 below 2 (by Cauchy and Schwarz): float64 holds it exactly, so that neither the
# block size nor the threads nor the machine can change a result.
FINENESS = 2.0**26

# Cosines are rounded to 2^-24, about what float32 can tell apart. A key holds such a cosine above
# an item id of 28 bits, within the 53 bits of float64: comparing keys is the whole tie rule.
COSINE_UNIT = 2.0**-24
ID_RANGE = 2.0**28

BLOCK_BYTES = 2**27
"""Memory for the cosines of one block where no block size is given."""


@dataclass(frozen=True)
class Rule:
    """How neighbours become an operator; the defaults are those of zhou2023freedom.

    Attributes:
        edges: weight S_ij of neighbour j of item i: 1, or the cosine, as in zhang2021lattice,
            but that negative ones count as 0, as a degree must not be negative.
        normalize: symmetric, D^-1/2 S D^-1/2, or row, D^-1 S, with the row sums D of S.
        self_loops: count each item that has neighbours as one of its own, with S_ii = 1. The
            papers' k nearest items include the item itself: their k is ours plus one.
    """

    edges: Literal["binary", "cosine"] = "binary"
    normalize: Literal["symmetric", "row"] = "symmetric"
    self_loops: bool = True


def nearest_items(
    values: npt.NDArray[np.float32],
    present: npt.NDArray[np.bool_],
    k: int,
    *,
    block: int | None = None,
) -> Neighbours:
    """Find the k items of the largest cosine, never holding more than a block of cosines.

    An item that is not present, or whose row is zero, has no direction: it gets no neighbours and
    is nobody's neighbour. Cosines are rounded to 2^-24.

    Shapes:
        values: ``[I, F]``; present: ``[I]``; result: ``[I, k]``.

    Args:
        block: items compared at once with all others: speed and memory, never the result.

    Raises:
        ConfigError: k or block is below 1.
        DataError: the mask does not fit the values, or a present row is not finite.
    """
    if k < 1 or (block is not None and block < 1):
        raise ConfigError(f"k = {k} and block = {block} must be at least 1.")
    candidates, rows = _directions(values, present)
    items = np.full((len(values), k), -1, dtype=np.int32)
    cosines = np.zeros((len(values), k), dtype=np.float32)
    width = min(k, len(candidates) - 1)
    if width < 1:
        return Neighbours(items, cosines)

    block = block or max(1, BLOCK_BYTES // (8 * len(candidates)))
    columns = torch.arange(len(candidates), dtype=torch.float64)
    in_units = 1 / (FINENESS * FINENESS * COSINE_UNIT)
    for start in range(0, len(candidates), block):
        keys = (rows[start : start + block] * in_units) @ rows.T
        keys.round_().mul_(ID_RANGE).sub_(columns)
        keys[:, start:].fill_diagonal_(-torch.inf)  # the item itself
        best = keys.topk(width, dim=1).values
        whole = (best / ID_RANGE).ceil()
        found = candidates[start : start + block]
        items[found, :width] = candidates[(whole * ID_RANGE - best).long().numpy()]
        cosines[found, :width] = (whole * COSINE_UNIT).clamp(-1, 1).numpy()
    return Neighbours(items, cosines)


def _directions(
    values: npt.NDArray[np.float32], present: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], torch.Tensor]:
    """Return the n items with a direction and their unit rows ``[n, F]`` in steps of 2^-26."""
    if values.ndim != 2 or present.shape != values.shape[:1]:
        raise DataError(
            f"values of shape {values.shape} and mask of shape {present.shape} do not fit. Give "
            f"values [I, F] and mask [I]."
        )
    bad = present & ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise DataError(
            f"row {int(bad.argmax())} holds NaN or infinity ({int(bad.sum())} such rows). Mark "
            f"these items as missing or repair them."
        )
    candidates = np.flatnonzero(present & values.any(axis=1))
    rows = values[candidates].astype(np.float64)
    rows *= FINENESS / np.linalg.norm(rows, axis=1, keepdims=True)
    return candidates, torch.from_numpy(np.rint(rows, out=rows))


def similarity_matrix(neighbours: Neighbours, rule: Rule) -> sp.csr_array:
    """Return the normalised matrix of one modality; 0 / 0 = 0.

    ``W = D^-1/2 S D^-1/2`` or ``W = D^-1 S`` with ``S_ij`` as the rule weighs neighbour j of i and
    ``D_ii = sum_j S_ij``. S is not made symmetric: j may be near i without i being near j.
    Source: zhou2023freedom, zhang2021lattice.

    Shapes:
        result: ``[I, I]`` float64; a row of zeros for an item without neighbours.
    """
    num_items = len(neighbours.items)
    known = neighbours.items >= 0
    targets, _ = np.nonzero(known)
    sources = neighbours.items[known].astype(np.int64)
    weights = np.ones(len(sources))
    if rule.edges == "cosine":
        weights = neighbours.cosines[known].clip(min=0).astype(np.float64)
    if rule.self_loops:
        loops = np.flatnonzero(known.any(axis=1))
        targets, sources = np.append(targets, loops), np.append(sources, loops)
        weights = np.append(weights, np.ones(len(loops)))
    degrees = np.bincount(targets, weights, minlength=num_items)
    scale = np.zeros(num_items)
    np.power(degrees, -1.0 if rule.normalize == "row" else -0.5, out=scale, where=degrees > 0)
    weights *= scale[targets]
    if rule.normalize == "symmetric":
        weights *= scale[sources]
    return sp.csr_array((weights, (targets, sources)), shape=(num_items, num_items))


def similarity_graph(
    neighbours: Mapping[str, Neighbours],
    shares: Mapping[str, float] | None = None,
    *,
    rule: Rule | None = None,
    backend: str = "auto",
) -> DirectedGraph:
    """Mix the graphs of several modalities, for each item over those in which it has neighbours.

    ``W_ij = sum_m a_im W^m_ij`` with ``a_im = share_m n_im / sum_m' share_m' n_im'``, where n_im
    is 1 if item i has neighbours in modality m, else 0, and 0 / 0 = 0: an item that lacks a
    modality relies on its others, and an item that lacks all gets no messages.
    Source: zhou2023freedom, where every item has every modality, and where of items with equal
    rows one may push another out of its own ten nearest.

    Shapes:
        result: ``[I, I]``.

    Args:
        neighbours: ``{modality: Neighbours}``.
        shares: ``{modality: share}`` of the same modalities, in any unit; by default all equal.
        rule: how the neighbours of each modality become an operator; by default ``Rule()``.

    Raises:
        ConfigError: a share is unknown, absent, negative or not finite, or all are 0.
        DataError: the modalities have different numbers of items.
    """
    given = dict.fromkeys(neighbours, 1.0) if shares is None else shares
    _check_shares(neighbours, given)
    counts = {name: len(each.items) for name, each in neighbours.items()}
    if len(set(counts.values())) > 1:
        raise DataError(
            f"The neighbours are of different items: {counts} rows. All modalities need one row "
            f"per item of the data set."
        )
    shared = np.stack(
        [given[name] * (each.items >= 0).any(axis=1) for name, each in neighbours.items()],
        dtype=np.float64,
    )
    total = shared.sum(axis=0)
    np.divide(shared, total, out=shared, where=total > 0)
    mixed = sp.csr_array((len(total), len(total)))
    for own, each in zip(shared, neighbours.values(), strict=True):
        mixed += sp.diags_array(own) @ similarity_matrix(each, rule or Rule())
    mixed.eliminate_zeros()
    mixed.sort_indices()
    return DirectedGraph(mixed, backend)


def _check_shares(neighbours: Mapping[str, Neighbours], shares: Mapping[str, float]) -> None:
    if not neighbours:
        raise ConfigError("A similarity graph needs the neighbours of at least one modality.")
    for name in sorted(shares.keys() ^ neighbours.keys()):
        problem = f"There is no share for {name!r}."
        if name not in neighbours:
            problem = f"There is a share for an unknown {name!r}.{nearest(name, neighbours)}"
        raise ConfigError(f"{problem} Give one to each modality: {', '.join(neighbours)}.")
    for name, share in shares.items():
        if not 0 <= share < np.inf:
            raise ConfigError(f"The share of {name!r} is {share}; it must be 0 or more.")
    if not any(shares.values()):
        raise ConfigError("All shares are 0. Give at least one modality a share above 0.")
