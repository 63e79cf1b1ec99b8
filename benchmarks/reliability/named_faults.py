"""Faults that were planted by hand once and that no test noticed: each must be noticed now."""

from typing import NamedTuple


class NamedFault(NamedTuple):
    """What is replaced by what, once, in a file."""

    name: str
    file: str
    old: str
    new: str


NAMED = (
    NamedFault(
        "knn_edges is ignored",
        "graphrec/models/modality_attention_gcn/similar.py",
        "Rule(edges=self.settings.knn_edges)",
        "Rule()",
    ),
    NamedFault(
        "fine_tune_lr_scale is ignored",
        "graphrec/features/content/pretrained.py",
        "lr_scale=config.fine_tune_lr_scale",
        "lr_scale=1.0",
    ),
    NamedFault(
        "only users with test items are ranked",
        "graphrec/experiment/measure.py",
        "metrics, np.arange(truth.num_users))",
        "metrics)",
    ),
    NamedFault(
        "weights are not in the fingerprint of a data set",
        "graphrec/data/dataset.py",
        "data.times, data.weights, self.parts",
        "data.times, self.parts",
    ),
    NamedFault(
        "test users are not in the fingerprint of a split",
        "graphrec/data/split.py",
        "digest(self._interactions.users, self._interactions.items)",
        "digest(self._interactions.items)",
    ),
    NamedFault(
        "valid pairs are not in the fingerprint of a split",
        "graphrec/data/split.py",
        "self.train.items, self.valid.users, self.valid.items)",
        "self.train.items)",
    ),
    NamedFault(
        "texts are stored by their lower-cased text",
        "graphrec/features/content/sources.py",
        "hashlib.sha256(text.encode())",
        "hashlib.sha256(text.lower().encode())",
    ),
    NamedFault(
        "a 200 reply to a ranged download is appended",
        "graphrec/data/catalog/download.py",
        "resumed = answer.status == 206",
        "resumed = done > 0",
    ),
    NamedFault(
        "negative cosines are not clipped",
        "graphrec/graphs/similarity.py",
        "neighbours.cosines[known].clip(min=0)",
        "neighbours.cosines[known]",
    ),
    NamedFault(
        "the printed history is not sorted by time",
        "graphrec/experiment/tables.py",
        'rows = rows[np.argsort(-train.times[rows], kind="stable")]',
        "rows = rows.copy()",
    ),
)
"""Each is looked for as text; a fault without a place is reported."""
