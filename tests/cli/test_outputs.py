"""What commands print and log: epochs, interruptions, folders, runs of one name, safe checks."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from graphrec import DataError, read_result
from graphrec.cli.tune import _folders
from graphrec.config import build_config
from graphrec.core.errors import ConfigError
from tests import flow


def events(folder: Path, kind: str) -> list[dict[str, object]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


# epochs and stages


def test_each_epoch_of_each_model_is_an_event_and_a_plain_line(tmp_path: Path) -> None:
    """A run of hours said nothing but every five seconds how far it was, and logged no loss."""
    config = flow.write_config(flow.data(), "mf")
    answer = flow.graphrec("run", config, 'evaluation.baselines=["lightgcn"]', "--out", tmp_path)
    assert answer.code == 0
    found = [(event["model"], event["epoch"]) for event in events(tmp_path, "epoch")]
    assert found[:4] == [("mf", epoch) for epoch in (1, 2, 3, 4)]
    others = [epoch for model, epoch in found[4:] if model == "lightgcn"]
    assert others == list(range(1, len(others) + 1))
    history = read_result(tmp_path).history
    for event, record in zip(events(tmp_path, "epoch"), history, strict=False):
        assert {key: event[key] for key in record} == record
    assert answer.err.count(" mf, epoch ") == 4
    assert "mf, epoch 4 of 4: loss 0." in answer.err
    assert "Epochs" not in answer.err


def test_an_epoch_is_in_the_log_before_the_next_one_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graphrec.training import fit

    module = sys.modules[fit.__module__]
    real, seen = module._train_epoch, []  # type: ignore[attr-defined]

    def watched(*arguments: object) -> dict[str, float]:
        seen.append(len(events(tmp_path, "epoch")))
        return real(*arguments)  # type: ignore[no-any-return]

    monkeypatch.setattr(module, "_train_epoch", watched)
    flow.graphrec("run", flow.write_config(flow.data(), "mf"), "--out", tmp_path)
    assert seen == [0, 1, 2, 3]


def test_every_stage_is_said_once(tmp_path: Path) -> None:
    config = flow.write_config(flow.data(), "mf")
    flow.graphrec("run", config, 'evaluation.baselines=["popular"]', "--out", tmp_path)
    stages = [event["stage"] for event in events(tmp_path, "stage")]
    assert len(stages) == len(set(stages))
    assert "evaluate" in stages


def test_an_interrupted_run_says_by_which_command_it_goes_on(tmp_path: Path) -> None:
    """A real Ctrl-C: the command that is printed finishes the run."""
    config = flow.write_config(flow.data(), "mf")
    command = [
        sys.executable, "-m", "graphrec", "run", str(config), "training.max_epochs=100000",
        "run.name='a b'", "training.patience=100000",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/checkpoint.safetensors")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    (folder,) = tmp_path.glob("runs/*")
    again = err.splitlines()[-1].removeprefix("Stopped. Go on with: ")
    assert again == (
        f"graphrec run {config} training.max_epochs=100000 'run.name='\"'\"'a b'\"'\"'' "
        f"training.patience=100000 --out {folder.relative_to(tmp_path)} --resume"
    )


# folders


def test_tune_writes_into_out_itself_and_says_so(tmp_path: Path) -> None:
    config = build_config(flow.table_of(flow.data(), "mf"))
    (folder,) = _folders({Path("mf.toml"): config}, tmp_path / "s").values()
    assert folder == tmp_path / "s"
    two = {Path("a.toml"): config, Path("b.toml"): config.model_copy(update={"run": named("b")})}
    assert list(_folders(two, tmp_path).values()) == [tmp_path / "mf", tmp_path / "b"]
    assert list(_folders({Path("mf.toml"): config}, None).values()) == [Path("studies/mf")]


def named(name: str):  # type: ignore[no-untyped-def]
    return build_config(flow.table_of(flow.data(), "mf"), [f"run.name={name!r}"]).run


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a/b", ".."])
def test_a_label_never_leaves_the_folder_of_studies(name: str) -> None:
    config = build_config(flow.table_of(flow.data(), "mf")).model_copy(update={"run": named(name)})
    (folder,) = _folders({Path("mf.toml"): config}, None).values()
    assert folder.parent == Path("studies")
    assert folder.name not in ("", ".", "..")


def test_two_studies_of_one_folder_are_refused(tmp_path: Path) -> None:
    config = build_config(flow.table_of(flow.data(), "mf"))
    with pytest.raises(ConfigError, match=r"b\.toml and a\.toml would both|a\.toml and b\.toml"):
        _folders({Path("a.toml"): config, Path("b.toml"): config}, tmp_path)


def test_a_study_that_an_older_version_began_is_not_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "mf").mkdir()
    (tmp_path / "mf/config.json").write_text("{}")
    config = build_config(flow.table_of(flow.data(), "mf"))
    with pytest.raises(ConfigError, match=r"Go on with that one with --out .*/mf"):
        _folders({Path("mf.toml"): config}, tmp_path)


# report


def test_report_tells_runs_of_one_name_apart() -> None:
    """Two rows named mf, of other settings: nobody could say which is which."""
    runs = [
        flow.finished("mf"),
        flow.finished("mf", "model.dim=4"),
        flow.finished("popular", "run.name=mf"),
        flow.finished("popular"),
    ]
    answer = flow.graphrec("report", *runs, "--metrics", "recall@5", "--format", "json")
    rows = json.loads(answer.out)
    assert [row["model"] for row in rows] == ["mf", "mf", "popular", "popular"]
    table = flow.graphrec("report", *runs, "--metrics", "recall@5", "--format", "csv").out
    names = [line.rsplit(",", 2)[0].strip('"') for line in table.splitlines()[1:]]
    assert names == [
        f"mf (mf, {runs[0].name})", f"mf (mf, {runs[1].name})", "mf (popular)", "popular",
    ]  # fmt: skip


def test_tables_of_all_commands_fit_80_columns(tmp_path: Path) -> None:
    runs = [flow.finished("mf"), flow.finished("mf", "run.seed=1"), flow.finished("popular")]
    measured = ",".join(read_result(runs[0]).metrics["test"])
    answers = [
        flow.graphrec("report", *runs, "--metrics", measured),
        flow.graphrec("list", "models"),
        flow.graphrec("list", "papers"),
        flow.graphrec("data", "list"),
        flow.graphrec("data", "info", "gowalla"),
        flow.graphrec("doctor"),
        flow.graphrec("encode", flow.write_config(flow.data())),
    ]
    for answer in answers:
        assert answer.code == 0
        drawn = [line for line in answer.out.splitlines() if line[:1] in "┏┃┡│├└"]
        assert drawn
        assert max(map(len, drawn)) <= 80
        headings = [line for line in drawn if line.startswith("┃")]
        assert all(cell.strip() for line in headings[:1] for cell in line.strip("┃").split("┃"))


def test_one_seed_has_no_deviation_and_one_run_no_plural(tmp_path: Path) -> None:
    answer = flow.graphrec(
        "report", flow.finished("mf"), "--metrics", "recall@5", "--append", tmp_path / "r.csv"
    )
    assert "\u00b1" not in answer.out
    assert "1 of 1 run added" in answer.err


# check


OWN = """
from pathlib import Path
Path("{marker}").write_text("executed")
raise RuntimeError("boom")
"""


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"name": "stranger:Model", "alpha": 1}},
        {"features": {"x": {"encoder": "stranger:Encoder", "beta": [1]}}},
        {"model": {"name": "modality_attention_gcn", "fusion": "stranger:Fusion"}},
        {"evaluation": {"protocol": "stranger:PROTOCOL"}},
        {"data": {"name": "stranger:ENTRY"}},
        {"model": {"name": "stranger:M"}, "search": {"model.x": {"low": 1, "high": 2}}},
    ],
)
def test_check_runs_no_code_of_a_configuration(
    change: dict[str, flow.Json], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of a stranger must be safe to check; it ran any module that it named."""
    marker = tmp_path / "marker"
    (tmp_path / "stranger.py").write_text(OWN.format(marker=marker))
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(flow.table_of(flow.data(), "mf") | change))
    answer = flow.graphrec("check", path, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out) == {str(path): None}
    assert "was not imported" in answer.err
    assert "--import" in answer.err
    assert not marker.exists()
    message = flow.refusal(flow.graphrec("check", path, "--import"))
    assert "Cannot import" in message
    assert marker.exists()


