"""Which modalities help: the experiment against itself without one, or with one that is idle."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from graphrec.config import RunConfig
from graphrec.studies.pages import draw_differences, write_report
from graphrec.studies.record import Row, VariantsResult, Verdict, write_result
from graphrec.studies.study import Plan, carry_out, require_modalities
from graphrec.studies.variants import FULL, ID_ONLY, modality_variants
from graphrec.studies.warmth import GROUPS, groups_of

JUDGES = {"without": "without it", "shuffled": "with its content shuffled among items"}
"""The full model must win against both: it may gain by a modality as it would by parameters."""


def study(
    config: RunConfig, out: Path, seeds: int, workers: int, metric: str | None
) -> VariantsResult:
    """Train all variants and judge every modality; see ``graphrec.studies.study_modalities``."""
    require_modalities(config, "modality")
    variants = modality_variants(config)
    compared_with = {each.label: FULL for each in variants[1:]}
    result = carry_out(
        Plan("modality", config, variants, compared_with, metric), out, seeds, workers
    )
    groups = groups_of(result, out)
    parts = {name: groups[name].rows if name in groups else [] for name in GROUPS if groups}
    verdicts = [
        judged_on(items, name, result.metric, rows)
        for name in config.features
        for items, rows in (parts or {"all": result.rows}).items()
    ]
    result = replace(result, verdicts=verdicts, groups=groups)
    write_result(out, result)
    write_report(out, result, draw_differences(result))
    return result


def judged_on(items: str, name: str, metric: str, rows: Sequence[Row]) -> Verdict:
    """Judge a modality by the rows of the study, of all test items or of a group of them."""
    if not rows:
        why = f"{name} is not judged on {items} items: fewer than two users have one in test."
        return Verdict(name, "not judged", why, items)
    by_change = {(row.attributes["modality"], row.attributes["change"]): row for row in rows}
    found = {change: by_change[name, change] for change in JUDGES}
    verdict = judged(name, metric, found, "" if items == "all" else f" on {items} items")
    ids = next(row for row in rows if row.label == ID_ONLY)
    alone = bool(ids.folder) and ids.folder == found["without"].folder
    if items == "cold" and verdict.verdict == "helps" and alone:
        sentence = f"{verdict.sentence} Without it nothing is known of cold items."
        verdict = replace(verdict, sentence=sentence)
    return replace(verdict, items=items)


def judged(name: str, metric: str, rows: Mapping[str, Row], where: str = "") -> Verdict:
    """Judge a modality by the rows of ``JUDGES``, which are compared with the full model.

    It helps if both are worse and hurts if both are better, by adjusted test and by interval. One
    that could not be trained is left out, and the sentence says so. ``where`` names the test items.
    """
    trained = {change: row for change, row in rows.items() if row.p is not None}
    gone = [
        f" Not tried {JUDGES[each]}: {row.skipped}" for each, row in rows.items() if row.skipped
    ]
    if not trained:
        return Verdict(name, "not judged", f"{name} is not judged{where}.{''.join(gone)}")
    verdict = "does not help"
    if all(row.worse for row in trained.values()):
        verdict = "helps"
    elif all(row.better for row in trained.values()):
        verdict = "hurts"
    figures = "; ".join(_figures(JUDGES[change], row) for change, row in trained.items())
    return Verdict(name, verdict, f"{name} {verdict}{where}: {metric} {figures}.{''.join(gone)}")


def _figures(what: str, row: Row) -> str:
    way = "is lower" if row.worse else "is higher" if row.better else "is not shown to differ"
    return (
        f"{way} {what}, by {row.difference:+.4f} [{row.low:+.4f}, {row.high:+.4f}] "
        f"(adjusted p = {row.p:.2g})"
    )
