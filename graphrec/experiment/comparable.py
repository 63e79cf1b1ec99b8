"""Decide whether results may stand in one table."""

from collections.abc import Sequence

from graphrec.core.errors import DataError
from graphrec.experiment.result import Result

COMPARABLE = ("dataset", "split", "protocol")
"""Fingerprints that two rows of one table must share."""


def require_comparable(results: Sequence[Result]) -> None:
    """Refuse results that were not measured on the same split by the same rules.

    Raises:
        DataError: a fingerprint differs.
    """
    first = results[0]
    for other in results[1:]:
        different = [
            key for key in COMPARABLE if first.fingerprints[key] != other.fingerprints[key]
        ]
        if different:
            prints = "; ".join(
                f"{key} {first.fingerprints[key][:12]} and {other.fingerprints[key][:12]}"
                for key in different
            )
            raise DataError(
                f"{label(first)} and {label(other)} are not comparable: different {prints}. A "
                f"table holds one data set, one split and one protocol; report them apart."
            )


def label(result: Result) -> str:
    """Return the name of a result in tables; a star marks an epoch that was chosen on test."""
    return result.name + ("*" if result.selection == "best_test_epoch" else "")
