"""The command ``graphrec fusion``."""

import csv
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from graphrec import RunConfig
from graphrec.cli import console
from graphrec.core.files import write_json
from graphrec.studies import fusion as grid_module
from graphrec.tuning import search as search_module
from tests import flow
from tests.flow import graphrec
from tests.studies import test_fusion as grids
from tests.tuning import small

GUIDE = Path(__file__).parents[2] / "docs" / "fusion_grid.md"


@pytest.fixture(autouse=True)
def _without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "write_report", lambda *_: None)


def write(folder: Path, table: flow.Table) -> Path:
    write_json(folder / "shop.json", table)
    return folder / "shop.json"


def options(how: str = "attention,sum") -> list[str]:
    return ["--backbones", "none", "--where", "early", "--how", how]


def test_a_grid_fits_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "FILE_WIDTH", 80)
    path = write(tmp_path, grids.table_of())
    answer = graphrec(
        "fusion", path, *options(), "--trials", "1", "--seeds", "2", "--out", tmp_path / "g",
        "--append", tmp_path / "grids.csv", "--set", "evaluation.top_k=[5]",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    names = ("none-early-attention", "none-early-sum", "lightgcn-early-attention")
    tables, _, paths = answer.out.partition("Folder of the grid")
    lines = tables.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in tables
    assert [sum(f"│ {name} " in line for line in lines) for name in names] == [2, 2, 1]
    assert "Best on valid: " in tables
    assert "Compared with lightgcn-early-attention on test" in tables
    assert "fusion = attention" in answer.out
    assert str(tmp_path / "g") in paths
    with (tmp_path / "grids.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["trials"] for line in lines] == ["1", "1", "1"]
    assert {line["seeds"] for line in lines} == {"1 2"}


def test_the_answer_can_be_json_and_nothing_need_be_tuned(tmp_path: Path) -> None:
    path = write(tmp_path, grids.table_of())
    answer = graphrec(
        "fusion", path, *options("sum"), "--trials", "0", "--seeds", "1", "--out", tmp_path / "g",
        "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["budget"] == {"trials": 0, "seconds": None}
    assert len(found["cells"]) == 2
    assert found == json.loads((tmp_path / "g" / "fusion.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--how", "atention"], "Did you mean 'attention'"),
        (["--how", " , "], "--how is empty"),
        (["--set", "model.fusion=concta"], "Did you mean 'concat'"),
        (["--set", "tune.trails=9"], "Did you mean 'trials'"),
    ],
)
def test_bad_input_is_one_paragraph(arguments: list[str], message: str, tmp_path: Path) -> None:
    path = write(tmp_path, grids.table_of())
    answer = graphrec("fusion", path, "--out", tmp_path / "g", *arguments)
    assert message in flow.refusal(answer)
    assert not (tmp_path / "g").exists()


def test_a_model_without_fusion_is_refused(tmp_path: Path) -> None:
    answer = graphrec("fusion", write(tmp_path, small.table_of()), "--out", tmp_path / "g")
    assert "'mf' has no settings" in flow.refusal(answer)


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sys.modules["graphrec.tuning"].find_spec  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "graphrec.tuning.find_spec", lambda name: None if name == "optuna" else real(name)
    )
    message = flow.refusal(graphrec("fusion", write(tmp_path, grids.table_of())))
    assert "install with pip install 'graphrec[tune]'" in message


def test_an_interruption_ends_cleanly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graphrec.studies.fusion.run_grid", interrupt)
    path = write(tmp_path, grids.table_of())
    answer = graphrec("fusion", path, *options(), "--out", tmp_path / "g")
    assert answer.code == 130
    assert f"Stopped. Go on with: graphrec fusion {path} " in answer.err


def test_the_commands_of_the_guide_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    assert len(lines) == 1
    text = "\n".join(
        f'[features.{name}]\nencoder = "tfidf"\ncolumns = ["{name}"]\ndim = 4\nmin_df = 1'
        for name in ("text", "title")
    )
    data = flow.data()
    (tmp_path / "shop.toml").write_text(
        f'[data]\npath = "{data}/pairs.csv"\nuser = "who"\nitem = "what"\ntime = "when"\n'
        f'items = "{data}/items.csv"\nitems_id = "what"\n[split]\nkind = "temporal_user"\n{text}\n'
        '[model]\nname = "modality_attention_gcn"\ndim = 4\n[training]\nmax_epochs = 2\n'
        '[evaluation]\ntop_k = [5]\nvalid_metric = "ndcg@5"\n[run]\nrecommend_k = 5\n',
        encoding="utf-8",
    )
    real = grid_module.run_grid

    def shortened(config: RunConfig, *given: object, **more: object) -> object:
        assert (config.tune.trials, config.tune.final_seeds, more["tuned"]) == (2, 2, True)
        tune = config.tune.model_copy(update={"final_seeds": 1})
        return real(config.model_copy(update={"tune": tune}), *given, tuned=False)  # type: ignore[arg-type]

    monkeypatch.setattr(grid_module, "run_grid", shortened)
    monkeypatch.chdir(tmp_path)
    for line in lines:
        answer = graphrec(*shlex.split(line)[1:])
        assert answer.code == 0, answer.err
    assert (tmp_path / "studies/shop-fusion/report.html").exists()
