"""Write benchmarks/README.md from results/*.csv: python benchmarks/make_readme.py.

One table per file; seeds of one configuration are averaged. Nothing here is typed by hand but the
introduction; a number that is not in a results file is not in the page.
"""

import csv
import statistics
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from graphrec.report.tables import spread

HERE = Path(__file__).parent
INTRODUCTION = """# Benchmarks

Written by `python benchmarks/make_readme.py` from `results/*.csv`; not edited by hand. Each line of
those files is one `graphrec run`, added by `graphrec report RUN... --append FILE`, with the hash of
its configuration and the fingerprints of its data, split, features and protocol. They are made anew
and compared by `python benchmarks/identities.py`. `published` is the value that the configuration
carries with its source; `computed` stands before one that no paper prints and another program
computed. The verdict is about its tolerance. A star marks an epoch chosen on test.

A paper configuration that is not in a table stands under "Not run": its number is not known here.
"""
TUNED = """Each line of `results/tuning/` is one study of `graphrec tune`; its trials are counted.
The hash of a line is that of its configuration and space, without the budget.
`own` is the configuration as it stood, `best` the winner. Valid is the score searched for,
with one seed; test is the mean over seeds that the search had not seen. Seconds: of all trials.
"""
STUDIES = """Each line of `results/fusion/modality.csv` and `missing.csv` is one variant of a study
of `graphrec modality` or `graphrec missing`, each line of `grid.csv` one cell of `graphrec fusion`:
means over fresh seeds on test, the difference to another line with its 95% interval over users and
seeds, and p of a paired test over users by Holm's method. What they say: `docs/fusion.md`.
The hash of a line is that of its own settings, before a search; a line that was skipped has the
identity of what it would have been compared with. Of `modality.csv` and `missing.csv` 22 lines lack
the fingerprint of their features: it was not kept, and networks and eigenvectors differ in their
last digits from machine to machine.
"""
DEFAULTS = """What the defaults of `modality_attention_gcn` were chosen by: recall@20 / ndcg@20 on
the validation part, seed 0 unless another is named. The runs used the calls of
`defaults/study.py`, which measures what is missing; the one on Amazon Baby was started by it. The
test part stayed sealed. Data: `suites/defaults/*.toml`; settings of each candidate:
`defaults/candidates.toml`, and in `defaults/valid.csv`. A star marks a candidate that is ahead of
ItemKNN and EASE by both metrics.
"""
COMPUTED = "no paper prints it"
"""Start of ``paper.table`` where the value to compare with is another program's."""
SHOWN = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for path in sorted((HERE / "results").glob("*.csv")):
        parts.append(f"## {path.stem}\n\n{table(_rows(path))}\n")
    for path in sorted((HERE / "results" / "tuning").glob("*.csv")):
        parts.append(f"## Tuned: {path.stem}\n\n{TUNED}\n{tuning_table(_rows(path))}\n")
    defaults = _rows(HERE / "defaults" / "valid.csv")
    parts.append(f"## Defaults of the flagship\n\n{DEFAULTS}\n{defaults_table(defaults)}\n")
    fusion = HERE / "results" / "fusion"
    parts.append(f"## Fusion\n\n{STUDIES}")
    for path, made in (
        (fusion / "modality.csv", study_table),
        (fusion / "missing.csv", study_table),
    ):
        for name, rows in by_name(_rows(path)).items():
            parts.append(f"### {path.stem.capitalize()}: {name}\n\n{made(rows)}\n")
    for name, rows in grids(_rows(fusion / "grid.csv")).items():
        parts.append(f"### Grid: {name}\n\n{grid_table(rows)}\n")
    ran = {row["name"] for path in (HERE / "results").glob("*.csv") for row in _rows(path)}
    configs = sorted((HERE.parent / "paper_configs").glob("*.toml"))
    papers = [path.stem for path in configs if "paper" in tomllib.loads(path.read_text("utf-8"))]
    missing = [name for name in papers if name not in ran]
    if missing:
        parts.append("## Not run\n\n" + "\n".join(f"- {name}" for name in missing) + "\n")
    return "\n".join(parts)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


Groups = dict[str, list[dict[str, str]]]


def by_name(rows: Sequence[dict[str, str]]) -> Groups:
    """The rows of each configuration."""
    return _grouped(rows, lambda row: row["name"])


def grids(rows: Sequence[dict[str, str]]) -> Groups:
    """The cells of each grid; one that ran under two budgets is two."""
    return _grouped(rows, lambda row: f"{row['grid']}, {row['budget_trials']} trials")


def _grouped(rows: Sequence[dict[str, str]], key: Callable[[dict[str, str]], str]) -> Groups:
    groups: Groups = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def source_of(name: str) -> str:
    """``computed`` where the values to compare with are not published, else nothing."""
    path = HERE.parent / "paper_configs" / f"{name}.toml"
    paper = tomllib.loads(path.read_text("utf-8")).get("paper", {}) if path.exists() else {}
    return "computed " if str(paper.get("table", "")).startswith(COMPUTED) else ""


