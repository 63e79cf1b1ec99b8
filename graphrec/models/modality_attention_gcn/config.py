"""Define the settings of the flagship, ``modality_attention_gcn``."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import ClassVar, Literal, Self

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from graphrec.core.config import Fraction
from graphrec.core.errors import ConfigError
from graphrec.core.names import NotImportedError, resolve
from graphrec.graphs import EdgeDropKind
from graphrec.models.config import EmbeddingConfig, ModelConfig
from graphrec.nn.ease import DEFAULT_REG
from graphrec.nn.fusion import FUSIONS, Fusion


class GraphConfig(ModelConfig):
    """Settings of the backbone, of edge dropping, and of the graph of similar items."""

    num_layers: NonNegativeInt = 2
    """Number L of layers of message passing."""
    backbone: Literal["lightgcn", "ngcf", "gat", "none"] = "lightgcn"
    """Kind of message passing between users and items; none leaves it out."""
    heads: PositiveInt = 1
    """Number of attention heads of the gat backbone, of width dim / heads each."""
    dropout: Fraction = 0.0
    """Message dropout of the ngcf backbone."""
    edge_drop: Fraction = 0.0
    """Share of the user-item edges that is left out of training, drawn anew each epoch."""
    edge_drop_kind: EdgeDropKind = "uniform"
    """Edges to drop: all with equal probability, or rather those of nodes with many (degree)."""
    item_layers: NonNegativeInt = 0
    """Layers over the graph of similar items, for all backbones but ngcf; 0 leaves it out."""
    knn_k: PositiveInt = 10
    """Number of similar items of each item in each modality."""
    knn_edges: Literal["binary", "cosine"] = "binary"
    """Weights of similar items: all equal, or their cosine."""
    knn_weights: Mapping[str, NonNegativeFloat] | None = None
    """Share of each modality in the graph of similar items, by name; by default all equal."""

    def require_fitting_backbone(self) -> None:
        """Refuse a graph of similar items with a backbone that cannot use it.

        Raises:
            ValueError: the backbone is ngcf.
        """
        if self.item_layers and self.backbone == "ngcf":
            raise ValueError("item_layers is for backbone = 'lightgcn', 'gat' or 'none'")

    def inactive_graph_settings(self) -> Iterator[tuple[str, str]]:
        """Yield (setting, reason) for each setting that has no effect under the others."""
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
            for name in ("knn_k", "knn_edges", "knn_weights"):
                yield name, "while item_layers = 0"

    def restricted_to(self, matrices: Collection[str], lists: Collection[str]) -> Self:
        """Return the settings without shares of other modalities, and without an empty graph."""
        left = super().restricted_to(matrices, lists)
        shares = dict.fromkeys((*matrices, *lists), 1.0)
        if self.knn_weights is not None:
            shares = {name: self.knn_weights[name] for name in self.knn_weights if name in shares}
            left = left.model_copy(update={"knn_weights": shares})
        return left if any(shares.values()) else left.at_defaults(["item_layers"])


class AlignmentConfig(ModelConfig):
    """Settings of the alignment and balance of modalities, and of regularising content."""

    align: Literal["none", "infonce", "mmd", "adversarial"] = "none"
    """Alignment of the modalities of the batch's items: by contrast, with the free embeddings as
    one more view (infonce), as distributions (mmd), or against a discriminator (adversarial)."""
    align_weight: PositiveFloat = 0.1
    """Weight of the alignment; for adversarial that of the reversed gradient."""
    align_temperature: PositiveFloat = 0.2
    """Divisor of cosines in infonce."""
    modality_loss: NonNegativeFloat = 0.0
    """Weight of one ranking loss per modality, by users' vectors and the modality's tokens."""
    modality_weights: Mapping[str, NonNegativeFloat] | None = None
    """Weight of each modality within modality_loss, by name; by default all 1."""
    balance: Literal["fixed", "uncertainty", "gradnorm"] = "fixed"
    """Weights within modality_loss: fixed, or learned by uncertainty or by gradient norms."""
    balance_alpha: NonNegativeFloat = 1.5
    """Strength with which gradnorm favours modalities that learn slowly; 0 equalises norms."""
    projection_l1: NonNegativeFloat = 0.0
    """Weight of the L1 norm of a projected modality, averaged over the batch's items."""
    feature_noise: NonNegativeFloat = 0.0
    """Deviation of noise on features, in deviations of their column, drawn anew each epoch."""
    feature_mix: NonNegativeFloat = 0.0
    """Parameter a of Beta(a, a), which mixes each item with another in training; 0 mixes none."""

    @property
    def has_terms(self) -> bool:
        """Return whether any term is added to the ranking loss."""
        return self.align != "none" or self.modality_loss > 0 or self.projection_l1 > 0

    def idle_terms(self) -> Iterator[tuple[str, str]]:
        """Yield (setting, reason) for each setting that has no effect under the others."""
        if self.align == "none":
            yield "align_weight", "while align = 'none'"
        if self.align != "infonce":
            yield "align_temperature", f"on align = {self.align!r}"
        if not self.modality_loss:
            for name in ("modality_weights", "balance", "balance_alpha"):
                yield name, "while modality_loss = 0"
        if self.balance != "fixed":
            yield "modality_weights", f"on balance = {self.balance!r}"
        if self.balance != "gradnorm":
            yield "balance_alpha", f"on balance = {self.balance!r}"

    def needed_by_terms(self, use_id: bool) -> Iterator[tuple[str, int]]:
        """Yield each setting in use with the number of modalities that it needs."""
        if self.align != "none":
            yield "align", 1 if use_id and self.align == "infonce" else 2
        if self.balance == "gradnorm":
            yield "balance", 2
        for name in ("modality_loss", "projection_l1", "feature_noise", "feature_mix"):
            if getattr(self, name):
                yield name, 1


