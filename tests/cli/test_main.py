"""The command line: help, JSON for scripts, exit codes."""

import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from graphrec import read_result
from graphrec.cli.main import app
from graphrec.data import CATALOG
from graphrec.models import MODELS
from graphrec.papers.cite import citation
from tests import flow


def commands() -> dict[str, TyperCommand]:
    """Every command by its words."""
    found: dict[str, TyperCommand] = {}

    def walk(group: TyperGroup, words: tuple[str, ...]) -> None:
        for name, command in group.commands.items():
            if isinstance(command, TyperGroup):
                walk(command, (*words, name))
            elif isinstance(command, TyperCommand):
                found[" ".join((*words, name))] = command

    root = get_command(app)
    assert isinstance(root, TyperGroup)
    walk(root, ())
    return found


ALL = commands()


def without_spaces(text: str) -> str:
    return "".join(text.split())


def columns_of(out: str) -> list[str]:
    """The text of each column of a printed table, which may go on in the next line, in one piece.

    Spaces are left out: it is at them that a text goes on in the next line.
    """
    rows = [line.split("\u2502")[1:-1] for line in out.splitlines() if line[:1] == "\u2502"]
    return [without_spaces("".join(column)) for column in zip(*rows, strict=True)]


def test_the_commands_are_these() -> None:
    """A command is a promise: removing or renaming one breaks scripts."""
    wanted = {"run", "list", "data list", "data info", "data get", "recommend", "report", "check"}
    assert wanted | {"cite", "doctor", "embed", "encode"} <= set(ALL)


@pytest.mark.parametrize("words", ALL)
def test_every_command_has_help_with_an_example(words: str) -> None:
    answer = flow.graphrec(*words.split(), "--help")
    assert answer.code == 0
    assert f"Example: graphrec {words}" in " ".join(answer.out.split())


@pytest.mark.parametrize("words", ALL)
def test_every_option_and_argument_has_help(words: str) -> None:
    for parameter in ALL[words].params:
        assert getattr(parameter, "help", None), parameter.name


@pytest.mark.parametrize("words", [(), ("data",)])
def test_without_a_command_the_help_is_shown(words: tuple[str, ...]) -> None:
    answer = flow.graphrec(*words)
    assert "Usage" in answer.out + answer.err


