"""Small worlds and every model built on them, for the tests of the models."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graphrec.core.backends import import_dgl
from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.core.rng import torch_stream
from graphrec.data import Features, Interactions, Modality, checkerboard, planted, split
from graphrec.data.config import SplitConfig
from graphrec.features.tabular.statistics import interaction_statistics
from graphrec.graphs import DirectedGraph, Graph
from graphrec.models import MODELS, Batch, Inputs, Model, VectorModel
from graphrec.models.config import ModelConfig
from graphrec.nn.fusion import FUSIONS
from graphrec.training import FitResult, fit
from graphrec.training.config import TrainingConfig
from graphrec.training.sampling import NegativeSampler

CPU = torch.device("cpu")
COLD_WITH_CONTENT, COLD_WITH_NOTHING, WARM_WITH_NOTHING = 5, 3, 8
"""Items of ``planted_world`` without training users, without any modality, or both."""


def dgl_reason() -> str:
    """Why DGL cannot be used; empty when it can."""
    try:
        import_dgl()
    except ConfigError as error:
        return str(error)
    return ""


DGL = pytest.param(
    "dgl", marks=pytest.mark.skipif(bool(dgl_reason()), reason=dgl_reason() or "DGL is there")
)


@dataclass(frozen=True)
class World:
    """The parts of one small data set."""

    train: Interactions
    valid: Interactions
    test: Interactions
    features: Features

    @property
    def users(self) -> Tensor:
        return torch.arange(self.train.num_users)


def interactions_of(pairs: list[tuple[int, int]], num_users: int, num_items: int) -> Interactions:
    table = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    return Interactions(table[:, 0], table[:, 1], num_users, num_items)


def random_interactions(num_users: int, num_items: int, share: float, seed: int) -> Interactions:
    """Random pairs; the last user and the last item have none, and no user has everything."""
    taken = np.random.default_rng(seed).random((num_users, num_items)) < share
    taken[-1], taken[:, -1] = False, False
    users, items = np.nonzero(taken)
    return Interactions(users.astype(np.int32), items.astype(np.int32), num_users, num_items)


def random_features(num_items: int, seed: int) -> Features:
    """Three modalities with random gaps; item 0 has all of them, item 1 none."""
    rng = np.random.default_rng(seed)
    modalities = {}
    for name, size in (("audio", 3), ("image", 5), ("text", 4)):
        present = rng.random(num_items) < 0.6
        present[0], present[1] = True, False
        values = rng.normal(size=(num_items, size)) * present[:, None]
        modalities[name] = Modality(values.astype(np.float32), present)
    return Features(modalities, num_items)


@cache
def planted_world() -> World:
    """``planted`` split by time, with cold items and items that have no modality."""
    dataset, features = planted()
    parts = split(dataset, SplitConfig(kind="temporal_user"))
    train = parts.train.select(~np.isin(parts.train.items, [COLD_WITH_CONTENT, COLD_WITH_NOTHING]))
    modalities = {}
    for name, modality in features.items():
        values, present = modality.values.copy(), modality.present.copy()
        for item in (COLD_WITH_NOTHING, WARM_WITH_NOTHING):
            values[item], present[item] = 0.0, False
        modalities[name] = Modality(values, present)
    test = parts.test.open("test world")
    return World(train, parts.valid, test, Features(modalities, train.num_items))


@cache
def checkerboard_world() -> World:
    """``checkerboard`` with content that shows the kind of an item, in two modalities with gaps."""
    parts = split(checkerboard(20, 20), SplitConfig(kind="given"))
    items = np.arange(parts.train.num_items)
    rng = np.random.default_rng(1)
    modalities = {}
    for name, present in (("image", items % 5 != 1), ("text", items % 3 != 2)):
        centres = rng.normal(size=(2, 4))
        values = (centres[items % 2] + 0.1 * rng.normal(size=(len(items), 4))) * present[:, None]
        modalities[name] = Modality(values.astype(np.float32), present)
    features = Features(modalities, len(items))
    return World(parts.train, parts.valid, parts.test.open("test world"), features)


@cache
def path_world(length: int = 8) -> World:
    """One long path: user 0 - item 0 - user 1 - item 1 - ... - item ``length - 1``."""
    own = [(node, node) for node in range(length)]
    train = interactions_of(own + [(node + 1, node) for node in range(length - 1)], length, length)
    return World(train, train, train, random_features(length, seed=2))


PLAIN: dict[str, dict[str, Json]] = {
    "modality_attention_gcn": {
        "loss": "bpr",
        "temperature": 1.0,
        "normalize": False,
        "init_std": 0.1,
        "reg": 1e-4,
        "closed_form": "none",
    }
}
"""Settings at the values that other models have by default, so that one case differs from another
in its own settings only."""


@dataclass(frozen=True)
class Case:
    """A model and settings that make it small."""

    name: str
    settings: tuple[tuple[str, Json], ...] = ()
    user_features: bool = False
    """Hand the model statistics of the users."""

    def __str__(self) -> str:
        users = ["user_features"] if self.user_features else []
        return "-".join([self.name, *(str(value) for _, value in self.settings), *users])

    @property
    def model_class(self) -> type[Model]:
        return MODELS[self.name]

    def config(self, more: Mapping[str, Json] | None = None) -> ModelConfig:
        """Settings that make the model small; ``more`` adds to them or replaces some."""
        config_class = self.model_class.Config
        small: dict[str, Json] = {"dim": 8} if "dim" in config_class.model_fields else {}
        return config_class.model_validate(
            {
                "name": self.name,
                **small,
                **PLAIN.get(self.name, {}),
                **dict(self.settings),
                **(more or {}),
            }
        )

    def inputs(
        self, world: World, seed: int = 0, features: Features | None = None, backend: str = "auto"
    ) -> Inputs:
        """What a run hands to the model; ``features`` replaces the world's."""
        content = (features or world.features) if self.model_class.uses_modalities else None
        users = None
        if self.user_features:
            statistics = interaction_statistics(world.train, "users")
            users = Features({"statistics": statistics}, world.train.num_users)
        return Inputs(world.train, torch_stream(seed, "init"), content, backend, users)

    def build(
        self,
        world: World,
        seed: int = 0,
        more: Mapping[str, Json] | None = None,
        features: Features | None = None,
    ) -> Model:
        """Construct without fitting."""
        return self.model_class(self.config(more), self.inputs(world, seed, features))

    def ready(
        self,
        world: World,
        seed: int = 0,
        more: Mapping[str, Json] | None = None,
        features: Features | None = None,
    ) -> Model:
        """Construct, solve if closed form, and switch to evaluation."""
        model = self.build(world, seed, more, features)
        model.fit_exact()
        return model.eval()