def table(rows: Sequence[dict[str, str]]) -> str:
    """One line per configuration: seeds, best epochs, test metrics, published values."""
    groups = by_name(rows)
    lines = [
        ["configuration", "seeds", "best epoch", *SHOWN, "published", "verdict"],
        ["---", "---:", "---:", *["---:"] * len(SHOWN), "---", "---"],
    ]
    for name, members in groups.items():
        star = "*" if members[0]["selection"] == "best_test_epoch" else ""
        verdicts = sorted(
            {word.rpartition(":")[2] for m in members for word in m["verdict"].split()}
        )
        lines.append(
            [
                name + star,
                str(len(members)),
                ", ".join(member["best_epoch"] for member in members),
                *(_figure(members, metric) for metric in SHOWN),
                source_of(name) + members[0]["published"].replace(" ", ", ") or "-",
                ", ".join(verdicts) or "-",
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tuning_table(rows: Sequence[dict[str, str]]) -> str:
    """Two lines per study: the configuration as it stood, and the winner."""
    lines = [
        ["study", "complete / pruned / failed", "seconds", "valid recall@20", "seeds"],
        ["---", *["---:"] * 6],
    ]
    lines[0] += ["test recall@20", "test ndcg@20"]
    for row in rows:
        counts = f"{row['complete']} / {row['pruned']} / {row['failed']}"
        for which, cost in (("own", ["", ""]), ("best", [counts, row["seconds"]])):
            seeds = len(row["seeds"].split())
            figures = [
                spread([*map(float, row[f"test {which} {metric}"].split())], seeds)
                for metric in ("recall@20", "ndcg@20")
            ]
            valid = f"{float(row[which]):.4f}"
            lines.append([f"{row['name']}, {which}", *cost, valid, str(seeds), *figures])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def defaults_table(rows: Sequence[dict[str, str]]) -> str:
    """One line per candidate and seed, one column per data set."""
    data = list(dict.fromkeys(row["data"] for row in rows))
    found = {(_candidate(row), row["data"]): row for row in rows}
    lines = [["candidate", *data], ["---", *["---:"] * len(data)]]
    for name in dict.fromkeys(map(_candidate, rows)):
        cells = [found.get((name, where)) for where in data]
        lines.append([name, *(_valid(row, found) if row else "" for row in cells)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _candidate(row: dict[str, str]) -> str:
    return row["candidate"] + (f", seed {row['seed']}" if row["seed"] != "0" else "")


def _valid(row: dict[str, str], found: dict[tuple[str, str], dict[str, str]]) -> str:
    metrics = ("recall@20", "ndcg@20")
    baselines = [found[name, row["data"]] for name in ("itemknn", "ease")]
    best = all(float(row[m]) > max(float(each[m]) for each in baselines) for m in metrics)
    return f"{row['recall@20']} / {row['ndcg@20']}" + (" \\*" if best else "")


def study_table(rows: Sequence[dict[str, str]]) -> str:
    """One line per variant, beside the one it is compared with."""
    metric = rows[0]["metric"]
    lines = [
        ["variant", "seeds", metric, "compared with", "difference", "95% interval", "p"],
        ["---", "---:", "---:", "---", "---:", "---", "---:"],
    ]
    for row in rows:
        if row["skipped"]:
            lines.append([row["variant"], "", "skipped", "", "", "", ""])
            continue
        seeds = len(row["seeds"].split())
        mean = spread((float(row["mean"]), float(row["deviation"])), seeds)
        lines.append([row["variant"], str(seeds), mean, row["against"], *_difference(row, "p")])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def grid_table(rows: Sequence[dict[str, str]]) -> str:
    """One line per cell, beside the reference; those that were skipped follow with the reason."""
    metric = rows[0]["metric"]
    lines = [
        ["cell", "seeds", "parameters", f"valid {metric}", f"test {metric}", "to reference"],
        ["---", "---:", "---:", "---:", "---:", "---:", "---", "---:"],
    ]
    lines[0] += ["95% interval", "p"]
    skipped = []
    for row in rows:
        if row["skipped"]:
            skipped.append(f"- {row['name']}: {row['skipped']}")
            continue
        seeds = len(row["seeds"].split())
        measured = (row[f"{part} {metric}"].split() for part in ("valid", "test"))
        figures = [spread([*map(float, values)], seeds) for values in measured]
        name = f"{row['name']} ({row['mark']})" if row["mark"] else row["name"]
        parameters = f"{int(row['parameters']):,}"
        lines.append([name, str(seeds), parameters, *figures, *_difference(row, "p_holm")])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([table, *(["", "Skipped:", "", *skipped] if skipped else [])])


def _difference(row: dict[str, str], p: str) -> list[str]:
    if not row["difference"]:
        return ["", "", ""]
    difference, low, high = (float(row[name]) for name in ("difference", "low", "high"))
    return [f"{difference:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{float(row[p]):.2g}"]


def _figure(members: Sequence[dict[str, str]], metric: str) -> str:
    values = [float(member[f"test {metric}"]) for member in members]
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return spread((statistics.fmean(values), deviation), len(values))


if __name__ == "__main__":
    (HERE / "README.md").write_text(page(), encoding="utf-8")
