"""Every configuration in the guide to item content is one that graphrec accepts."""

import re
import tomllib
from pathlib import Path

import pytest

from graphrec import build_config
from graphrec.features import ENCODERS

GUIDE = (Path(__file__).parents[1] / "docs" / "features.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", GUIDE, flags=re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_the_guide_is_a_valid_configuration(block: str) -> None:
    table = {"data": {"path": "x.csv"}, "model": {"name": "modality_attention_gcn"}}
    config = build_config(table | tomllib.loads(block))
    assert config.features


def test_the_guide_names_every_encoder() -> None:
    assert len(BLOCKS) >= 5
    missing = [name for name in ENCODERS if f"`{name}" not in GUIDE]
    assert missing == []
