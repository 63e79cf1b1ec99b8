"""Attention of a user finds the modality that shows the user's taste."""

from pathlib import Path

import numpy as np
import pytest
import torch

from graphrec.core.rng import torch_stream
from graphrec.data import Dataset, Features, Modality, load, planted_pictures
from graphrec.data.catalog.planted_media import FACTORS, MEDIA
from graphrec.models import Inputs
from graphrec.models.modality_attention_gcn.config import ModalityAttentionGCNConfig
from graphrec.models.modality_attention_gcn.model import ModalityAttentionGCN
from graphrec.training import fit
from graphrec.training.config import TrainingConfig


def planted_world(folder: Path) -> tuple[Dataset, Features, np.ndarray]:
    """300 users, 200 items: factors shown by each medium as noisy indicators; the users' media."""
    truth = planted_pictures(0, 300, 200, folder, per_user=20)
    dataset, rng = load(truth.data), np.random.default_rng(0)
    items, users = (ids.cast(int).to_numpy() for ids in (dataset.item_ids, dataset.user_ids))
    modalities = {}
    for kind in MEDIA:
        shown = [np.eye(4)[truth.factors[name]] for name, (by, _) in FACTORS.items() if by == kind]
        values = np.concatenate(shown, axis=1)[items]
        values = values + 0.1 * rng.normal(size=values.shape)
        present = truth.present[kind][items]
        modalities[kind] = Modality((values * present[:, None]).astype(np.float32), present)
    return dataset, Features(modalities, len(items)), truth.user_modality[users]


@pytest.mark.parametrize("use_id", [True, False])
def test_attention_finds_the_planted_modality_of_a_user(tmp_path: Path, use_id: bool) -> None:
    """Chance is a third. Over five seeds, 97.0 to 99.7 % of the users were found.

    By inner products and bpr: cosines bound what a modality can say, see docs/fusion.md.
    """
    dataset, features, planted = planted_world(tmp_path)
    train = dataset.interactions
    config = ModalityAttentionGCNConfig(
        name="modality_attention_gcn",
        dim=16,
        where="late",
        late="user",
        use_id=use_id,
        loss="bpr",
        normalize=False,
        temperature=1.0,
        init_std=0.1,
    )
    model = ModalityAttentionGCN(config, Inputs(train, torch_stream(0, "init"), features))
    training = TrainingConfig(lr=5e-3, batch_size=2048, max_epochs=40, num_negatives=8)
    fit(model, train, training, seed=0, device=torch.device("cpu"))
    assert model.late is not None
    with torch.no_grad():
        weights = model.late.user_weights(model.users)[:, : len(model.names)].numpy()
    found = np.array(model.names)[weights.argmax(axis=1)]
    assert (found == planted).mean() > 0.9