EVERY_MODEL = [Case(name) for name in MODELS]
FLAGSHIP = [
    Case("modality_attention_gcn", (("fusion", fusion), ("backbone", backbone)))
    for fusion in FUSIONS
    for backbone in ("lightgcn", "ngcf")
    if backbone == "lightgcn" or fusion in ("attention", "concat", "gate", "sum")
]
"""Every fusion on the faster backbone; fusion and backbone never meet, so a few are on both."""
BACKBONES: list[tuple[tuple[str, Json], ...]] = [
    (("backbone", "none"),),
    (("backbone", "gat"), ("heads", 2)),
    (("backbone", "none"), ("item_layers", 1), ("knn_k", 3)),
    (("backbone", "gat"), ("item_layers", 1), ("knn_k", 3)),
]
AUGMENTED: list[tuple[tuple[str, Json], ...]] = [
    (("edge_drop", 0.3), ("feature_drop", 0.2), ("modality_dropout", 0.4)),
    (("backbone", "gat"), ("edge_drop", 0.2), ("edge_drop_kind", "degree")),
    (("backbone", "ngcf"), ("edge_drop", 0.2), ("dropout", 0.1)),
]
TERMS: list[tuple[tuple[str, Json], ...]] = [
    (("align", "infonce"),),
    (("align", "mmd"), ("projection_l1", 0.001), ("backbone", "ngcf")),
    (("align", "adversarial"), ("modality_loss", 0.3), ("backbone", "gat")),
    (("align", "infonce"), ("modality_loss", 0.3), ("balance", "uncertainty"), ("use_id", False)),
    (("modality_loss", 0.3), ("balance", "gradnorm"), ("feature_noise", 0.1)),
    (("feature_noise", 0.2), ("feature_mix", 0.4)),
]
PLACES: list[tuple[tuple[str, Json], ...]] = [
    (("where", "middle"),),
    (("where", "middle"), ("backbone", "ngcf"), ("fusion", "self_attention")),
    (("where", "late"), ("backbone", "gat"), ("late", "learned")),
    (("where", "late"), ("late", "user"), ("item_layers", 1), ("knn_k", 3)),
    (("where", "late"), ("late", "vote")),
    (("where", "sample"), ("backbone", "ngcf")),
    (("where", "model"), ("backbone", "none"), ("modality_dropout", 0.4)),
    (("where", "model"), ("use_id", False), ("align", "infonce")),
    (("where", "graph"), ("item_layers", 1), ("knn_k", 3)),
    (("where", "graph"), ("item_layers", 1), ("align", "infonce"), ("modality_loss", 0.3)),
]
EVERY_CASE = [
    *EVERY_MODEL,
    *FLAGSHIP,
    *(
        Case("modality_attention_gcn", settings)
        for settings in [*BACKBONES, *AUGMENTED, *TERMS, *PLACES]
    ),
    Case("modality_attention_gcn", (("use_id", False),)),
    Case("modality_attention_gcn", user_features=True),
    Case("modality_attention_gcn", (("item_layers", 1), ("knn_k", 3))),
    Case("joint_embedding", (("rank_weight", 0.5), ("loss", "softmax"), ("temperature", 0.1))),
    Case("joint_embedding", (("align", "mmd"), ("rank_weight", 2.0))),
    Case("mf", (("loss", "softmax"), ("normalize", True), ("temperature", 0.2))),
    Case("lightgcn", (("loss", "bce"),)),
]
TRAINED = [case for case in EVERY_CASE if not case.model_class.closed_form]


