"""Write the page of a study: one HTML file with its plots inside, and the plots beside it."""

from collections.abc import Callable
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import optuna
from matplotlib.axes import Axes
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import TrialState
from optuna.visualization import matplotlib as draw

from graphrec.core.files import write_bytes
from graphrec.core.names import quantity
from graphrec.report.html import html_table, inlined, paragraphs, write_page
from graphrec.report.svg import as_svg, literal_text
from graphrec.report.tables import spread
from graphrec.tuning.record import trial_table
from graphrec.tuning.result import StudyResult
from graphrec.tuning.trials import counted

LEGEND_LINES = 10

Plot = Callable[[], object]
"""Function that draws, and returns axes or an array of axes."""

METRICS_SHOWN = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def write_report(out: Path, study: optuna.Study, result: StudyResult) -> None:
    """Write ``plots/*.svg`` and ``report.html``, which needs no other file."""
    parts = [f"<h1>Study {escape(result.name)}</h1>", _facts(result), _finals(result)]
    for title, plot in _plots(study, result).items():
        svg = _svg(plot)
        write_bytes(out / "plots" / f"{title.lower().replace(' ', '-')}.svg", svg.encode())
        parts.append(f"<h2>{title}</h2>\n{inlined(svg)}")
    table = trial_table(study).drop("worker")
    parts.append("<h2>Trials</h2>" + html_table(table.columns, table.rows()))
    write_page(out / "report.html", result.name, parts)


def _plots(study: optuna.Study, result: StudyResult) -> dict[str, Plot]:
    """Return the plots of a study: some need several trials, or several objectives."""
    name = next(iter(result.objectives))
    values = [trial.values[0] for trial in counted(study) if trial.state == TrialState.COMPLETE]
    several = len(result.objectives) > 1
    target = (lambda trial: trial.values[0]) if several else None
    plots: dict[str, Plot] = {
        "History": lambda: draw.plot_optimization_history(study, target=target, target_name=name)
    }
    if len(set(values)) > 1:
        forest = FanovaImportanceEvaluator(seed=0)
        plots["Importance"] = lambda: draw.plot_param_importances(
            study, forest, target=target, target_name=name
        )
    plots["Slices"] = lambda: draw.plot_slice(study, target=target, target_name=name)
    if len(study.trials[0].params) > 1 and len(values) > 1:
        plots["Parallel coordinates"] = lambda: draw.plot_parallel_coordinate(
            study, target=target, target_name=name
        )
    if several and len(result.objectives) < 4:
        names = list(result.objectives)
        plots["Pareto front"] = lambda: draw.plot_pareto_front(study, target_names=names)
    if not several:
        plots["Validation curves"] = lambda: draw.plot_intermediate_values(study)
    plots["Time line"] = lambda: draw.plot_timeline(study)
    return plots


def _svg(plot: Plot) -> str:
    """Draw a plot on a new figure and return it as SVG."""
    try:
        with literal_text():
            axes: list[Axes] = list(np.atleast_1d(np.asarray(plot(), dtype=object)))
        figure = axes[0].get_figure(root=True)
        assert figure is not None
        figure.set_size_inches(max(8.0, 2.4 * len(axes)), 4.5)
        legend = axes[0].get_legend()
        if legend is not None and len(legend.get_texts()) > LEGEND_LINES:
            legend.remove()  # one line per trial would leave no room for the curves
        return as_svg(figure)
    finally:
        plt.close("all")


def _facts(result: StudyResult) -> str:
    goals = ", ".join(f"{way} {name} on valid" for name, way in result.objectives.items())
    counts = ", ".join(f"{count} {state}" for state, count in result.trials.items())
    lines = [
        f"Model {result.model} on {result.dataset}: {goals}.",
        f"Sampler {result.sampler}, pruner {result.pruner}; {counts}; "
        f"{result.seconds:,.0f} s of trials by {quantity(result.workers, 'worker')}.",
        f"Best: trial {result.best_trial}, "
        + ", ".join(f"{name} = {value}" for name, value in result.best_params.items()),
        f"Test part opened: {'; '.join(result.test_openings) or 'never'}.",
    ]
    return paragraphs(lines)


def _finals(result: StudyResult) -> str:
    """Return a table of the final training, mean and deviation over the fresh seeds."""
    if not result.test:
        return ""
    some = next(iter(result.test.values()))
    names = [name for name in METRICS_SHOWN if name in some] or list(some)
    rows = []
    for label, by_setting in (("valid", result.valid), ("test", result.test)):
        for setting, metrics in by_setting.items():
            figures = [spread(metrics[name], len(result.seeds)) for name in names]
            rows.append([f"{setting}, {label}", *figures])
    seeds = quantity(len(result.seeds), "fresh seed")
    return f"<h2>Trained with {seeds}</h2>" + html_table(["setting", *names], rows)
