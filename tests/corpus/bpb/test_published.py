from __future__ import annotations

import math
from dataclasses import replace

import pytest

from services.corpus.bpb.published import published_for
from services.corpus.catalog import published as pile
from tests.corpus.bpb.fakes import info

MODEL = info(1024)


@pytest.mark.parametrize(
    ("name", "overall"),
    [
        ("gpt2", 1.2253),
        ("gpt2-medium", 1.0928),
        ("gpt2-large", 1.0828),
        ("openai-community/GPT2-XL", 1.0468),
    ],
)
def test_the_paper_prints_every_subset_of_these(name: str, overall: float) -> None:
    found = published_for(replace(MODEL, name=name))
    assert found is not None
    assert found.overall == overall
    assert set(found.subsets) == pile.NAMES


@pytest.mark.parametrize(
    ("name", "architecture", "loss"),
    [
        ("cerebras/Cerebras-GPT-111M", "gpt2", 2.566),
        ("cerebras-gpt-256m", "gpt2", 2.299),
        ("cerebras-gpt-590m", "gpt2", 2.184),
        ("cerebras-gpt-1.3b", "gpt2", 1.996),
        ("cerebras-gpt-2.7b", "gpt2", 1.834),
        ("cerebras-gpt-6.7b", "gpt2", 1.704),
        ("cerebras-gpt-13b", "gpt2", 1.575),
    ],
)
def test_a_derived_figure_follows_from_what_is_printed(
    name: str, architecture: str, loss: float
) -> None:
    found = published_for(replace(MODEL, name=name, architecture=architecture))
    assert found is not None
    assert found.overall == pytest.approx(loss * 0.29335 / math.log(2), abs=6e-4)
    assert f"{loss:.3f} nats a GPT-2 token" in found.derivation
    assert not found.subsets


@pytest.mark.parametrize(
    ("name", "architecture", "overall"),
    [
        ("EleutherAI/gpt-neo-1.3B", "gpt_neo", 0.7527),
        ("EleutherAI/gpt-neo-2.7B", "gpt_neo", 0.7165),
        ("EleutherAI/pythia-160m", "gpt_neox", 0.9097),
    ],
)
def test_what_others_print_is_told_with_its_source(
    name: str, architecture: str, overall: float
) -> None:
    found = published_for(replace(MODEL, name=name, architecture=architecture))
    assert found is not None
    assert (found.overall, found.subsets) == (overall, {})
    assert found.source
    assert ("pile-10k" in found.derivation) == ("pythia" in name)
    assert published_for(replace(MODEL, name=name, architecture="llama")) is None


def test_others_have_nothing_beside_them() -> None:
    assert published_for(replace(MODEL, name="mine")) is None
    assert published_for(replace(MODEL, name="gpt2", architecture="llama")) is None
