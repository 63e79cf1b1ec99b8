import numpy as np
import torch

from graphrec.data import Modality
from graphrec.nn.projection import ProjectedSum
from tests.models.cases import random_features

FEATURES = random_features(7, seed=3)


def built(features: dict[str, Modality] | None = None) -> ProjectedSum:
    module = ProjectedSum(features or FEATURES, 4, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for projection in module.projections:
            projection.bias += 0.5
    return module


def test_it_is_the_sum_over_the_modalities_that_a_node_has():
    module = built()
    expected = np.zeros((7, 4))
    for node in range(7):
        for projection, name in zip(module.projections, sorted(FEATURES), strict=True):
            weight, bias = projection.weight.detach().numpy(), projection.bias.detach().numpy()
            if FEATURES[name].present[node]:
                expected[node] += weight @ FEATURES[name].values[node] + bias
    np.testing.assert_allclose(module().detach(), expected, atol=1e-6)
    assert not module()[1].any()  # node 1 has no modality


def test_rows_of_missing_nodes_change_nothing():
    noisy = {}
    for name, modality in FEATURES.items():
        values = modality.values.copy()
        values[~modality.present] = 1e4
        noisy[name] = Modality(values, modality.present)
    assert torch.equal(built(noisy)(), built()())


def test_weights_follow_the_names_not_the_order_of_the_tables():
    turned = {name: FEATURES[name] for name in reversed(list(FEATURES))}
    assert torch.equal(built(turned)(), built()())
