"""The flagship: message passing over item nodes that carry fused modalities."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphrec.core.config import Json
from graphrec.core.errors import ConfigError
from graphrec.core.memory_limit import Need
from graphrec.core.names import nearest, resolve
from graphrec.core.ranges import SearchRange
from graphrec.data import Interactions, Modality
from graphrec.graphs import EdgeDrop, bipartite_graph, layer_mean
from graphrec.models.base import Batch, Inputs, ParameterGroup, Vectors, embedding_table, rows
from graphrec.models.config import ModelConfig
from graphrec.models.modality_attention_gcn.config import (
    SCORED,
    WHOLE,
    ModalityAttentionGCNConfig,
)
from graphrec.models.modality_attention_gcn.content import (
    ItemContent,
    require_no_learning,
    warn_if_mean_dominates,
)
from graphrec.models.modality_attention_gcn.explain import ExplainedModel
from graphrec.models.modality_attention_gcn.layers import learned_layers
from graphrec.models.modality_attention_gcn.similar import SimilarItems, graph_needs
from graphrec.models.modality_attention_gcn.terms import AlignmentTerms, Step
from graphrec.models.modality_attention_gcn.views import LateFusion, Views, view_losses
from graphrec.nn.fusion import FUSIONS
from graphrec.nn.losses import Chosen
from graphrec.nn.masking import without_missing
from graphrec.nn.projection import ProjectedSum


class ModalityAttentionGCN(ExplainedModel):
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

    Other places of fusion (``where``) keep *views*: one per modality, and one of the e_i (id).
    Item i starts in view m at its projected modality, in view id at e_i, and takes part in the
    views that it has; where it has nothing, at the learned vector in all. Users have a free vector
    for each view, or one for all (sample). Messages pass within each view. Then

        middle  x = fuse({x^m}) + x^id, for items and users; users have every modality
        late    the score is one of the views' scores, see ``LateFusion``
        sample  as late, but each pair is a training sample of each view that its items have, by
                that view's score alone, with the same users and the same layers
        model   as late, with the ranking losses of all views alone beside that of the score

    With ``where = "graph"`` nothing is fused: h_i = e_i, and modalities take part in S and in the
    terms below.

    With ``late = "vote"``, whose ranks have no gradient, late trains the views as sample does, and
    model trains their mean. ``normalize`` makes each view's score a cosine.

    S stays that of the rows as they were encoded. Modalities that are lists of neighbours take
    part in S only: with no others, S acts on the e_i alone.

    In training, and never in evaluation: ``edge_drop`` passes messages over a part of the edges,
    drawn once an epoch and normalised by its own degrees (``EdgeDrop``), and content is disturbed
    (``ItemContent``).

    After training, ``closed_form`` adds scores of EASE to the learned ones, see ``ClosedForm``.

    Beside the ranking loss, ``align``, ``modality_loss`` and ``projection_l1`` add terms on the
    projected modalities of the batch's distinct items (``AlignmentTerms``). They read what the
    fusion reads, but for ``modality_dropout``. A modality alone is scored by h_u, which is as wide
    as it on every backbone, and reaches the users' vectors without messages.

    Source: graphrec; message passing he2020lightgcn, wang2019ngcf and velickovic2018gat, attention
    bahdanau2015attention, similar items and pruning zhou2023freedom.

    Deviations: those of its parts, in their docstrings; zhou2023freedom has Xavier tables, no L2.
    """

    family = "multimodal"
    reference = "graphrec"
    Config = ModalityAttentionGCNConfig
    training_defaults: ClassVar[Mapping[str, Json]] = {
        "lr": 5e-3,
        "batch_size": 4096,
        "num_negatives": 64,
        "patience": 5,
    }
    search = {
        **ExplainedModel.search,
        "model.num_layers": SearchRange(
            low=1, high=4, when={"model.backbone": ("lightgcn", "ngcf", "gat")}
        ),
        "model.align_weight": SearchRange(
            low=1e-3, high=1.0, log=True, when={"model.align": ("infonce", "mmd", "adversarial")}
        ),
    }
    uses_modalities = True
    uses_user_features = True
    scores_cold_items = True
    trains_encoders = True
    has_id: Tensor
    has_nothing: Tensor

    @classmethod
    def needs(cls, config: ModelConfig, inputs: Inputs) -> Iterator[Need]:
        """Yield the memory of the graphs of similar items, and of EASE."""
        assert isinstance(config, ModalityAttentionGCNConfig)
        yield from graph_needs(inputs.features or {}, config)
        yield from super().needs(config, inputs)

    def __init__(self, config: ModalityAttentionGCNConfig, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        features: Mapping[str, Modality] = inputs.features or {}
        valued = {name: each for name, each in features.items() if each.values.shape[1]}
        if not config.reads_values:
            require_no_learning(valued)
            valued = {}
        self.names = () if config.where == "graph" else tuple(sorted(valued))
        self.modalities = tuple(sorted(features))
        config.require_modalities(valued)
        self.view_names = (*self.names, "id") if config.use_id else self.names
        own = len(self.view_names) if config.where in ("middle", "late", "model") else 1
        self.users = embedding_table(self.num_users, config, inputs.rng, config.dim * own)
        self.content = ItemContent(valued, self.num_items, config.dim, config, inputs.rng)
        if config.where == "early":
            warn_if_mean_dominates(valued, self.content, self.users)
        self._build_fusion(inputs.rng)
        self._build_ids(inputs.train, inputs.rng)
        self.similar = SimilarItems(features, config, inputs.backend, inputs.graphs)
        self._build_layers(inputs)
        self.user_content = (
            ProjectedSum(inputs.user_features, config.dim, inputs.rng)
            if inputs.user_features
            else None
        )
        self.terms = AlignmentTerms(
            config, self.content.names, config.dim, self.ranking, config.normalize, inputs.rng
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
        if config.backbone == "lightgcn":
            return
        if config.where in (*WHOLE, "sample"):
            self.layers = learned_layers(config, config.dim, inputs.rng)
        else:
            own = (learned_layers(config, config.dim, inputs.rng) for _ in self.view_names)
            self.layers = nn.ModuleList(own)

    def _build_fusion(self, rng: torch.Generator) -> None:
        config = self.config
        self.late = (
            LateFusion(config.late, self.view_names, config.view_weights, self.users.shape[1])
            if config.where in SCORED
            else None
        )
        if self.names and self.late is None:
            wide = config.where == "middle" and config.backbone == "ngcf"
            width = config.dim * (config.num_layers + 1) if wide else config.dim
            fusion = resolve(config.fusion, FUSIONS, "fusion")
            self.fusion = fusion(len(self.names), width, rng)

    def _build_ids(self, train: Interactions, rng: torch.Generator) -> None:
        has_id = torch.from_numpy(train.item_degrees > 0) & self.config.use_id
        self.register_buffer("has_id", has_id.unsqueeze(1), persistent=False)
        if self.config.use_id:
            self.items = embedding_table(train.num_items, self.config, rng)
        has_nothing = self._with_nothing(self.content.present)
        self.register_buffer("has_nothing", has_nothing, persistent=False)
        if self.has_nothing.any():
            self.nothing = embedding_table(1, self.config, rng)

    def _with_nothing(self, known: Tensor) -> Tensor:
        """Return the items that have nothing to start at, ``[I, 1]``."""
        return ~(self.has_id | known[:, : len(self.names)].any(dim=1, keepdim=True))

    def attention(self) -> Tensor:
        """Weight of each modality for each item, ``[I, M]``, in the order of ``names``."""
        if not self.names:
            return self.users.new_zeros(self.num_items, 0)
        if self.config.where == "early":
            return self.fusion.modality_weights(self.content(), self.content.known())
        views = self._views()
        if self.late is None:
            own = slice(len(self.names))
            return self.fusion.modality_weights(views.items[:, own], views.shown[:, own])
        return self.late.item_weights(views.shown, views.items.dtype)[:, : len(self.names)]

    def _fused(self, tokens: Tensor, known: Tensor) -> Tensor:
        fused: Tensor = self.fusion(tokens, known)
        return fused

    def _item_nodes(self) -> Tensor:
        nodes = self.users.new_zeros(())
        if self.config.use_id:
            nodes = nodes + self.items * self.has_id
        if self.names:
            nodes = nodes + self._fused(self.content(), self.content.known())
        if self.has_nothing.any():
            nodes = nodes + self.nothing * self.has_nothing
        return nodes

    def item_starts(self) -> tuple[Tensor, Tensor]:
        """Where items start in each view, ``[I, V, D]``, and which they have; early has one."""
        if self.config.where in WHOLE:
            nodes = self._item_nodes().unsqueeze(1)
            return nodes, nodes.new_ones(nodes.shape[:2], dtype=torch.bool)
        starts, shown = self.content(), self.content.known()
        if self.config.use_id:
            starts = torch.cat([starts, self.items.unsqueeze(1)], dim=1)
            shown = torch.cat([shown, self.has_id], dim=1)
        starts = without_missing(starts, shown)
        if self.has_nothing.any():  # such an item shows the same in all views
            starts = starts + (self.nothing * self.has_nothing).unsqueeze(1)
            shown = shown | self.has_nothing
        return starts, shown

    def _views(self) -> Views:
        """Pass messages within each view."""
        starts, shown = self.item_starts()
        users, items = self._passed(starts)
        if self.config.item_layers:
            items = items + self.similar(starts.flatten(1)).view_as(items)
        if self.late is not None and self.config.normalize:
            users, items = (functional.normalize(each, dim=2) for each in (users, items))
        return Views(users, items, shown)

    def _passed(self, starts: Tensor) -> tuple[Tensor, Tensor]:
        users = self._user_nodes().unflatten(1, (-1, self.config.dim))
        users = users.expand(-1, starts.shape[1], -1)
        return self.split_nodes(self._pass(torch.cat([users, starts])))

    def propagate_to_users(self, starts: Tensor) -> Tensor:
        """Users after messages of items that start there, ``[U, V, D]``; middle fuses them to one.

        What ``embed`` makes of them by ``normalize`` and by weights of views is left to the caller.
        """
        users, _ = self._passed(starts)
        return self._fused_users(users).unsqueeze(1) if self.config.where == "middle" else users

    def _user_nodes(self) -> Tensor:
        """Where users start, as wide as ``users``: a vector, or one for each view."""
        if self.user_content is None:
            return self.users
        own = self.users.unflatten(1, (-1, self.config.dim))
        return (own + self.user_content().unsqueeze(1)).flatten(1)

    def embed(self) -> tuple[Tensor, Tensor]:
        """Fuse, pass messages, split into users and items, add similar items; or fuse later."""
        views = self._views()
        if self.config.where in WHOLE:
            return views.users.flatten(1), views.items.flatten(1)
        return self._combined(views)

    def _combined(self, views: Views) -> tuple[Tensor, Tensor]:
        """Vectors whose inner product is the score: fused ones, or those of all views."""
        if self.late is not None:
            return self.late(views, self.users)
        own = slice(len(self.names))
        items = self._fused(views.items[:, own], views.shown[:, own])
        if self.config.use_id:
            items = items + views.items[:, -1] * views.shown[:, -1:]
        return self._fused_users(views.users), items

    def _fused_users(self, views: Tensor) -> Tensor:
        everything = self.has_id.new_ones(self.num_users, len(self.names))
        users = self._fused(views[:, : len(self.names)], everything)
        return users + views[:, -1] if self.config.use_id else users

    def _pass(self, nodes: Tensor) -> Tensor:
        """Messages within each view, ``[N, V, D]``; layers that learn are shared in ``sample``."""
        if self.config.backbone == "none":
            return nodes
        graph = self.kept if self.training else self.graph
        if self.config.backbone == "lightgcn":
            return layer_mean(graph, nodes.flatten(1), self.config.num_layers).view_as(nodes)
        shared = [self.layers] * nodes.shape[1]
        layers = self.layers if isinstance(self.layers, nn.ModuleList) else shared
        pairs = zip(layers, nodes.unbind(1), strict=True)
        return torch.stack([each(graph, view) for each, view in pairs], dim=1)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the vectors; views whose scores are combined are normalised by themselves."""
        return super().vectors() if self.late is None else self.embed()

    @property
    def learns_by_products(self) -> bool:
        """Unless views vote."""
        return self.late is None or self.config.late != "vote"

    def learned_scorer(self) -> Callable[[Tensor], Tensor]:
        """Inner products, or votes."""
        if self.late is None or self.learns_by_products:
            return super().learned_scorer()
        return self.late.votes(self._views())

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """Score as if no item had these of the ``modalities``, for evaluation.

        An item with nothing else starts at the learned vector, or at 0 if there is none.

        Raises:
            ConfigError: a name is unknown.
        """
        for name in names:
            if name not in self.modalities:
                known = ", ".join(self.modalities)
                hint = nearest(name, self.modalities)
                raise ConfigError(f"No modality {name!r} to hide.{hint} Known: {known}.")
        before = self.has_nothing
        with self.content.without(*names), self.similar.without(*names):
            if before.any():  # else the model has not learned such a vector
                self.has_nothing = self._with_nothing(self.content.known())
            try:
                yield
            finally:
                self.has_nothing = before

    def begin_epoch(self, rng: torch.Generator) -> None:
        """Bring the rows of trained encoders up to date; draw edges, columns and noise."""
        self.content.refresh()
        if self.config.edge_drop:
            self.kept = self.edges.draw(rng).to(self.users.dtype)
        self.content.draw(rng)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the ranking loss; it reaches trained encoders through the items of the batch."""
        return self._terms_and_vectors(batch)[0]

    def loss_and_vectors(self, batch: Batch) -> tuple[dict[str, Tensor], Vectors]:
        """Return the loss and the ``vectors()`` behind it, computed anew where it needs none."""
        terms, vectors = self._terms_and_vectors(batch)
        return terms, vectors or self.vectors()

    def _terms_and_vectors(self, batch: Batch) -> tuple[dict[str, Tensor], Vectors | None]:
        if not self.config.has_terms:
            with self.content.live(batch.items):
                return self._ranked(batch)
        with self.content.kept(batch.items) as tokens:
            terms, vectors = self._ranked(batch)
            return terms | self.terms(self._step(batch, tokens)), vectors

    def _ranked(self, batch: Batch) -> tuple[dict[str, Tensor], Vectors | None]:
        """Return the ranking loss of the combined scores, of each view alone, or of both."""
        if not self.config.trains_views:
            return super().loss_and_vectors(batch)
        views = self._views()
        losses, pairs = view_losses(views, batch.users, batch.items, self.ranking)
        if self.config.where == "model":
            users, items = self._combined(views)
            terms = self.ranking_terms(users, items, batch)
            names = (f"{self.config.loss}_{name}" for name in self.view_names)
            return terms | dict(zip(names, losses, strict=True)), (users, items)
        pooled = (losses * pairs).sum() / pairs.sum().clamp(min=1)
        return {self.config.loss: pooled} | self.penalty(batch), None

    def _step(self, batch: Batch, tokens: Tensor) -> Step:
        ids = self.items if self.config.use_id else None
        users = rows(self._user_nodes(), batch.users)
        return Step(batch.items, tokens, self.content.present, ids, self.has_id, users, self.users)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return the parameters; each trained encoder has its own multiple of the learning rate."""
        encoders = [
            ParameterGroup(list(encoder.parameters()), encoder.lr_scale)
            for encoder in self.content.encoders
        ]
        theirs = {weight for group in encoders for weight in group.parameters}
        others = [weight for weight in self.parameters() if weight not in theirs]
        return [ParameterGroup(others), *encoders]

    def penalised(self, batch: Batch) -> list[Chosen]:
        """Free embeddings of the batch; projections and fusion are not penalised."""
        own = [Chosen(self.users, batch.users)]
        if self.config.use_id:
            own.append(Chosen(self.items, batch.items))
        return own
