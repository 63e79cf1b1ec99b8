"""Choose the items that lose a modality."""

import numpy as np
import numpy.typing as npt

from graphrec.core.errors import ConfigError
from graphrec.core.rng import numpy_stream
from graphrec.data import Modality
from graphrec.features.missing.config import MissingConfig

Items = npt.NDArray[np.int64]


def losing_items(
    name: str, present: npt.NDArray[np.bool_], degrees: Items, config: MissingConfig
) -> Items:
    """Return the items that lose modality ``name``.

    Every item has a key, uniform in [0, 1) and drawn from a stream for this modality alone. The p
    items that have the modality are put in an order that does not depend on the rate, and the first
    n of them lose it (n rounded to the nearest whole number, halves to the even one):

        random      ascending keys, n = rate p
        popularity  ascending training interactions, equal ones by key, n = rate p
        modality    ascending keys, n = rate I - (I - p), at least 0: items that lack it count

    Shapes:
        present: ``[I]``; degrees: training interactions of each item, ``[I]``; result: ``[n]``.
    """
    keys = numpy_stream(config.seed, f"missing/{name}").random(len(present))
    first = degrees if config.mechanism == "popularity" else np.zeros_like(degrees)
    order = np.lexsort((keys, first))
    order = order[present[order]]
    count = round(config.rate * len(order))
    if config.mechanism == "modality":
        count = max(0, round(config.rate * len(present)) - (len(present) - len(order)))
    return order[:count]


def without(name: str, modality: Modality, degrees: Items, config: MissingConfig) -> Modality:
    """Return the modality after its losses; the rows of items that lose it become zero.

    Raises:
        ConfigError: no item would keep it.
    """
    lost = losing_items(name, modality.present, degrees, config)
    if not len(lost):
        return modality
    values, present = modality.values.copy(), modality.present.copy()
    values[lost], present[lost] = 0.0, False
    if not present.any():
        raise ConfigError(
            f"missing.rate = {config.rate} takes modality {name!r} from all {len(lost)} items that "
            f"have it. Lower it, or name other modalities in missing.modalities."
        )
    return Modality(values, present)
