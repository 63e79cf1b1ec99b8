"""Turn scores into ranked lists and metrics, under a named protocol."""

from graphrec.evaluation.config import EvaluationConfig
from graphrec.evaluation.conventions import Protocol
from graphrec.evaluation.metrics import METRICS, parse_metric
from graphrec.evaluation.protocol import PRESETS, protocol_of
from graphrec.evaluation.ranking import Evaluation, Ranking, by_warmth, evaluate, rank, warm_cold

__all__ = [
    "METRICS",
    "PRESETS",
    "Evaluation",
    "EvaluationConfig",
    "Protocol",
    "Ranking",
    "by_warmth",
    "evaluate",
    "parse_metric",
    "protocol_of",
    "rank",
    "warm_cold",
]
