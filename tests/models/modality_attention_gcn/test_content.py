"""Modalities inside a model: what is told of rows that have much in common."""

import logging

import numpy as np
import pytest
import torch

from graphrec.data import Modality
from graphrec.models.modality_attention_gcn.config import ModalityAttentionGCNConfig
from graphrec.models.modality_attention_gcn.content import (
    ItemContent,
    common_part,
    warn_if_mean_dominates,
)

SOME, ALL = [True, True, False, True], [True] * 4


def rows(shift: float, present: list[bool]) -> Modality:
    """Normal rows around ``shift``, zeros where missing."""
    mask = np.array(present)
    values = np.random.default_rng(0).normal(shift, 1, (len(mask), 4)).astype(np.float32)
    return Modality(values * mask[:, None], mask)


def told(modality: Modality, free_length: float, caplog: pytest.LogCaptureFixture) -> str:
    settings = ModalityAttentionGCNConfig(name="modality_attention_gcn")
    content = ItemContent({"image": modality}, 4, 8, settings, torch.Generator().manual_seed(0))
    with caplog.at_level(logging.WARNING):
        warn_if_mean_dominates({"image": modality}, content, torch.tensor([[free_length, 0.0]]))
    return caplog.text


def test_the_common_part_is_the_mean_of_the_rows_that_are_there() -> None:
    modality = rows(2.0, SOME)
    own = modality.values[modality.present].astype(np.float64)
    mean, share = common_part(modality)
    np.testing.assert_allclose(mean, [sum(column) / 3 for column in own.T], rtol=1e-6)
    square = sum(value**2 for row in own for value in row) / 3
    assert share == pytest.approx(sum(value**2 for value in mean) / square)


@pytest.mark.parametrize(
    ("row", "present", "share"),
    [([1.0, 2.0], True, 1.0), ([0.0, 0.0], True, 0.0), ([0.0] * 2, False, 0.0)],
)
def test_rows_that_are_all_alike_have_all_in_common_but_zeros_nothing(
    row: list[float], present: bool, share: float
) -> None:
    modality = Modality(np.array([row] * 3, dtype=np.float32), np.full(3, present))
    assert common_part(modality)[1] == pytest.approx(share)


def test_a_long_mean_is_told_where_items_lack_it(caplog: pytest.LogCaptureFixture) -> None:
    text = told(rows(5.0, SOME), 0.1, caplog)
    assert "Features image: the mean of the rows is 9" in text
    assert "The items without a row (1)" in text
    assert "features.image.normalize to 'l2' or 'standard'" in text


@pytest.mark.parametrize(
    ("modality", "free_length"),
    [(rows(5.0, ALL), 0.1), (rows(0.0, SOME), 0.1), (rows(5.0, SOME), 10.0)],
    ids=["nobody lacks it", "centred", "not longer than free embeddings"],
)
def test_otherwise_nothing_is_told(
    modality: Modality, free_length: float, caplog: pytest.LogCaptureFixture
) -> None:
    assert not told(modality, free_length, caplog)