def test_the_rest_of_a_configuration_with_a_class_of_its_own_is_checked(tmp_path: Path) -> None:
    table = flow.table_of(flow.data(), "mf") | {"model": {"name": "stranger:Model"}}
    path = tmp_path / "c.json"
    path.write_text(json.dumps(table | {"training": {"lr": -1}}))
    assert "training.lr" in flow.refusal(flow.graphrec("check", path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"name": "os:path"}}, "is no model"),
        ({"model": {"name": "collections:OrderedDict"}}, "is no model"),
        ({"model": {"name": "graphrec.models:Model"}}, "does not define scorer"),
        ({"features": {"a": {"encoder": "os:path"}}}, "is no encoder"),
        ({"features": {"a": {"encoder": "collections:OrderedDict"}}}, "is no encoder"),
        ({"model": {"name": "modality_attention_gcn", "fusion": "os:path"}}, "is no fusion"),
        ({"evaluation": {"protocol": "os:path"}}, "is not a Protocol"),
        ({"evaluation": {"baselines": ["os:path"]}}, "is no model"),
        ({"data": {"name": "os:path"}}, "is no CatalogEntry"),
    ],
)
def test_what_is_no_model_fusion_or_encoder_is_one_sentence(
    change: dict[str, flow.Json], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(flow.table_of(flow.data(), "mf") | change))
    answer = flow.graphrec("run", path, "--out", tmp_path / "run")
    assert message in flow.refusal(answer)


