"""The flagship: message passing over item nodes that carry fused modalities."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Literal, Self

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from graphrec import losses
from graphrec.alignment import AlignmentConfig, AlignmentTerms, NoisyRows, Step, mixed, shares_of
from graphrec.config import SearchRange
from graphrec.datasets.interactions import Interactions
from graphrec.errors import ConfigError
from graphrec.features import Modality
from graphrec.features.rows import TrainableRows
from graphrec.fusion import FUSIONS, ProjectedSum
from graphrec.graphs import (
    EdgeDrop,
    EdgeDropKind,
    GATLayers,
    NGCFLayers,
    Projection,
    Rule,
    bipartite_graph,
    layer_mean,
    modality_mask,
    neighbours_of,
    propagate,
    similarity_graph,
)
from graphrec.models.base import (
    Batch,
    EmbeddingConfig,
    EmbeddingModel,
    Fraction,
    Inputs,
    embedding_table,
    rows,
)
from graphrec.names import resolve


class ModalityAttentionGCNConfig(AlignmentConfig, EmbeddingConfig):
    """Settings of the flagship."""

    num_layers: NonNegativeInt = 2
    """Layers L of message passing."""
    backbone: Literal["lightgcn", "ngcf", "gat", "none"] = "lightgcn"
    """Kind of message passing between users and items; none leaves it out."""
    heads: PositiveInt = 1
    """Attention heads of the gat backbone; they share dim equally."""
    fusion: str = "attention"
    """How the modalities of an item become one vector; see ``graphrec list fusions``."""
    use_id: bool = True
    """Add a free embedding per item to its fused modalities."""
    dropout: Fraction = 0.0
    """Message dropout of the ngcf backbone."""
    edge_drop: Fraction = 0.0
    """Share of the user-item edges that is left out of training, drawn anew each epoch."""
    edge_drop_kind: EdgeDropKind = "uniform"
    """Edges go with equal probability, or rather where both ends have many (degree)."""
    feature_drop: Fraction = 0.0
    """Share of the feature columns that is left out of training, drawn anew each epoch."""
    modality_dropout: Fraction = 0.0
    """Probability that an item lacks a modality in a training step; one always stays."""
    item_layers: NonNegativeInt = 0
    """Layers over the graph of similar items, for all backbones but ngcf; 0 leaves it out."""
    knn_k: PositiveInt = 10
    """Similar items of each item in each modality."""
    knn_edges: Literal["binary", "cosine"] = "binary"
    """Similar items weigh the same, or by their cosine."""
    knn_shares: Mapping[str, NonNegativeFloat] | None = None
    """Share of each modality in the graph of similar items, by name; by default all equal."""

    @model_validator(mode="after")
    def _used(self) -> Self:
        resolve(self.fusion, FUSIONS, "fusion")
        if self.item_layers and self.backbone == "ngcf":
            raise ValueError("item_layers is for backbone = 'lightgcn', 'gat' or 'none'")
        if self.dim % self.heads:
            raise ValueError(f"heads = {self.heads} must divide dim = {self.dim}")
        for name, reason in self.in_vain():
            raise ValueError(f"{name} has no effect {reason}; remove it")
        return self

    def idle(self) -> Iterator[tuple[str, str]]:
        """Each setting that others switch off, and how."""
        yield from super().idle()
        on_backbone = f"on backbone = {self.backbone!r}"
        if self.backbone == "none":
            yield "num_layers", on_backbone
            yield "edge_drop", on_backbone
        for name, backbone in (("heads", "gat"), ("dropout", "ngcf")):
            if self.backbone != backbone:
                yield name, on_backbone
        if not self.num_layers:
            for name in ("heads", "dropout", "edge_drop"):
                yield name, "while num_layers = 0"
        if not self.edge_drop:
            yield "edge_drop_kind", "while edge_drop = 0"
        if not self.item_layers:
            for name in ("knn_k", "knn_edges", "knn_shares"):
                yield name, "while item_layers = 0"

    def needed_modalities(self) -> Iterator[tuple[str, int]]:
        """Each setting that is in use, and how many modalities it needs."""
        yield from self.needed_by_terms(self.use_id)
        for name, needed in (("feature_drop", 1), ("modality_dropout", 2)):
            if getattr(self, name):
                yield name, needed

    def reduced(self, matrices: Collection[str], lists: Collection[str]) -> Self:
        """Without the shares of other modalities, and without what needs more of them."""
        if not (matrices or self.use_id):
            raise ConfigError("model.use_id = false leaves nothing to learn from without features.")
        names = {*matrices, *lists}
        left = self.model_copy(
            update={
                "knn_shares": shares_of(self.knn_shares, names),
                "modality_shares": shares_of(self.modality_shares, names),
            }
        )
        unmet = [key for key, needed in left.needed_modalities() if needed > len(matrices)]
        similar = names if left.knn_shares is None else left.knn_shares.values()
        return left.dropped(unmet if any(similar) else [*unmet, "item_layers"])


class ModalityAttentionGCN(EmbeddingModel):
    """Item node i starts at h_i = e_i + fuse({W_m f_im + b_m : m present}), then messages pass.

    Modality m of item i is projected to D; the fusion sees a mask and never a row that stands for
    nothing. ``e_i`` exists for items with training interactions only, so a cold item starts at
    its content and not at noise. An item without any modality starts at ``e_i``; if it has no
    ``e_i`` either, at a learned vector. User node u starts at h_u = e_u, with user features at
    ``h_u = e_u + sum over the present m of (W_m f_um + b_m)``. The score is x_u . x_i with

        x = 1 / (L + 1) sum_l A^l h       lightgcn, A = D^-1/2 (user-item edges) D^-1/2
        x = [h || NGCF layers of h]       ngcf, see ``NGCFLayers``
        x = 1 / (L + 1) sum_l h^l         gat, h^l a layer of attention on the edges, ``GATLayers``
        x = h                             none
        x_i gains (S^L' h)_i              with L' = ``item_layers``, S the graph of similar items

    S stays that of the rows as they were encoded. Modalities that are lists of neighbours take
    part in S only: with no others, S acts on the e_i alone.

    In training, and never in evaluation: ``edge_drop`` passes messages over a part of the edges,
    normalised by its own degrees (``EdgeDrop``), ``feature_drop`` reads ``f_im * c / (1 - share)``
    with c in {0, 1}^F the same for all items of modality m (``Projection``), both drawn once an
    epoch; ``modality_dropout`` hides present modalities in each step (``modality_mask``).
    ``feature_noise`` is drawn once an epoch, ``feature_mix`` mixes items in each step (``mixed``).

    Beside the ranking loss, ``align``, ``modality_loss`` and ``projection_l1`` add terms on the
    projected modalities of the batch's distinct items (``AlignmentTerms``). They read what the
    fusion reads, but for ``modality_dropout``. A modality alone is scored by h_u, which is as wide
    as it on every backbone, and reaches the users' vectors without messages.

    Source: graphrec; message passing he2020lightgcn, wang2019ngcf and velickovic2018gat, attention
    bahdanau2015attention, similar items and pruning zhou2023freedom.

    Deviations: none.
    """

    reference = "graphrec"
    Config = ModalityAttentionGCNConfig
    search = {
        **EmbeddingModel.search,
        "model.num_layers": SearchRange(
            low=1, high=4, when={"model.backbone": ("lightgcn", "ngcf", "gat")}
        ),
        "model.align_weight": SearchRange(
            low=1e-3, high=1.0, log=True, when={"model.align": ("infonce", "mmd", "adversarial")}
        ),
    }
    config: ModalityAttentionGCNConfig
    uses_modalities = True
    uses_user_features = True
    scores_cold_items = True
    trains_encoders = True
    present: Tensor
    has_id: Tensor
    has_nothing: Tensor

    def __init__(self, config: ModalityAttentionGCNConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        features: Mapping[str, Modality] = inputs.features or {}
        self.names = tuple(sorted(name for name in features if features[name].values.shape[1]))
        if not self.names and not config.use_id:
            raise ConfigError(
                "modality_attention_gcn without features and with use_id = false has nothing to "
                "learn from. Add a [features.NAME] table or set model.use_id = true."
            )
        self._require_modalities()
        self._shared: Tensor | None = None
        self.users = embedding_table(self.num_users, config, inputs.rng)
        self._build_content(features, inputs.rng)
        self._build_ids(inputs.train, inputs.rng)
        self._build_item_graph(features, inputs)
        self._build_layers(inputs)
        self.user_content = (
            ProjectedSum(inputs.user_features, config.dim, inputs.rng)
            if inputs.user_features
            else None
        )
        ranking = losses.LOSSES[config.loss]
        self.terms = AlignmentTerms(
            config,
            self.names,
            config.dim,
            lambda pos, neg: ranking(pos, neg, config.temperature),
            config.normalize,
            inputs.rng,
        )

    def _require_modalities(self) -> None:
        for key, needed in self.config.needed_modalities():
            if len(self.names) < needed:
                raise ConfigError(
                    f"model.{key} needs {needed} or more modalities with values, but there are "
                    f"{len(self.names)}. Add a [features.NAME] table or remove model.{key}."
                )

    def _build_layers(self, inputs: Inputs) -> None:
        config = self.config
        if config.backbone == "none":
            return
        self.graph = self.kept = bipartite_graph(inputs.train, inputs.backend)
        if config.edge_drop:
            self.edges = EdgeDrop(
                inputs.train, config.edge_drop, config.edge_drop_kind, inputs.backend
            )
        if config.backbone == "ngcf":
            self.layers: nn.Module = NGCFLayers(
                config.dim, config.num_layers, config.dropout, inputs.rng
            )
        elif config.backbone == "gat":
            self.layers = GATLayers(config.dim, config.num_layers, config.heads, inputs.rng)

    def _build_content(self, features: Mapping[str, Modality], rng: torch.Generator) -> None:
        self.contents = nn.ModuleList(features[name].rows() for name in self.names)
        noise = self.config.feature_noise
        self._noisy = [NoisyRows(each, noise) for each in self.contents] if noise else []
        self.projections = nn.ModuleList(
            Projection(
                features[name].values.shape[1], self.config.dim, self.config.feature_drop, rng
            )
            for name in self.names
        )
        masks = [torch.from_numpy(features[name].present) for name in self.names]
        present = torch.stack(masks, dim=1) if masks else torch.zeros(self.num_items, 0).bool()
        self.register_buffer("present", present, persistent=False)
        if self.names:
            fusion = resolve(self.config.fusion, FUSIONS, "fusion")
            self.fusion = fusion(len(self.names), self.config.dim, rng)

    def _build_ids(self, train: Interactions, rng: torch.Generator) -> None:
        has_id = torch.from_numpy(train.item_degrees > 0) & self.config.use_id
        self.register_buffer("has_id", has_id.unsqueeze(1), persistent=False)
        if self.config.use_id:
            self.items = embedding_table(train.num_items, self.config, rng)
        has_nothing = ~(has_id | self.present.any(dim=1))
        self.register_buffer("has_nothing", has_nothing.unsqueeze(1), persistent=False)
        if has_nothing.any():
            self.nothing = embedding_table(1, self.config, rng)

    def _build_item_graph(self, features: Mapping[str, Modality], inputs: Inputs) -> None:
        config = self.config
        if not config.item_layers:
            lists = [name for name in features if name not in self.names]
            if lists:
                raise ConfigError(
                    f"[features.{lists[0]}] holds neighbours, which nothing reads while "
                    f"model.item_layers = 0. Set it to 1, or remove the table."
                )
            return
        if not features:
            raise ConfigError(
                "model.item_layers needs item content to tell similar items. Add a "
                "[features.NAME] table or set model.item_layers = 0."
            )
        self.item_graph = similarity_graph(
            {
                name: neighbours_of(modality, config.knn_k, inputs.graphs)
                for name, modality in features.items()
            },
            config.knn_shares,
            rule=Rule(edges=config.knn_edges),
            backend=inputs.backend,
        )

    def attention(self) -> Tensor:
        """Weight of each modality for each item, ``[I, M]``, in the order of ``names``."""
        return self._fuse()[1] if self.names else self.present.to(self.users.dtype)

    def _tokens(self) -> Tensor:
        """Projected modalities ``[I, M, D]``; in a step, those that all its terms read."""
        if self._shared is not None:
            return self._shared
        noisy = self.training and self._noisy
        contents: Iterable[Callable[[], Tensor]] = self._noisy if noisy else self.contents
        tokens = [
            projection(content())
            for content, projection in zip(contents, self.projections, strict=True)
        ]
        stacked = torch.stack(tokens, dim=1)
        if self.training and self.config.feature_mix:
            stacked = mixed(stacked, self.present, self.config.feature_mix)
        return stacked

    def _fuse(self) -> tuple[Tensor, Tensor]:
        present = self.present
        if self.training and self.config.modality_dropout:
            present = modality_mask(present, self.config.modality_dropout)
        fused: tuple[Tensor, Tensor] = self.fusion(self._tokens(), present)
        return fused

    def _item_nodes(self) -> Tensor:
        nodes = self.users.new_zeros(())
        if self.config.use_id:
            nodes = nodes + self.items * self.has_id
        if self.names:
            nodes = nodes + self._fuse()[0]
        if self.has_nothing.any():
            nodes = nodes + self.nothing * self.has_nothing
        return nodes

    def _user_nodes(self) -> Tensor:
        return self.users if self.user_content is None else self.users + self.user_content()

    def embed(self) -> tuple[Tensor, Tensor]:
        """Fuse, pass messages, split into users and items, add similar items."""
        start = self._item_nodes()
        users, items = self.split_nodes(self._pass(torch.cat([self._user_nodes(), start])))
        if not self.config.item_layers:
            return users, items
        similar = start
        for _ in range(self.config.item_layers):
            similar = propagate(self.item_graph, similar)
        return users, items + similar

    def _pass(self, nodes: Tensor) -> Tensor:
        """Messages between users and items."""
        if self.config.backbone == "none":
            return nodes
        graph = self.kept if self.training else self.graph
        if self.config.backbone == "lightgcn":
            return layer_mean(graph, nodes, self.config.num_layers)
        passed: Tensor = self.layers(graph, nodes)
        return passed

    @property
    def _encoders(self) -> list[TrainableRows]:
        return [content for content in self.contents if isinstance(content, TrainableRows)]

    def begin_epoch(self, rng: torch.Generator) -> None:
        """Bring the rows of trained encoders up to date; draw edges, columns and noise."""
        for encoder in self._encoders:
            encoder.refresh()
        if self.config.edge_drop:
            self.kept = self.edges.draw(rng).to(self.users.dtype)
        if self.config.feature_drop:
            for projection in self.projections:
                assert isinstance(projection, Projection)
                projection.draw(rng)
        for m, noisy in enumerate(self._noisy):
            noisy.draw(self.present[:, m], rng)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The ranking loss; it reaches encoders that are trained through the batch's items."""
        with ExitStack() as live:
            for encoder in self._encoders:
                live.enter_context(encoder.live(batch.items))
            if not self.config.has_terms:
                return super().loss(batch)
            self._shared = tokens = self._tokens()
            live.callback(setattr, self, "_shared", None)
            return super().loss(batch) | self.terms(self._step(batch, tokens))

    def _step(self, batch: Batch, tokens: Tensor) -> Step:
        ids = self.items if self.config.use_id else None
        users = rows(self._user_nodes(), batch.users)
        return Step(batch.items, tokens, self.present, ids, self.has_id, users, self.users)

    def learning_rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Encoders that are trained have their own multiple of the learning rate."""
        scaled = [(list(each.parameters()), each.settings.lr_scale) for each in self._encoders]
        theirs = {weight for weights, _ in scaled for weight in weights}
        return [([weight for weight in self.parameters() if weight not in theirs], 1.0), *scaled]

    def penalised(self, batch: Batch) -> list[Tensor]:
        """Free embeddings of the batch; projections and fusion are not penalised."""
        own = [rows(self.users, batch.users)]
        if self.config.use_id:
            own.append(rows(self.items, batch.items))
        return own
