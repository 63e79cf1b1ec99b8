"""Graph formulas with dense matrices, written from the papers."""

import numpy as np
import numpy.typing as npt

from graphrec.data import Interactions

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


def elu(x: Dense) -> Dense:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def gat_layer(adjacency: Dense, x: Dense, w: Dense, to: Dense, of: Dense) -> Dense:
    """Eq. 1-4 of the GAT paper for one head, node by node; w maps column vectors."""
    rows = []
    for target, own in enumerate(x):
        heard = [node for node in range(len(x)) if adjacency[target, node] or node == target]
        joined = [np.concatenate([w @ own, w @ x[node]]) for node in heard]
        energy = np.array([leaky_relu(np.concatenate([to, of]) @ pair) for pair in joined])
        alpha = np.exp(energy) / np.exp(energy).sum()
        rows.append(sum(share * (w @ x[node]) for share, node in zip(alpha, heard, strict=True)))
    return np.stack(rows)


def gat(adjacency: Dense, x: Dense, state: dict[str, Dense], num_layers: int) -> Dense:
    """The mean of x and all layers; the heads of a layer stand side by side."""
    outputs = [x]
    for layer in range(num_layers):
        w = state[f"transforms.{layer}.weight"]
        ends = (state[f"targets.{layer}"], state[f"sources.{layer}"])
        width = ends[0].shape[1]
        heads = [
            gat_layer(adjacency, x, w[head * width : (head + 1) * width], to, of)
            for head, (to, of) in enumerate(zip(*ends, strict=True))
        ]
        x = elu(np.concatenate(heads, axis=1))
        outputs.append(x)
    return np.mean(outputs, axis=0)
