import numpy as np
import pytest

from graphrec.core.errors import DataError
from graphrec.data import Features, Modality


def modality(rows: list[list[float]], present: list[bool]) -> Modality:
    return Modality(np.array(rows, dtype=np.float32), np.array(present))


def test_features_are_a_mapping_in_the_given_order():
    text = modality([[1.0], [2.0]], [True, True])
    image = modality([[3.0, 4.0], [0.0, 0.0]], [True, False])
    features = Features({"text": text, "image": image}, num_items=2)
    assert list(features) == ["text", "image"]
    assert len(features) == 2
    assert features["image"] is image
    assert features.num_items == 2


def test_a_matrix_with_too_few_rows_is_refused_by_name_and_numbers():
    with pytest.raises(DataError, match=r"'text' have 1 rows of values and 1 of mask.* 2 items"):
        Features({"text": modality([[1.0]], [True])}, num_items=2)


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(DataError, match=r"2 rows of values and 1 of mask"):
        Features({"text": modality([[1.0], [2.0]], [True])}, num_items=2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_their_row(value):
    with pytest.raises(DataError, match=r"'image': row 1 .*1 such rows"):
        Features({"image": modality([[0.0], [value]], [True, True])}, num_items=2)


def test_the_fingerprint_covers_values_mask_and_names():
    def fingerprint(name="text", value=1.0, present=True):
        return Features({name: modality([[value]], [present])}, num_items=1).fingerprint

    base = fingerprint()
    assert base == fingerprint()
    others = {fingerprint(name="image"), fingerprint(value=2.0), fingerprint(present=False)}
    assert base not in others
    assert len(others) == 3


def test_the_fingerprint_ignores_the_order_of_modalities():
    one, two = modality([[1.0]], [True]), modality([[2.0]], [True])
    forward = Features({"a": one, "b": two}, num_items=1)
    backward = Features({"b": two, "a": one}, num_items=1)
    assert forward.fingerprint == backward.fingerprint
