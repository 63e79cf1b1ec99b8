"""Write benchmarks/README.md from results/*.csv: python benchmarks/make_readme.py.

One table per file; seeds of one configuration are averaged. Nothing here is typed by hand but the
introduction; a number that is not in a results file is not in the page.
"""

import csv
import statistics
import tomllib
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
INTRODUCTION = """# Benchmarks

Written by `python benchmarks/make_readme.py` from `results/*.csv`; not edited by hand. Each line of
those files is one `graphrec run`, added by `graphrec report RUN... --append FILE`, with its
configuration hash and fingerprints. `published` is the value that the configuration carries with
its source; the verdict is about its tolerance. A star marks an epoch chosen on test.

A paper configuration that is not in a table stands under "Not run": its number is not known here.
"""
SHOWN = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for path in sorted((HERE / "results").glob("*.csv")):
        parts.append(f"## {path.stem}\n\n{table(_rows(path))}\n")
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


def table(rows: Sequence[dict[str, str]]) -> str:
    """One line per configuration: seeds, best epochs, test metrics, published values."""
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(row["name"], []).append(row)
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
                members[0]["published"].replace(" ", ", ") or "-",
                ", ".join(verdicts) or "-",
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _figure(members: Sequence[dict[str, str]], metric: str) -> str:
    values = [float(member[f"test {metric}"]) for member in members]
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{spread}"


if __name__ == "__main__":
    (HERE / "README.md").write_text(page(), encoding="utf-8")
