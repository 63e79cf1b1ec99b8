"""The page of a study: one HTML file with its plots inside, and the plots beside it."""

import io
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import optuna
from matplotlib.axes import Axes
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import TrialState
from optuna.visualization import matplotlib as draw

from graphrec.files import write_bytes
from graphrec.tuning.record import StudyResult, trial_table
from graphrec.tuning.trials import counted

LEGEND_LINES = 10

Plot = Callable[[], object]
"""Draws, and returns axes or an array of them."""

METRICS_SHOWN = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }
td, th { padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: right }
td, th { white-space: nowrap }
td:first-child, th:first-child { text-align: left }
svg { max-width: 100%; height: auto }
"""


def write_report(out: Path, study: optuna.Study, result: StudyResult) -> None:
    """Write ``plots/*.svg`` and ``report.html``, which needs no other file."""
    parts = [f"<h1>Study {escape(result.name)}</h1>", _facts(result), _finals(result)]
    for title, plot in _plots(study, result).items():
        svg = _svg(plot)
        write_bytes(out / "plots" / f"{title.lower().replace(' ', '-')}.svg", svg.encode())
        parts.append(f"<h2>{title}</h2>\n{svg[svg.index('<svg') :]}")
    table = trial_table(study).drop("worker")
    parts.append("<h2>Trials</h2>" + _table(table.columns, table.rows()))
    page = "\n".join(
        [
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            f"<title>{escape(result.name)}</title><style>{STYLE}</style></head><body>",
            *parts,
            "</body></html>\n",
        ]
    )
    write_bytes(out / "report.html", page.encode())


def _plots(study: optuna.Study, result: StudyResult) -> dict[str, Plot]:
    """What there is to draw: some plots need several trials, or several objectives."""
    name = next(iter(result.objectives))
    values = [each.values[0] for each in counted(study) if each.state == TrialState.COMPLETE]
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
    """Draw on a figure that belongs to nobody else."""
    with mpl.rc_context({"svg.hashsalt": "graphrec", "svg.fonttype": "none"}):
        try:
            axes: list[Axes] = list(np.atleast_1d(np.asarray(plot(), dtype=object)))
            figure = axes[0].get_figure(root=True)
            assert figure is not None
            figure.set_size_inches(max(8.0, 2.4 * len(axes)), 4.5)
            legend = axes[0].get_legend()
            if legend is not None and len(legend.get_texts()) > LEGEND_LINES:
                legend.remove()  # one line per trial would leave no room for the curves
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
        finally:
            plt.close("all")
    return buffer.getvalue()


def _facts(result: StudyResult) -> str:
    goals = ", ".join(f"{way} {name} on valid" for name, way in result.objectives.items())
    counts = ", ".join(f"{count} {state}" for state, count in result.trials.items())
    lines = [
        f"Model {result.model} on {result.dataset}: {goals}.",
        f"Sampler {result.sampler}, pruner {result.pruner}; {counts}; "
        f"{result.seconds:,.0f} s of trials by {result.workers} worker(s).",
        f"Best: trial {result.best_trial}, "
        + ", ".join(f"{name} = {value}" for name, value in result.best_params.items()),
        f"Test part opened: {'; '.join(result.test_openings) or 'never'}.",
    ]
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _finals(result: StudyResult) -> str:
    """The final training, mean and deviation over the fresh seeds."""
    if not result.test:
        return ""
    some = next(iter(result.test.values()))
    names = [name for name in METRICS_SHOWN if name in some] or list(some)
    rows = []
    for label, found in (("valid", result.valid), ("test", result.test)):
        for setting, metrics in found.items():
            figures = [f"{mean:.4f} ± {sd:.4f}" for mean, sd in (metrics[n] for n in names)]
            rows.append([f"{setting}, {label}", *figures])
    return f"<h2>Trained with {len(result.seeds)} fresh seeds</h2>" + _table(["", *names], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def line(cells: Sequence[object], tag: str) -> str:
        shown = ("" if each is None else _short(each) for each in cells)
        return "<tr>" + "".join(f"<{tag}>{escape(each)}</{tag}>" for each in shown) + "</tr>"

    return f"<table>{line(header, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
