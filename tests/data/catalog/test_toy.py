import numpy as np
import pytest

from graphrec.core.errors import ConfigError
from graphrec.data import checkerboard, planted, split
from graphrec.data.config import SplitConfig


@pytest.mark.parametrize(("num_users", "num_items"), [(6, 6), (7, 9), (12, 12), (40, 8), (6, 30)])
def test_checkerboard_leaves_one_liked_item_per_user(num_users: int, num_items: int) -> None:
    parts = split(checkerboard(num_users, num_items), SplitConfig(kind="given"))
    test = parts.test.open("shape of the toy")
    assert test.users.tolist() == parts.valid.users.tolist() == list(range(num_users))
    for part in (parts.train, parts.valid, test):
        assert (part.users % 2 == part.items % 2).all()
    liked = np.add.outer(np.arange(num_users), np.arange(num_items)) % 2 == 0
    seen = (parts.train.matrix + parts.valid.matrix).toarray() > 0
    remaining = liked & ~seen
    assert (remaining.sum(axis=1) == 1).all()
    assert remaining.argmax(axis=1).tolist() == test.items.tolist()
    assert (parts.train.item_degrees > 0).all()


def test_checkerboard_refuses_boards_too_small() -> None:
    with pytest.raises(ConfigError, match=r"at least 6 users and items, not 5 and 6"):
        checkerboard(5, 6)


def test_planted_taste_shows_in_interactions_and_features() -> None:
    dataset, features = planted(seed=3)
    data = dataset.interactions
    assert (data.num_users, data.num_items, len(data)) == (60, 40, 600)
    assert np.unique(data.users * 40 + data.items).size == 600
    assert (data.users % 4 == data.items % 4).mean() > 0.5
    for name, size in (("image", 12), ("text", 8)):
        modality = features[name]
        assert modality.values.shape == (40, size)
        assert 0 < (~modality.present).sum() < 12
        assert not modality.values[~modality.present].any()
        rows = np.flatnonzero(modality.present)
        distance = ((modality.values[rows, None] - modality.values[rows]) ** 2).sum(-1)
        np.fill_diagonal(distance, np.inf)
        assert (rows[distance.argmin(axis=1)] % 4 == rows % 4).mean() > 0.9
    assert (features["image"].present | features["text"].present).all()


def test_planted_is_a_function_of_its_seed() -> None:
    (first, features), (again, same) = planted(seed=1), planted(seed=1)
    assert first.fingerprint == again.fingerprint
    assert features.fingerprint == same.fingerprint
    assert first.fingerprint != planted(seed=2)[0].fingerprint
    with pytest.raises(ConfigError, match="per_user = 41"):
        planted(per_user=41)


def test_planted_splits_by_time() -> None:
    dataset, _ = planted()
    parts = split(dataset, SplitConfig(kind="temporal_user"))
    assert (len(parts.train), len(parts.valid), len(parts.test)) == (480, 60, 60)
