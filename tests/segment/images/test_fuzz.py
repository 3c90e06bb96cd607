"""A short run of the fuzzer of image parsing; the long one is a benchmark's."""

from __future__ import annotations

import random

import pytest

from benchmarks.segment.fuzz_images import mutated, outcome, run_chunk, seeds


@pytest.mark.slow
def test_a_few_thousand_damaged_pictures() -> None:
    result = run_chunk(seed=1, chunk=0, inputs=4000)
    assert set(result["counts"]) == {"picture", "BadImage", "ImageTooLarge"}
    assert sum(result["counts"].values()) == 4000


def test_every_seed_is_a_picture() -> None:
    """All but those whose values have no fixed range."""
    assert [outcome(data) for data in seeds()].count("picture") == len(seeds()) - 2


def test_inputs_depend_on_the_seed_alone() -> None:
    def drawn(seed: str) -> list[bytes]:
        generator = random.Random(seed)
        return [mutated(generator) for _ in range(50)]

    assert drawn("1:0") == drawn("1:0") != drawn("1:1")
