"""The flow of a study: prepare once, see what can be built, train all, open test, compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from graphrec.config import RunConfig
from graphrec.config.identity import experiment_identity, require_same
from graphrec.core.claim import claimed
from graphrec.core.environment import environment
from graphrec.core.errors import ConfigError, DataError
from graphrec.core.files import read_parquet, write_json
from graphrec.core.names import nearest
from graphrec.core.processes import stoppable
from graphrec.core.progress import track
from graphrec.core.run_folder import RunFolder
from graphrec.evaluation import METRICS, protocol_of
from graphrec.evaluation.metrics import expand
from graphrec.evaluation.significance import Comparison, Values, compare, holm
from graphrec.experiment.checks import require_no_teacher
from graphrec.experiment.fit import build
from graphrec.experiment.log import RunLog
from graphrec.experiment.prepare import prepare, with_settings
from graphrec.experiment.prepared import Prepared
from graphrec.experiment.result import Result, openings_of
from graphrec.experiment.series import folder_of, is_finished, seeded, train_replicates
from graphrec.models import MODELS, model_of
from graphrec.studies.record import Row, VariantsResult, row_of
from graphrec.studies.variants import Variant, folders

RERUN = "Remove the folder {}; the same command trains it again."


@dataclass(frozen=True)
class Plan:
    """What a study does.

    Attributes:
        study: ``modality`` or ``missing``.
        config: the experiment as it was given.
        variants: the first one is what cannot be left out.
        compared_with: for each label the label of the variant it is compared with, if any.
        metric: by default that of early stopping.
    """

    study: str
    config: RunConfig
    variants: Sequence[Variant]
    compared_with: Mapping[str, str]
    metric: str | None = None


def require_modalities(config: RunConfig, study: str) -> None:
    """Refuse an experiment without modalities, and a protocol that trains on test.

    Raises:
        ConfigError: it is one, or has a teacher.
    """
    require_no_teacher(config, study)
    model = model_of(config.model.name)
    if not model.uses_modalities:
        readers = ", ".join(name for name, each in MODELS.items() if each.uses_modalities)
        raise ConfigError(
            f"graphrec {study}: model {config.model.name!r} reads no modality. Choose a model "
            f"that does: {readers}."
        )
    if not config.features:
        raise ConfigError(
            f"graphrec {study}: there is no table [features.NAME], so no modality. Add one."
        )


def metric_of(config: RunConfig, chosen: str | None, default: str) -> str:
    """The metric that a study compares; it must be one of users, and more of it better.

    Raises:
        ConfigError: it is not, or is not measured.
    """
    name = chosen or default
    measured = expand(config.evaluation.metrics, config.evaluation.top_k)
    if name not in measured:
        raise ConfigError(
            f"--metric {name!r} is not measured.{nearest(name, measured)} Choose one of "
            f"evaluation.metrics at a cut-off of evaluation.top_k: {', '.join(measured)}."
        )
    metric, _ = measured[name]
    if metric.per != "user" or not metric.higher_is_better:
        usable = [key for key, each in METRICS.items() if each.per == "user"]
        usable = [key for key in usable if METRICS[key].higher_is_better]
        raise ConfigError(
            f"--metric {name!r} is no mean over users of which more is better, so variants cannot "
            f"be compared by it. Choose one of: {', '.join(usable)}."
        )
    return name


def carry_out(plan: Plan, out: Path, seeds: int, workers: int) -> VariantsResult:
    """Train what is missing, and compare; the same call goes on with a study that was stopped.

    Raises:
        ConfigError: the folder holds another study, or settings contradict each other.
        DataError: the data do not hold what the configuration says.
    """
    log, started_in = RunLog(), environment()
    with stoppable(), claimed(out):
        require_same(out, plan.config, plan.study)
        first = plan.variants[0].settings
        if first is None:
            raise ConfigError(plan.variants[0].skipped)
        protocol = protocol_of(first.evaluation)
        if protocol.selection == "best_test_epoch":
            raise ConfigError(
                "The epoch would be chosen on test, by which variants are then compared. Set "
                "evaluation.selection = 'valid'."
            )
        metric = metric_of(first, plan.metric, protocol.valid_metric)
        prepared = prepare(first, log)
        variants = _buildable(plan.variants, prepared, seeds, out, log)
        write_json(RunFolder(out).config, plan.config.model_dump(mode="json"))
        log.write_to(RunFolder(out).log)
        results = train_replicates(folders(variants), seeds, out, workers, log, prepared)
    rows, users = _rows(plan.compared_with, variants, results, metric, out)
    rows = _identified(rows, plan.variants, variants, results)
    some = results[variants[0].folder][0]
    return VariantsResult(
        study=plan.study,
        name=plan.config.run.name or plan.config.model.name,
        model=some.model,
        dataset=some.dataset,
        metric=metric,
        seeds=[each.seed for each in results[variants[0].folder]],
        users=users,
        rows=rows,
        fingerprints={key: some.fingerprints[key] for key in ("dataset", "split", "protocol")},
        environment=started_in,
        test_openings=openings_of(results.values()),
    )


def _buildable(
    variants: Sequence[Variant], prepared: Prepared, seeds: int, out: Path, log: RunLog
) -> list[Variant]:
    """Build the model of each variant once; what cannot be built is skipped, but for the first."""
    found: list[Variant] = []
    impossible: dict[str, str] = {}
    for each in track(variants, "Checking variants"):
        settings, folder = each.settings, each.folder
        if settings is None or any(folder == other.folder for other in found):
            found.append(_skipped(each, impossible.get(folder, "")))
            continue
        try:
            if not _all_finished(settings, folder, seeds, out):
                prepared = with_settings(prepared, settings, log)
                build(settings.model, prepared)
        except ConfigError as error:
            if not found:
                raise
            impossible[folder] = str(error)
        found.append(_skipped(each, impossible.get(folder, "")))
    for each in found:
        if each.skipped:
            log.event("skipped", f"Skipped {each.label}: {each.skipped}", {"variant": each.label})
    return found


def _skipped(each: Variant, reason: str) -> Variant:
    return replace(each, settings=None, skipped=reason) if reason else each


def _all_finished(settings: RunConfig, folder: str, seeds: int, out: Path) -> bool:
    runs = seeded(settings, seeds)
    return all(is_finished(each, folder_of(out, folder, each)) for each in runs)


def _rows(
    compared_with: Mapping[str, str],
    variants: Sequence[Variant],
    results: Mapping[str, Sequence[Result]],
    metric: str,
    out: Path,
) -> tuple[list[Row], int]:
    """Compare each variant with another one, each pair of run folders once; count the users."""
    folder = {each.label: each.folder for each in variants if each.settings is not None}
    users, values = per_user(results, metric, out)
    pairs: dict[tuple[str, str], Comparison] = {}
    for label, other in track(compared_with.items(), "Comparing"):
        if label in folder and other in folder and folder[label] != folder[other]:
            ours, theirs = folder[label], folder[other]
            if (ours, theirs) not in pairs:
                pairs[ours, theirs] = compare(values[ours], values[theirs])
    adjusted = dict(zip(pairs, holm([each.p for each in pairs.values()]), strict=True))
    rows = []
    for each in variants:
        if each.settings is None:
            rows.append(Row(each.label, dict(each.attributes), skipped=each.skipped))
            continue
        means = [found.metrics["test"][metric] for found in results[each.folder]]
        other = compared_with.get(each.label, "")
        pair = (each.folder, folder.get(other, ""))
        against = (other, pairs[pair], adjusted[pair]) if pair in pairs else None
        rows.append(row_of(each.label, each.attributes, each.folder, means, against))
    return rows, users


def _identified(
    rows: Sequence[Row],
    asked: Sequence[Variant],
    variants: Sequence[Variant],
    results: Mapping[str, Sequence[Result]],
) -> list[Row]:
    """The rows with the identity of their settings and the fingerprints of their runs.

    Args:
        asked, variants: before and after those that cannot be trained were skipped.
    """
    found = []
    for row, planned, trained in zip(rows, asked, variants, strict=True):
        settings = planned.settings or asked[0].settings
        assert settings is not None
        runs = results[trained.folder if trained.settings else variants[0].folder]
        found.append(
            replace(
                row,
                config_hash=experiment_identity(settings),
                fingerprints=[each.fingerprints for each in runs],
            )
        )
    return found


def per_user(
    results: Mapping[str, Sequence[Result]], metric: str, out: Path
) -> tuple[int, dict[str, Values]]:
    """The metric of every user, ``[seeds, users]`` for each folder."""
    first: pl.Series | None = None
    found: dict[str, Values] = {}
    for name, runs in results.items():
        rows = []
        for each in runs:
            path = RunFolder(out / f"{name}-seed{each.seed}").per_user
            table = read_parquet(path, ["user", metric], RERUN.format(path.parent))
            first = table["user"] if first is None else first
            if not table["user"].equals(first):
                raise DataError(f"{path} is of other users than the runs before it. Remove it.")
            if not (table[metric].dtype.is_numeric() and len(table)):
                raise DataError(f"{path} holds no {metric} of users. {RERUN.format(path.parent)}")
            rows.append(table[metric].to_numpy())
        found[name] = np.stack(rows)
    assert first is not None
    return len(first), found