SCORED = ("late", "sample", "model")
"""Places of fusion that combine scores, not vectors."""


WHOLE = ("early", "graph")
"""Places of fusion where an item is one vector before messages pass."""


def shares_of(
    shares: Mapping[str, float] | None, names: Collection[str]
) -> dict[str, float] | None:
    """Return the shares of the named modalities, if any are given."""
    return None if shares is None else {name: shares[name] for name in shares if name in names}


class FusionConfig(AlignmentConfig):
    """Settings of the place and method of fusion, beside those of alignment and noise."""

    where: Literal["early", "middle", "late", "sample", "model", "graph"] = "early"
    """Place of fusion: before messages pass (early); after the messages of each modality have
    passed (middle); on scores (late); on scores of one model that trains on each modality as a
    sample (sample), or of one model per modality, trained alone and together (model); or none:
    modalities only determine which items are similar (graph)."""
    fusion: str = "attention"
    """Method that makes one vector of the modalities of an item, for where = early or middle; see
    ``graphrec list fusions``."""
    late: Literal["mean", "weighted", "learned", "user", "vote"] = "mean"
    """Combination of scores: their mean, a mean with given weights (view_weights), with learned
    weights, with weights of each user (attention), or votes by rank."""
    view_weights: Mapping[str, NonNegativeFloat] | None = None
    """Weight of the score of each modality, by name, and of the free embeddings (id)."""
    use_id: bool = True
    """Add a free embedding per item to its fused modalities."""
    feature_drop: Fraction = 0.0
    """Share of the feature columns that is left out of training, drawn anew each epoch."""
    modality_dropout: Fraction = 0.0
    """Probability that an item lacks a modality in a training step; one always stays."""

    @property
    def reads_values(self) -> bool:
        """Return whether rows of modalities enter the vectors of items, or terms of the loss."""
        return self.where != "graph" or self.has_terms

    @property
    def trains_views(self) -> bool:
        """Return whether scores of single modalities have ranking losses."""
        return self.where in ("sample", "model") or self.late == "vote"

    def require_fitting_fusion(self) -> None:
        """Refuse an unknown fusion, and settings that contradict each other.

        Raises:
            ConfigError: the fusion is unknown.
            ValueError: settings contradict each other.
        """
        with suppress(NotImportedError):
            resolve(self.fusion, FUSIONS, "fusion", Fusion)
        if self.where not in WHOLE and self.modality_loss:
            raise ValueError(
                f"modality_loss is for where = 'early' or 'graph'; on where = {self.where!r} users "
                f"have other vectors for each modality"
            )
        if self.where == "graph" and not self.use_id:
            raise ValueError(
                "where = 'graph' leaves items their free embeddings only; set use_id = true"
            )
        if self.where == "sample" and self.late in ("learned", "user"):
            raise ValueError(
                f"late = {self.late!r} has nothing to learn from on where = 'sample', which trains "
                f"each modality alone; use where = 'late' or 'model'"
            )
        if (self.late == "weighted") != (self.view_weights is not None):
            raise ValueError("late = 'weighted' and view_weights belong together; give both")
        if self.view_weights is not None and not any(self.view_weights.values()):
            raise ValueError("all of view_weights are 0; give one of them more")

    def inactive_fusion_settings(self) -> Iterator[tuple[str, str]]:
        """Yield (setting, reason) for each setting that has no effect under the others."""
        yield from self.idle_terms()
        here = f"on where = {self.where!r}"
        if self.where in SCORED:
            yield "fusion", f"{here}, which fuses scores (late)"
        else:
            yield "late", here
        if self.where == "graph":
            for name in ("fusion", "modality_dropout"):
                yield name, f"{here}, which fuses nothing"
            if self.align == "none" and not self.modality_loss:
                yield "projection_l1", f"{here} without align or modality_loss"
        if not self.reads_values:
            for name in ("feature_drop", "feature_noise", "feature_mix"):
                yield name, f"{here}, where no term reads rows either"

    def needed_modalities(self) -> Iterator[tuple[str, int]]:
        """Yield each setting in use with the number of modalities that it needs."""
        yield from self.needed_by_terms(self.use_id)
        if self.where not in WHOLE:
            yield "where", 1 if self.use_id else 2
        for name, needed in (("feature_drop", 1), ("modality_dropout", 2)):
            if getattr(self, name):
                yield name, needed

    def require_modalities(self, names: Collection[str]) -> None:
        """Refuse a setting that needs more modalities with values than there are.

        Raises:
            ConfigError: there are too few, or items have neither a modality nor a free embedding.
        """
        if not (names or self.use_id):
            raise ConfigError(
                f"{self.name} without features and with use_id = false has nothing to learn from. "
                f"Add a [features.NAME] table or set model.use_id = true."
            )
        for key, needed in self.needed_modalities():
            if len(names) < needed:
                raise ConfigError(
                    f"model.{key} needs {needed} or more modalities with values, but there are "
                    f"{len(names)}. Add a [features.NAME] table or remove model.{key}."
                )

    def restricted_to(self, matrices: Collection[str], lists: Collection[str]) -> Self:
        """Return the settings without shares of other modalities, or settings that need them.

        Raises:
            ConfigError: nothing would be left to learn from.
        """
        if not (matrices or self.use_id):
            raise ConfigError("model.use_id = false leaves nothing to learn from without features.")
        left = super().restricted_to(matrices, lists)
        for key in ("modality_weights", "view_weights"):
            shares = shares_of(getattr(left, key), {*matrices, "id"})
            left = left.model_copy(update={key: shares})
        gone = [key for key, needed in left.needed_modalities() if needed > len(matrices)]
        return left.at_defaults([*gone, "late", "view_weights"] if "where" in gone else gone)


