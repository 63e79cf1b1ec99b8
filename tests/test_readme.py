"""Every command and code block of the README is run, in the order in which it stands there."""

import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests import flow

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = {"make demo", "make test"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = (line.split("#")[0].strip() for block in blocks("bash") for line in block.splitlines())
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the README's example talks about, with its configuration."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(0)
    pairs = [(user, item) for user in range(40) for item in rng.choice(30, 8, replace=False)]
    users, items = zip(*pairs, strict=True)
    pl.DataFrame(
        {
            "customer": [f"c{user}" for user in users],
            "product": [f"p{item}" for item in items],
            "when": range(len(pairs)),
        }
    ).write_csv(folder / "ratings.csv")
    titles = [f"{'red' if item % 2 else 'blue'} thing {item % 5}" for item in range(30)]
    pl.DataFrame({"product": [f"p{item}" for item in range(30)], "title": titles}).write_csv(
        folder / "products.csv"
    )
    (folder / "shop.toml").write_text(blocks("toml")[0], encoding="utf-8")
    (folder / "paper_configs").symlink_to(ROOT / "paper_configs")
    return folder


@pytest.fixture(autouse=True)
def there(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)


def test_the_commands_for_your_own_data_run(shop: Path) -> None:
    own = [line for line in commands() if "shop" in line and line.startswith("graphrec")]
    assert len(own) == 5
    for line in own:
        answer = flow.graphrec(*line.split()[1:])
        assert answer.code == 0, f"{line}: {answer.err}"


def test_the_python_example_runs(shop: Path) -> None:
    exec(blocks("python")[0], {})


def test_the_other_commands_run(shop: Path) -> None:
    """Commands on the bundled data; one that needs other data runs where there are some."""
    for line in commands():
        if line in TARGETS or "shop" in line:
            continue
        arguments = line.split()[1:]
        if arguments[0] == "run" and "GRAPHREC_DATA" not in os.environ:
            arguments[0:1] = ["check", "--no-data"]
        answer = flow.graphrec(*arguments)
        assert answer.code == 0, f"{line}: {answer.err}"


def test_the_quick_start_runs(shop: Path) -> None:
    """The command behind make demo, for one epoch."""
    line = "graphrec run paper_configs/quickstart.toml"
    assert line in README
    answer = flow.graphrec(*line.split()[1:], "training.max_epochs=1")
    assert answer.code == 0, answer.err
    for word in ("popular", "itemknn", "recommended:", "Run folder:"):
        assert word in answer.out


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in TARGETS:
        assert target in commands()
        assert re.search(rf"^{target.split()[1]}:", makefile, flags=re.MULTILINE)