def test_python_m_graphrec_is_the_command_line(tmp_path: Path) -> None:
    """A real process: exit code 2, one paragraph on stderr, nothing on stdout."""
    command = [sys.executable, "-m", "graphrec", "run", "none.toml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: Cannot read configuration none.toml: No such file or directory.\n"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_command_or_option_is_exit_code_2() -> None:
    assert flow.graphrec("rnu").code == 2
    assert flow.graphrec("run", "x.toml", "--otu", "y").code == 2


# run


def test_the_last_line_of_run_json_is_one_object(tmp_path: Path) -> None:
    config = flow.write_config(flow.data())
    answer = flow.graphrec("run", config, "--out", tmp_path / "run", "--json")
    assert answer.code == 0
    last = json.loads(answer.out.splitlines()[-1])
    assert last == {
        "run_dir": str(tmp_path / "run"),
        "metrics": read_result(tmp_path / "run").metrics,
        "better_baselines": [],
    }


def test_run_shows_metrics_baselines_examples_and_the_folder(tmp_path: Path) -> None:
    config = flow.write_config(flow.data())
    out = tmp_path / "run"
    answer = flow.graphrec("run", config, 'evaluation.baselines=["popular"]', "--out", out)
    result = read_result(out)
    assert answer.code == 0
    assert "recall@5" in answer.out
    for values in (result.metrics["test"], result.baselines["popular"]):
        assert f"{values['recall@5']:.4f}" in answer.out
    assert "popular" in answer.out
    assert f"User {result.examples[0].user}" in answer.out
    assert str(out) in answer.out


def test_the_log_is_plain_where_there_is_no_terminal(tmp_path: Path) -> None:
    config = flow.write_config(flow.data(), "popular")
    answer = flow.graphrec("run", config, "--out", tmp_path / "run")
    assert "\x1b" not in answer.out + answer.err
    assert "Test part opened: final evaluation" in answer.err
    for line in answer.err.splitlines():
        assert line[2] == line[5] == ":", line  # each begins with the time


def test_run_makes_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = flow.write_config(flow.data(), "popular")
    answer = flow.graphrec("run", config, "--json")
    (folder,) = Path("runs").iterdir()
    assert json.loads(answer.out)["run_dir"] == str(folder)
    assert "-popular-" in folder.name


@pytest.mark.parametrize(("published", "code"), [(1.0, 1), (0.0, 0)])
def test_a_missed_published_number_is_exit_code_1(
    published: float, code: int, tmp_path: Path
) -> None:
    table = flow.table_of(flow.data(), "popular")
    table |= {"paper": {"key": "graphrec", "table": "1"}, "published": {"recall@5": published}}
    config = tmp_path / "paper.json"
    config.write_text(json.dumps(table))
    answer = flow.graphrec("run", config, "--out", tmp_path / "run")
    assert answer.code == code
    assert "Beside the published numbers" in answer.out
    assert {1: "below", 0: "above"}[code] in answer.out


def test_an_epoch_chosen_on_test_is_marked(tmp_path: Path) -> None:
    config = flow.write_config(flow.data(), "mf")
    out = tmp_path / "run"
    answer = flow.graphrec("run", config, "evaluation.selection=best_test_epoch", "--out", out)
    assert "mf*" in answer.out
    assert "The epoch was chosen on the test part" in answer.out


# list, data, check


@pytest.mark.parametrize(
    "kind", ["models", "datasets", "encoders", "fusions", "metrics", "protocols", "papers"]
)
def test_every_kind_of_name_is_listed_with_a_text(kind: str) -> None:
    answer = flow.graphrec("list", kind, "--json")
    names = json.loads(answer.out)
    assert names
    assert all(names.values())
    plain = columns_of(flow.graphrec("list", kind).out)
    assert all(without_spaces(name) in plain[0] for name in names)
    if kind != "papers":  # whose text is a path, which the title has for all of them
        assert all(without_spaces(text) in plain[1] for text in names.values())


def test_listed_papers_have_a_paper_each() -> None:
    """quickstart.toml and other examples are configurations, but reproduce nothing."""
    papers = json.loads(flow.graphrec("list", "papers", "--json").out)
    assert "he2020lightgcn_lightgcn_gowalla" in papers
    assert all("[paper]" in Path(path).read_text() for path in papers.values())
    assert "quickstart" not in papers
    assert "NAME.toml" in flow.graphrec("list", "papers").out.splitlines()[0]


def test_the_listed_models_are_the_table() -> None:
    assert set(json.loads(flow.graphrec("list", "models", "--json").out)) == set(MODELS)


def test_data_list_and_info_know_every_data_set() -> None:
    assert set(json.loads(flow.graphrec("data", "list", "--json").out)) == set(CATALOG)
    for name, entry in CATALOG.items():
        facts = json.loads(flow.graphrec("data", "info", name, "--json").out)
        assert facts["title"] == entry.title
        assert {"page", "licence", "cite", "split"} <= set(facts)
        texts = columns_of(flow.graphrec("data", "info", name).out)[1]
        assert without_spaces(entry.page) in texts


def test_data_list_shows_sizes_and_licences() -> None:
    shown = flow.graphrec("data", "list").out
    facts = json.loads(flow.graphrec("data", "list", "--json").out)
    for name, entry in CATALOG.items():
        line = next(line for line in shown.splitlines() if f" {name} " in line)
        for size in ("users", "items", "interactions"):
            assert f" {entry.counts[size]:,} " in line
            assert facts[name][size] == entry.counts[size]
        assert f" {entry.licence[:7]}" in line  # long ones go on in the lines below
        assert facts[name]["licence"] == entry.licence
        assert facts[name]["title"] == entry.title


def test_data_info_shows_files_arrays_and_columns() -> None:
    wanted = {
        "gowalla": ["train.txt (lines: user item item ...)", "test.txt.gz"],
        "tiktok": ["tiktok.npz (arrays train, valid, test)"],
        "amazon-sports": ["splits.npz (arrays mmrec_train", "item_text.jsonl.gz (columns item)",
                          "sports.inter (columns userID, itemID, x_label)"],
        "online-retail": ["raw.parquet (columns CustomerID, StockCode, InvoiceDate, Quantity"],
        "ml-1m": ["ml-1m.inter (columns user_id, item_id, timestamp, rating)", "movie_title"],
        "microlens-50k": ["interactions.npz (arrays user, video_id, position)", "titles.csv.gz"],
    }  # fmt: skip
    for name, texts in wanted.items():
        facts = json.loads(flow.graphrec("data", "info", name, "--json").out)
        files = " ".join(facts.values())
        assert [text for text in texts if text not in files] == []
        assert "found in" in facts


def test_data_info_tells_whether_files_of_the_release_are_the_right_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHREC_DATA", str(tmp_path))
    source = Path(__file__).parents[2] / "data/online-retail/raw.parquet"
    (tmp_path / "online-retail").mkdir()
    copy = tmp_path / "online-retail/raw.parquet"
    copy.write_bytes(source.read_bytes())
    (tmp_path / "amazon-baby").mkdir()
    (tmp_path / "amazon-baby/text_feat.npy").write_bytes(b"other")

    def facts(name: str) -> dict[str, str]:
        found = json.loads(flow.graphrec("data", "info", name, "--json").out)
        return {str(key): str(value) for key, value in found.items()}

    assert facts("online-retail")["release: raw.parquet"].endswith("here: the right one")
    changed = bytearray(copy.read_bytes())
    changed[1000] ^= 1
    copy.write_bytes(changed)
    assert "here: another file: sha256" in facts("online-retail")["release: raw.parquet"]
    baby = facts("amazon-baby")
    assert baby["release: text_feat.npy"].endswith("here: another file: 5 bytes")
    assert "6667f2ad655c9ecc" in baby["release: text_feat.npy"]
    assert baby["release: image_feat.npy"].endswith("here: absent")
    assert baby["release: image_feat.npy"].startswith("231,014,528 bytes")


def test_data_info_of_an_unknown_name_is_refused() -> None:
    answer = flow.graphrec("data", "info", "gowala")
    assert answer.code == 2
    assert "Did you mean 'gowalla'?" in answer.err


def test_data_get_from_copies_verifies_and_counts(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "data"
    answer = flow.graphrec(
        "data", "get", "online-retail", "--from", source, "--to", tmp_path / "raw"
    )
    assert answer.code == 0, answer.err
    entry = CATALOG["online-retail"]
    folder = tmp_path / "raw" / entry.folder
    assert (folder / "raw.parquet").stat().st_size == (
        source / entry.folder / "raw.parquet"
    ).stat().st_size
    assert str(folder) in answer.out
    assert "users" in answer.out


def test_data_get_from_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    answer = flow.graphrec("data", "get", "gowalla", "--from", tmp_path, "--to", tmp_path / "raw")
    assert answer.code == 2
    assert "'gowalla'" in answer.err
    assert str(tmp_path) in answer.err


def test_check_gives_the_hash_of_every_configuration() -> None:
    config = flow.write_config(flow.data())
    answer = flow.graphrec("check", config, "--json")
    assert json.loads(answer.out) == {str(config): read_result(flow.finished()).config_hash}
    changed = flow.graphrec("check", config, "--set", "model.dim=4", "--json")
    assert json.loads(changed.out) != json.loads(answer.out)


def test_check_refuses_a_bad_configuration() -> None:
    answer = flow.graphrec("check", flow.write_config(flow.data()), "--set", "model.dim=0")
    assert answer.code == 2
    assert "model.dim" in answer.err


# recommend


def test_recommend_json_is_the_table_of_the_run() -> None:
    run = flow.finished()
    answer = flow.graphrec("recommend", run, "--user", "u07", "--user", "u01", "--k", "5", "--json")
    rows = json.loads(answer.out)
    assert [row["user"] for row in rows] == ["u07"] * 5 + ["u01"] * 5
    stored = pl.read_parquet(run / "recommendations.parquet")
    stored = stored.select("user", "item", "rank", "score")
    for row in rows:
        wanted = stored.filter(user=row["user"], rank=row["rank"]).row(0, named=True)
        assert {key: row[key] for key in wanted} == wanted
        assert row["title"] == f"Title {int(row['item'][1:])}"


def test_recommend_shows_a_table() -> None:
    answer = flow.graphrec("recommend", flow.finished(), "--user", "u01", "--k", "3")
    assert answer.code == 0
    assert answer.out.count("u01") == 3
    assert "Title" in answer.out


# report, cite, doctor


def test_report_formats_are_what_they_say() -> None:
    runs = [flow.finished("mf"), flow.finished("mf", "run.seed=1"), flow.finished("popular")]
    metrics = ["--metrics", "recall@5,ndcg@5"]
    answers = {
        style: flow.graphrec("report", *runs, *metrics, "--format", style).out
        for style in ("table", "md", "latex", "csv", "json")
    }
    rows = json.loads(answers["json"])
    assert [(row["name"], row["seeds"]) for row in rows] == [("mf", 2), ("popular", 1)]
    header, *body = csv.reader(answers["csv"].splitlines())
    assert header == ["model", "seeds", "recall@5", "ndcg@5"]
    assert [line[0] for line in body] == ["mf", "popular"]
    assert answers["md"].splitlines()[1] == "| --- | ---: | ---: | ---: |"
    assert answers["latex"].startswith(r"\begin{tabular}{lrrr}")
    results = [read_result(each) for each in runs]
    for row, group in ((rows[0], results[:2]), (rows[1], results[2:])):
        for metric in ("recall@5", "ndcg@5"):
            values = [each.metrics["test"][metric] for each in group]
            assert row["mean"][metric] == pytest.approx(statistics.fmean(values), abs=1e-12)
            for style in ("table", "md", "latex", "csv"):
                assert f"{statistics.fmean(values):.4f}" in answers[style], (style, metric)


def test_report_refuses_runs_of_different_protocols() -> None:
    other = flow.finished("mf", "evaluation.protocol=mmrec", "evaluation.valid_metric=ndcg@5")
    answer = flow.graphrec("report", flow.finished("mf"), other, "--metrics", "recall@5")
    assert (answer.code, answer.out) == (2, "")
    assert "not comparable: different protocol" in answer.err


def test_report_append_adds_each_run_once(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    runs = [flow.finished("mf"), flow.finished("popular")]
    command = ["report", *runs, "--metrics", "recall@5", "--append", path]
    assert "2 of 2 runs added" in flow.graphrec(*command).err
    first = path.read_bytes()
    assert "0 of 2 runs added" in flow.graphrec(*command).err
    assert path.read_bytes() == first


def test_cite_prints_each_entry_once() -> None:
    answer = flow.graphrec("cite", "lightgcn", "gowalla", "lightgcn")
    assert answer.out.count("@") >= 2
    assert answer.out.count(citation("lightgcn").splitlines()[0]) == 1


def test_cite_of_a_configuration_has_all_that_it_uses(tmp_path: Path) -> None:
    table = flow.table_of(flow.data(), "mf")
    table |= {"paper": {"key": "zhou2023mmrec", "table": "1"}}
    table["evaluation"] = {"baselines": ["popular", "ease"]}
    config = tmp_path / "paper.json"
    config.write_text(json.dumps(table))
    answer = flow.graphrec("cite", config)
    assert answer.code == 0, answer.err
    for key in ("graphrec", "zhou2023mmrec", "rendle2009bpr", "steck2019ease"):
        assert f"{{{key}," in answer.out


def test_cite_of_a_model_without_a_paper_says_so() -> None:
    answer = flow.graphrec("cite", "popular")
    assert answer.code == 2
    assert "no paper to cite" in answer.err


def test_doctor_tells_versions_backends_devices_and_extras() -> None:
    findings = json.loads(flow.graphrec("doctor", "--json").out)
    assert set(findings) == {"versions", "backends", "devices", "extras"}
    plain = flow.graphrec("doctor").out
    assert all(topic in plain for topic in findings)


def test_markup_and_emoji_in_ids_are_shown_as_they_are(tmp_path: Path) -> None:
    flow.write_data(tmp_path)
    for name in ("pairs.csv", "items.csv"):
        path = tmp_path / name
        path.write_text(path.read_text().replace("Title 7", "[b]x[/b] :heart:"))
    pairs = (tmp_path / "pairs.csv").read_text()
    (tmp_path / "pairs.csv").write_text(pairs.replace("u01,", "[red]u:x:,"))
    config = tmp_path / "config.json"
    config.write_text(json.dumps(flow.table_of(tmp_path, "popular")))
    assert flow.graphrec("run", config, "--out", tmp_path / "run").code == 0
    command = ["recommend", tmp_path / "run", "--user", "[red]u:x:", "--k", "18", "--include-seen"]
    answer = flow.graphrec(*command)
    assert answer.out.count("[red]u:x:") == 18
    assert "[b]x[/b] :heart:" in answer.out
    wrong = flow.graphrec("recommend", tmp_path / "run", "--user", "[red]u:y:")
    assert "'[red]u:y:'" in wrong.err
    assert "'[red]u:x:'" in wrong.err


OWN_MODEL = """
from graphrec.models.popular import Popular


class Mine(Popular):
    "A model of the working folder."
"""


def test_a_model_in_the_working_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installed command does not look there, though python -m does."""
    (tmp_path / "own_model_here.py").write_text(OWN_MODEL)
    elsewhere = [each for each in sys.path if Path(each).resolve() != Path.cwd()]
    monkeypatch.setattr(sys, "path", [each for each in elsewhere if each])
    monkeypatch.chdir(tmp_path)
    config = flow.write_config(flow.data(), "popular")
    answer = flow.graphrec(
        "run", config, "model.name=own_model_here:Mine", "--out", tmp_path / "run"
    )
    assert answer.code == 0, answer.err
    assert read_result(tmp_path / "run").model == "own_model_here:Mine"


def test_the_metrics_that_were_asked_for_are_printed_in_80_columns(tmp_path: Path) -> None:
    asked = 'evaluation.metrics=["map","novelty","mrr","gini","f1","precision","ndcg"]'
    config = flow.write_config(flow.data(), "popular")
    answer = flow.graphrec("run", config, asked, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert all(name in answer.out for name in ("map@", "novelty@", "gini@", "precision@"))
    table = answer.out.partition("\nUser ")[0]
    assert max(map(len, table.splitlines())) <= 80
