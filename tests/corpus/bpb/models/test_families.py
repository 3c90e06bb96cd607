"""Families of models give what double precision gives, document by document."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the score extra")
pytest.importorskip("transformers", reason="needs the score extra")

from benchmarks.bpb import family_configs
from benchmarks.bpb.double import TOLERANCE, largest_differences

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def test_there_are_at_least_twenty() -> None:
    assert len(family_configs.FAMILIES) >= 20


# One of each kind among the further ones.
NEW_KINDS = (
    "deepseek_v32",  # attention to a chosen few tokens
    "falcon_h1",  # attention beside a state space, in each layer
    "granitemoehybrid",  # layers of either
    "lfm2_moe",  # convolutions
    "longcat_flash",  # experts that do nothing
    "olmo3",  # a sliding window of 8 tokens
    "qwen3_next",  # linear attention
    "xglm",
    "xlstm",  # recurrent
)


@pytest.mark.parametrize("family", [*family_configs.FAMILIES, *NEW_KINDS])
def test_figures_are_those_of_double_precision(family: str, tmp_path: Path) -> None:
    directory = family_configs.make(family, tmp_path / "model")
    for engine, difference in largest_differences(directory):
        assert difference < TOLERANCE, engine
