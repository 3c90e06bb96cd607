from __future__ import annotations

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


def test_others_have_nothing_beside_them() -> None:
    assert published_for(replace(MODEL, name="mine")) is None
    assert published_for(replace(MODEL, name="gpt2", architecture="llama")) is None