# files that are nested too deep, and results of wrong types


@pytest.mark.parametrize("name", ["deep.toml", "deep.json"])
@pytest.mark.parametrize("depth", [60, 400, 100_000])
def test_a_configuration_that_is_nested_too_deep_is_refused(
    name: str, depth: int, tmp_path: Path
) -> None:
    nested = "[" * depth + "]" * depth
    text = f'{{"data": {nested}}}' if name.endswith("json") else f"data = {nested}"
    (tmp_path / name).write_text(text)
    message = flow.refusal(flow.graphrec("check", tmp_path / name))
    assert name in message
    assert "lie in each other" in message


@pytest.mark.parametrize("change", [f"a={'[' * 3000}", f"{'a.' * 3000}b=1", f"a={'[' * 60}"])
def test_an_override_that_is_nested_too_deep_is_refused(change: str) -> None:
    if change == f"a={'[' * 60}":
        change += "]" * 60
    config = flow.write_config(flow.data(), "mf")
    assert "lie in each other" in flow.refusal(flow.graphrec("check", config, "--set", change))


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"metrics": {"valid": {}, "test": {"recall@5": "high"}}}, "'metrics' has the wrong type"),
        ({"metrics": {"valid": {}, "test": {}}}, "no test metric"),
        ({"metrics": {}}, "metrics"),
        ({"config": {}}, "config has no 'run'"),
        ({"fingerprints": {"split": "x"}}, "fingerprints has no 'dataset'"),
        ({"seed": "0"}, "'seed' has the wrong type"),
        ({"verdicts": [{"metric": "x"}]}, "'verdicts' has the wrong type"),
        ({"examples": [1]}, "'examples' has the wrong type"),
        ({"environment": {"versions": 1, "git": {}}}, "environment.versions is no table"),
        ({"more": 1}, "unknown field 'more'"),
    ],
)
def test_a_result_of_wrong_types_is_one_sentence(
    change: dict[str, flow.Json], culprit: str, tmp_path: Path
) -> None:
    content = json.loads((flow.finished("mf") / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(content | change))
    with pytest.raises(DataError, match=r"result\.json is malformed: ") as error:
        read_result(tmp_path)
    assert culprit in str(error.value)


def test_a_result_that_is_nested_too_deep_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"result\.json is malformed: .*too deeply"):
        read_result(tmp_path)


def test_a_result_of_a_run_before_deviations_still_loads(tmp_path: Path) -> None:
    result = replace(read_result(flow.finished("mf")), verdicts=[], examples=[])
    result.write(tmp_path / "result.json")
    assert read_result(tmp_path) == result
