"""Make small data sets with a known answer, for tests and first steps."""

import numpy as np
import polars as pl

from graphrec.core.errors import ConfigError
from graphrec.core.rng import numpy_stream
from graphrec.data.dataset import Dataset
from graphrec.data.features import Features, Modality
from graphrec.data.interactions import Interactions

MIN_SIDE = 6
DAY = 86_400


def checkerboard(num_users: int = 12, num_items: int = 12) -> Dataset:
    """Return data where users like the items of their own parity; two items of each are held out.

    With train and valid items masked, the one test item is the only liked one left: a correct
    model ranks it first for every user.

    Raises:
        ConfigError: there are fewer than six users or items, so that train might lack an item.
    """
    if min(num_users, num_items) < MIN_SIDE:
        raise ConfigError(
            f"checkerboard needs at least {MIN_SIDE} users and items, "
            f"not {num_users} and {num_items}."
        )
    users, items = np.nonzero(
        np.arange(num_users)[:, None] % 2 == np.arange(num_items)[None, :] % 2
    )
    liked = np.where(users % 2 == 0, (num_items + 1) // 2, num_items // 2)
    # 0 for the test item, 1 for the valid item; both move along the diagonal with the user.
    offset = (items // 2 - users // 2) % liked
    parts = np.select([offset == 0, offset == 1], [2, 1], 0).astype(np.int8)
    interactions = _interactions(users, items, num_users, num_items)
    return Dataset("checkerboard", interactions, *_ids(num_users, num_items), parts=parts)


def planted(
    seed: int = 0,
    num_users: int = 60,
    num_items: int = 40,
    num_classes: int = 4,
    per_user: int = 10,
) -> tuple[Dataset, Features]:
    """Return users with a taste for item classes that two modalities show; with times.

    Item i has class ``i mod num_classes``, user u likes class ``u mod num_classes`` and takes an
    item of this class nine times as often as another. ``image`` [I, 12] and ``text`` [I, 8] are
    class centres plus noise; every fifth item lacks the image, every seventh the text (not both).

    Raises:
        ConfigError: ``per_user`` exceeds the number of items.
    """
    if per_user > num_items:
        raise ConfigError(f"planted: per_user = {per_user} exceeds num_items = {num_items}.")
    rng = numpy_stream(seed, "planted")
    item_class = np.arange(num_items) % num_classes
    user_class = np.arange(num_users) % num_classes
    liked = user_class[:, None] == item_class[None, :]
    # The largest log p + Gumbel noise: a draw without replacement in proportion to p.
    keys = np.log(np.where(liked, 9.0, 1.0)) + rng.gumbel(size=liked.shape)
    chosen = np.sort(np.argsort(-keys, axis=1)[:, :per_user], axis=1)
    users = np.repeat(np.arange(num_users), per_user)
    times = rng.integers(0, 365, size=len(users)) * DAY
    interactions = _interactions(users, chosen.ravel(), num_users, num_items, times)
    kinds = pl.Series(item_class).cast(pl.String)
    table = pl.DataFrame(
        {
            "title": ("class " + kinds).to_list(),
            "kind": kinds,
            "price": rng.uniform(1, 9, num_items),
        }
    )
    dataset = Dataset("planted", interactions, *_ids(num_users, num_items), item_table=table)

    items = np.arange(num_items)
    present = {"image": items % 5 != 1, "text": (items % 7 != 2) | (items % 5 == 1)}
    modalities = {}
    for name, size in (("image", 12), ("text", 8)):
        centres = rng.normal(size=(num_classes, size))
        values = centres[item_class] + 0.3 * rng.normal(size=(num_items, size))
        values[~present[name]] = 0.0
        modalities[name] = Modality(values.astype(np.float32), present[name])
    return dataset, Features(modalities, num_items)


def _ids(num_users: int, num_items: int) -> tuple[pl.Series, pl.Series]:
    users, items = pl.Series(range(num_users)), pl.Series(range(num_items))
    return users.cast(pl.String), items.cast(pl.String)


def _interactions(
    users: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    items: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    num_users: int,
    num_items: int,
    times: np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None = None,
) -> Interactions:
    return Interactions(users.astype(np.int32), items.astype(np.int32), num_users, num_items, times)
