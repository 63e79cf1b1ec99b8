"""Graph formulas with dense matrices, written from the papers."""

import numpy as np
import numpy.typing as npt

from graphrec.datasets.interactions import Interactions

Dense = npt.NDArray[np.float64]


def normalised_adjacency(train: Interactions) -> Dense:
    """A_hat[i, j] = 1 / sqrt(d_i d_j) for every edge, entry by entry; ``[U + I, U + I]``."""
    total = train.num_users + train.num_items
    edges = {
        (int(u), train.num_users + int(i)) for u, i in zip(train.users, train.items, strict=True)
    }
    degree = [sum(node in edge for edge in edges) for node in range(total)]
    result = np.zeros((total, total))
    for user, item in edges:
        result[user, item] = result[item, user] = 1 / np.sqrt(degree[user] * degree[item])
    return result


def leaky_relu(x: Dense) -> Dense:
    return np.where(x > 0, x, 0.2 * x)


def ngcf_layer(
    a_hat: Dense, x: Dense, weights: tuple[Dense, Dense], biases: tuple[Dense, Dense]
) -> Dense:
    """Eq. 3, 4 and 7 of the NGCF paper, message by message; weights map column vectors."""
    w1, w2 = weights
    rows = []
    for target, own in enumerate(x):
        total = w1 @ own
        for source, other in enumerate(x):
            if a_hat[target, source]:
                total = total + a_hat[target, source] * (w1 @ other + w2 @ (other * own))
        rows.append(total + biases[0] + biases[1])
    return leaky_relu(np.stack(rows))


def ngcf(a_hat: Dense, x: Dense, state: dict[str, Dense], num_layers: int) -> Dense:
    """All layers beside each other, each but the first scaled to length one."""
    outputs = [x]
    for layer in range(num_layers):
        weights = (state[f"sums.{layer}.weight"], state[f"products.{layer}.weight"])
        biases = (state[f"sums.{layer}.bias"], state[f"products.{layer}.bias"])
        x = ngcf_layer(a_hat, x, weights, biases)
        outputs.append(x / np.linalg.norm(x, axis=1, keepdims=True))
    return np.concatenate(outputs, axis=1)
