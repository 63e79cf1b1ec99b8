"""Every fusion for one item, from its formula, given the tokens of the modalities it has.

Matrices of the code stand to the right of rows, so here they are transposed.
"""

from collections.abc import Callable, Iterable
from itertools import combinations

import numpy as np
import numpy.typing as npt

Dense = npt.NDArray[np.float64]
Tokens = dict[int, Dense]
Fused = tuple[Dense, dict[int, float]]
"""The vector of the item and the weight of each modality that it has."""
Literal = Callable[[Tokens, int, dict[str, Dense], str], Fused]


def sigmoid(x: Dense) -> Dense:
    return 1 / (1 + np.exp(-x))


def softmax(energy: dict[int, float]) -> dict[int, float]:
    norm = sum(np.exp(value) for value in energy.values())
    return {key: float(np.exp(value) / norm) for key, value in energy.items()}


def total(vectors: Iterable[Dense]) -> Dense:
    return np.sum(list(vectors), axis=0)


def weighed(alpha: dict[int, float], tokens: Tokens) -> Fused:
    return total(alpha[m] * x for m, x in tokens.items()), alpha


def equal(tokens: Tokens) -> dict[int, float]:
    return {m: 1 / len(tokens) for m in tokens}


def attention(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """alpha_m proportional to exp(q . tanh(W^T x_m + b)) over the present m."""
    transform, bias, query = (state[f"{at}{name}"] for name in ("transform", "bias", "query"))
    energy = {m: float(query[:, 0] @ np.tanh(transform.T @ x + bias)) for m, x in tokens.items()}
    return weighed(softmax(energy), tokens)


def softmax_attention(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """alpha_m proportional to exp of entry m of W^T [x_1; ...; x_M] + b, zeros where missing."""
    dim = len(next(iter(tokens.values())))
    joined = np.concatenate([tokens.get(m, np.zeros(dim)) for m in range(num)])
    entries = state[f"{at}transform"].T @ joined + state[f"{at}bias"]
    return weighed(softmax({m: entries[m] for m in tokens}), tokens)


def weighted(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """alpha_m proportional to exp(a_m) over the present m."""
    return weighed(softmax({m: state[f"{at}logits"][m] for m in tokens}), tokens)


def gate(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """sigmoid(W_m^T x_m + b_m) * x_m, summed over the present m."""
    gates = {
        m: sigmoid(state[f"{at}weights.{m}"].T @ x + state[f"{at}bias"][m])
        for m, x in tokens.items()
    }
    return total(gates[m] * x for m, x in tokens.items()), {m: g.mean() for m, g in gates.items()}


def add(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """The sum of the present tokens."""
    return weighed(dict.fromkeys(tokens, 1.0), tokens)


def mean(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """The mean of the present tokens."""
    return weighed(equal(tokens), tokens)


def concat(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """W_m^T x_m summed, with the learned vector in every slot that is missing."""
    blocks = [
        state[f"{at}weights.{m}"].T @ tokens[m] if m in tokens else state[f"{at}missing"][m]
        for m in range(num)
    ]
    return total(blocks), equal(tokens)


def head_slices(dim: int) -> list[slice]:
    heads = 4 if dim % 4 == 0 else 2 if dim % 2 == 0 else 1
    return [slice(h * dim // heads, (h + 1) * dim // heads) for h in range(heads)]


def energy_of(query: Dense, key: Dense) -> float:
    return float(query @ key) / np.sqrt(len(query))


def self_attention(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """Each token asks all tokens, head by head; the mean of the answers, on top of the tokens."""
    slices = head_slices(len(next(iter(tokens.values()))))
    q, k, v, out = (
        state[f"{at}{name}"].T for name in ("energy.query", "energy.key", "value", "output")
    )
    answers = []
    received = dict.fromkeys(tokens, 0.0)
    for x in tokens.values():
        heads = []
        for part in slices:
            a = softmax({n: energy_of((q @ x)[part], (k @ y)[part]) for n, y in tokens.items()})
            heads.append(total(a[n] * (v @ y)[part] for n, y in tokens.items()))
            for n in tokens:
                received[n] += a[n] / len(tokens) / len(slices)
        answers.append(x + out @ np.concatenate(heads))
    return np.mean(answers, axis=0), received


def cross_attention(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """Each token asks the others; what it does not take from them it keeps of its own."""
    slices = head_slices(len(next(iter(tokens.values()))))
    q, k, v = (state[f"{at}{name}"].T for name in ("energy.query", "energy.key", "value"))
    answers = []
    share = dict.fromkeys(tokens, 0.0)
    for m, x in tokens.items():
        heads = []
        for part in slices:
            others = {n: y for n, y in tokens.items() if n != m}
            raw = {n: np.exp(energy_of((q @ x)[part], (k @ y)[part])) for n, y in others.items()}
            norm = 1 + sum(raw.values())
            taken = [raw[n] / norm * (v @ y)[part] for n, y in others.items()]
            heads.append(total([x[part] / norm, *taken]))
            share[m] += 1 / norm / len(tokens) / len(slices)
            for n in others:
                share[n] += raw[n] / norm / len(tokens) / len(slices)
        answers.append(np.concatenate(heads))
    return np.mean(answers, axis=0), share


def co_attention(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """q_m . tanh(W_m^T x_m + sum over n != m of C_mn W_n^T x_n), softmax over the present m."""
    energy = {}
    for m, x in tokens.items():
        hidden = state[f"{at}transforms.{m}"].T @ x
        for n, y in tokens.items():
            if n != m:
                sides = state[f"{at}sides.{m}"] @ state[f"{at}sides.{n}"].T
                affinity = np.tanh(x @ sides @ y / np.sqrt(len(x)))
                hidden = hidden + affinity * (state[f"{at}transforms.{n}"].T @ y)
        energy[m] = float(state[f"{at}queries"][m] @ np.tanh(hidden))
    return weighed(softmax(energy), tokens)


def shares_of_change(fuse: Callable[[Tokens], Dense], tokens: Tokens) -> Fused:
    """Norms of what is gone when one modality is left out, divided by their sum."""
    whole = fuse(tokens)
    change = {
        m: float(np.linalg.norm(whole - fuse({n: y for n, y in tokens.items() if n != m})))
        for m in tokens
    }
    return whole, {m: value / sum(change.values()) for m, value in change.items()}


def bilinear(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """Every product of one or more different mapped modalities, for each of two mappings."""

    def fuse(those: Tokens) -> Dense:
        result = np.zeros(len(next(iter(tokens.values()))))
        for r in range(2):
            parts = {m: np.split(state[f"{at}weights.{m}"].T, 2)[r] @ x for m, x in those.items()}
            for size in range(1, len(those) + 1):
                for chosen in combinations(parts, size):
                    result = result + np.prod([parts[m] for m in chosen], axis=0)
        return result

    return shares_of_change(fuse, tokens)


def cin(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """v0_m x_m, v1_h W1_hgm x_g x_m and v2_h W2_hmg X1_g x_m, term by term."""
    first = state[f"{at}first"].reshape(4, num, num)
    second = state[f"{at}second"].reshape(4, num, 4)
    v0, v1, v2 = (state[f"{at}outputs.{k}"] for k in range(3))

    def fuse(those: Tokens) -> Dense:
        zero = np.zeros(len(next(iter(tokens.values()))))
        maps = [
            sum((first[h, g, m] * y * x for g, y in those.items() for m, x in those.items()), zero)
            for h in range(4)
        ]
        result = sum((v0[m] * x for m, x in those.items()), zero)
        for h in range(4):
            result = result + v1[h] * maps[h]
            for g in range(4):
                for m, x in those.items():
                    result = result + v2[h] * second[h, m, g] * maps[g] * x
        return result

    return shares_of_change(fuse, tokens)


def experts(tokens: Tokens, num: int, state: dict[str, Dense], at: str) -> Fused:
    """The gate reads the mean; the last two experts answer to the mean, the others to a token."""
    middle = np.mean(list(tokens.values()), axis=0)
    asked = {**tokens, num: middle, num + 1: middle}
    g = softmax({e: state[f"{at}gate"][:, e] @ middle for e in asked})
    answers = {
        e: state[f"{at}output.{e}"].T @ np.maximum(state[f"{at}hidden.{e}"].T @ x, 0)
        for e, x in asked.items()
    }
    shared = (g[num] + g[num + 1]) / len(tokens)
    return total(g[e] * answers[e] for e in asked), {m: g[m] + shared for m in tokens}


LITERAL: dict[str, Literal] = {
    "attention": attention,
    "bilinear": bilinear,
    "cin": cin,
    "co_attention": co_attention,
    "concat": concat,
    "cross_attention": cross_attention,
    "experts": experts,
    "gate": gate,
    "mean": mean,
    "self_attention": self_attention,
    "softmax_attention": softmax_attention,
    "sum": add,
    "weighted": weighted,
}
