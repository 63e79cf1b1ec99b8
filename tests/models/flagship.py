"""The formulas of the flagship, item by item, and a small world for them."""

from dataclasses import replace
from functools import cache

import numpy as np
import torch

from graphrec.core.config import Json
from graphrec.data import Features
from graphrec.data.neighbours import GivenNeighbours
from graphrec.graphs import nearest_items
from graphrec.models import Model
from graphrec.models.modality_attention_gcn.config import ModalityAttentionGCNConfig
from graphrec.models.modality_attention_gcn.model import ModalityAttentionGCN
from tests.graphs.dense import Dense, gat, ngcf
from tests.models.cases import Case, World, random_features, random_interactions
from tests.nn.fusion.literal import LITERAL

NAME = "modality_attention_gcn"
Settings = dict[str, Json]


@cache
def small_world() -> World:
    """The last item is cold; item 1 has no modality."""
    train = random_interactions(9, 12, share=0.3, seed=4)
    return World(train, train, train, random_features(12, seed=4))


def built(world: World, features: Features | None = None, **settings: Json) -> ModalityAttentionGCN:
    """Small; ``features``, which may be empty, replace those of the world."""
    case = Case(NAME)
    config = ModalityAttentionGCNConfig.model_validate(dict(case.config(settings)))
    content = world.features if features is None else features
    return ModalityAttentionGCN(config, replace(case.inputs(world), features=content))


def shaken(model: Model) -> dict[str, Dense]:
    """Give every parameter, biases included, a value of its own; return them in float64."""
    rng = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=rng)
    return {name: value.double().numpy() for name, value in model.state_dict().items()}


def literal_items(world: World, state: dict[str, Dense], fusion: str, use_id: bool) -> Dense:
    """h_i item by item: the tokens of the modalities it has, fused, plus its own vector."""
    names = sorted(world.features)
    rows = []
    for item in range(world.train.num_items):
        tokens = {
            m: state[f"content.projections.{m}.weight"] @ world.features[name].values[item]
            + state[f"content.projections.{m}.bias"]
            for m, name in enumerate(names)
            if world.features[name].present[item]
        }
        trained = use_id and item in world.train.items
        row = np.zeros(state["users"].shape[1])
        if tokens:
            row = row + LITERAL[fusion](tokens, len(names), state, "fusion.")[0]
        if trained:
            row = row + state["items"][item]
        if not tokens and not trained:
            row = row + state["nothing"][0]
        rows.append(row)
    return np.stack(rows)


def literal_passed(a_hat: Dense, nodes: Dense, state: dict[str, Dense], backbone: str) -> Dense:
    """Two layers of messages, or none."""
    layers = {name.removeprefix("layers."): value for name, value in state.items()}
    if backbone == "none":
        return nodes
    if backbone == "ngcf":
        return ngcf(a_hat, nodes, layers, num_layers=2)
    if backbone == "gat":
        return gat(a_hat, nodes, layers, num_layers=2)
    return (nodes + a_hat @ nodes + a_hat @ a_hat @ nodes) / 3


def literal_similar(features: Features, shares: dict[str, float], k: int) -> Dense:
    """The mixed graph of similar items, entry by entry, from the definition."""
    total = features.num_items
    mixed, weight = np.zeros((total, total)), np.zeros(total)
    for name, modality in features.items():
        s = np.zeros((total, total))
        have = np.flatnonzero(modality.present)
        for i in have:
            x = modality.values[i] / np.linalg.norm(modality.values[i])
            others = [j for j in have if j != i]
            cosines = [x @ modality.values[j] / np.linalg.norm(modality.values[j]) for j in others]
            for best in np.argsort(cosines)[::-1][:k]:
                s[i, others[best]] = 1
            s[i, i] = 1
        degrees = np.maximum(s.sum(axis=1), 1)
        has = modality.present * shares[name]
        mixed += has[:, None] * (s / np.sqrt(np.outer(degrees, degrees)))
        weight += has
    return mixed / np.where(weight > 0, weight, 1)[:, None]


def given_neighbours(world: World) -> GivenNeighbours:
    """The lists of the images, as if others had computed them."""
    image = world.features["image"]
    found = nearest_items(image.values, image.present, 4)
    return GivenNeighbours(image.values[:, :0], image.present, found)