class ModalityAttentionGCNConfig(GraphConfig, FusionConfig, EmbeddingConfig):
    """Settings of the flagship.

    Defaults that differ from those of other models were chosen on the validation parts of
    MovieLens-100K (two splits), Last.fm 2K and TikTok (``benchmarks/defaults``).
    """

    former_defaults: ClassVar[Mapping[str, object]] = {
        "loss": "bpr",
        "temperature": 1.0,
        "normalize": False,
        "init_std": 0.1,
        "closed_form": "none",
    }
    former_names: ClassVar[Mapping[str, str]] = {
        "knn_weights": "knn_shares",
        "modality_weights": "modality_shares",
        "view_weights": "view_shares",
    }

    loss: Literal["bpr", "softmax", "bce"] = "softmax"
    """Training objective."""
    temperature: PositiveFloat = 0.15
    """Divisor of scores inside the loss."""
    normalize: bool = True
    """Rank by cosine instead of inner product, in training and evaluation."""
    init_std: PositiveFloat = 0.05
    """Standard deviation of the initial embeddings."""
    closed_form: Literal["auto", "ease", "none"] = "auto"
    """Scores that are added without training: those of EASE, or none; auto is ease where training
    data have at most 10,000 users or at most 10,000 items."""
    closed_form_weight: PositiveFloat = 0.5
    """Weight of these scores beside the learned ones, each in deviations over all items."""
    closed_form_reg: PositiveFloat = DEFAULT_REG
    """Ridge penalty lambda of EASE."""

    @model_validator(mode="after")
    def _used(self) -> Self:
        self.require_fitting_fusion()
        self.require_fitting_backbone()
        if self.where == "graph" and not self.item_layers:
            raise ValueError("where = 'graph' needs the graph of similar items: item_layers = 1")
        if self.dim % self.heads:
            raise ValueError(f"heads = {self.heads} must divide dim = {self.dim}")
        self.require_effect()
        return self

    def inactive_settings(self) -> Iterator[tuple[str, str]]:
        """Yield (setting, reason) for each setting that has no effect under the others."""
        yield from self.inactive_fusion_settings()
        yield from self.inactive_graph_settings()
        if self.closed_form == "none":
            for name in ("closed_form_weight", "closed_form_reg"):
                yield name, "on closed_form = 'none'"

    def restricted_to(self, matrices: Collection[str], lists: Collection[str]) -> Self:
        """Return the settings for these modalities; without any, items are free embeddings."""
        left = super().restricted_to(matrices, lists)
        return left if left.item_layers or left.where != "graph" else left.at_defaults(["where"])