def has_graph(model: Model) -> bool:
    return any(isinstance(module, Graph) for module in model.modules())


def similar_nodes(model: Model) -> Tensor:
    """Which node (row) receives from which (column) by a graph of similar items, ``[N, N]``."""
    total = model.num_users + model.num_items
    heard = torch.zeros(total, total, dtype=torch.bool)
    for graph in (each for each in model.modules() if isinstance(each, DirectedGraph)):
        weights = graph.product(torch.eye(model.num_items))
        heard[model.num_users :, model.num_users :] |= weights != 0
    return heard


PROFILES: tuple[str, ...] = ()
"""Models that make a user's vector of the free vectors of its items, without a ``Graph``."""


def spread_by_design(name: str, world: World) -> Tensor:
    """Which node (row) a free row (column) reaches besides its own by the model's definition.

    A model of ``PROFILES`` moves the users of a moved item. Another design says so here.
    """
    total, users = world.train.num_users + world.train.num_items, world.train.num_users
    reached = torch.zeros(total, total, dtype=torch.bool)
    if name in PROFILES:
        reached[:users, users:] = torch.from_numpy(world.train.matrix.toarray() > 0)
    return reached


def has_layers(case: Case) -> bool:
    fields = case.model_class.Config.model_fields
    return "num_layers" in fields and ("backbone", "none") not in case.settings


def content_reaches_users(case: Case) -> bool:
    """Whether a user's vector depends on the content of its items: by messages, or as a profile."""
    if ("where", "graph") in case.settings:  # it tells similar items alone
        return False
    return has_layers(case) or case.name == "joint_embedding"


def free_rows(model: Model) -> list[tuple[nn.Parameter, int]]:
    """The tables with one row per user, item or node, each with the node of its first row."""
    first = {"users": 0, "nodes": 0, "items": model.num_users}
    return [(table, first[name]) for name, table in model.named_parameters() if name in first]


def batch_of(world: World, num: int = 3, seed: int = 0) -> Batch:
    """All training pairs with exact negatives."""
    users = torch.from_numpy(world.train.users).long()
    pos = torch.from_numpy(world.train.items).long()
    sampler = NegativeSampler(world.train, "uniform", CPU)
    return Batch(users, pos, sampler.sample(users, num, torch_stream(seed, "batch")))


def train_briefly(
    model: Model, world: World, epochs: int, batch_size: int = 32, lr: float = 0.01
) -> FitResult:
    config = TrainingConfig(lr=lr, batch_size=batch_size, max_epochs=epochs, num_negatives=2)
    return fit(model, world.train, config, seed=0, device=CPU)


def scores_of(model: Model, world: World) -> Tensor:
    """All users, all items."""
    with torch.no_grad():
        return model.score(world.users)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Equal up to ``tolerance`` of the largest expected magnitude."""
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * scale, check_dtype=False)


def embed(model: Model) -> tuple[Tensor, Tensor]:
    """Users and items, without a gradient."""
    assert isinstance(model, VectorModel)
    with torch.no_grad():
        return model.embed()
