"""Every fusion for one item, from its formula, given the tokens of the modalities it has."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Dense = npt.NDArray[np.float64]
Literal = Callable[[dict[int, Dense], int, dict[str, Dense], str], Dense]


def sigmoid(x: Dense) -> Dense:
    return 1 / (1 + np.exp(-x))


def attention(tokens: dict[int, Dense], total: int, state: dict[str, Dense], at: str) -> Dense:
    """alpha_m proportional to exp(q . tanh(W^T x_m + b)) over the present m."""
    transform, bias, query = (state[f"{at}{name}"] for name in ("transform", "bias", "query"))
    energy = {m: float(query[:, 0] @ np.tanh(transform.T @ x + bias)) for m, x in tokens.items()}
    norm = sum(np.exp(value) for value in energy.values())
    return sum(np.exp(energy[m]) / norm * x for m, x in tokens.items())


def gate(tokens: dict[int, Dense], total: int, state: dict[str, Dense], at: str) -> Dense:
    """sigmoid(W_m^T x_m + b_m) * x_m, summed over the present m."""
    return sum(
        sigmoid(state[f"{at}weights.{m}"].T @ x + state[f"{at}bias"][m]) * x
        for m, x in tokens.items()
    )


def add(tokens: dict[int, Dense], total: int, state: dict[str, Dense], at: str) -> Dense:
    """The sum of the present tokens."""
    return sum(tokens.values())


def concat(tokens: dict[int, Dense], total: int, state: dict[str, Dense], at: str) -> Dense:
    """W_m^T x_m summed, with the learned vector in every slot that is missing."""
    result = np.zeros(state[f"{at}missing"].shape[1])
    for m in range(total):
        block = state[f"{at}weights.{m}"].T @ tokens[m] if m in tokens else state[f"{at}missing"][m]
        result = result + block
    return result


LITERAL: dict[str, Literal] = {"attention": attention, "gate": gate, "sum": add, "concat": concat}
