"""The table of reasons."""

import json

import polars as pl
import pytest

from graphrec.cli.explain import print_explained
from tests import flow


def test_recommend_says_why_in_a_table_of_at_most_80_columns() -> None:
    overrides = [f"features.{name}.columns=['text']" for name in ("blurb", "keywords")]
    overrides += [f"features.{name}.encoder=tfidf" for name in ("blurb", "keywords")]
    run = flow.finished("modality_attention_gcn", *overrides, "features.blurb.min_df=1")
    command = ["recommend", run, "--user", "u01", "--k", "3", "--explain"]
    rows = json.loads(flow.graphrec(*command, "--json").out)
    answer = flow.graphrec(*command)
    title, *lines = answer.out.splitlines()
    assert str(run) in title
    assert max(map(len, lines)) <= 80
    for row in rows:
        for name in ("blurb", "keywords", "text"):
            share, change = row[f"attention_{name}"], row[f"change_{name}"]
            assert any(f"{share:4.0%} {change:+.4f} {name}" in line for line in lines)
        for part, item in zip(row["contributions"], row["because_titles"], strict=True):
            assert any(f"{part:+.4f} {item}" in line for line in lines)


def test_long_reasons_go_on_in_the_next_line(capsys: pytest.CaptureFixture[str]) -> None:
    long = {
        "user": "u" * 30, "rank": 100, "item": "i" * 40, "title": "[b]" + "t " * 40, "score": -12.5,
        "attention_" + "m" * 30: 1.0, "change_" + "m" * 30: -0.25, "change_lists": 0.125,
        "because": ["x"], "because_titles": ["y" * 70], "contributions": [0.5],
    }  # fmt: skip
    print_explained(pl.DataFrame([long]), "Why")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    together = "".join(lines)
    for letter, count in {"u": 30, "m": 30, "y": 70, "t": 40}.items():
        assert together.count(letter) >= count
    assert "[b]t" in together
    assert "- +0.1250 lists" in together
