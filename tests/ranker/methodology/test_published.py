"""The published formula, and what its printed parts say of the printed scores."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.errors import InvalidArgument
from services.ranker.methodology.published import ASSUMED_SPLIT, Feasible, feasible, rank, remark

SEGFORMER = {"adoption": 0, "quality": 0, "ecosystem": 1, "match_graph": 0}
PILE = {"adoption": 1, "quality": 1, "ecosystem": 0, "match_graph": 0}
FULL = ("adoption", "quality", "ecosystem", "match_graph", "freshness")


def test_witnesses_give_the_printed_scores() -> None:
    segformer = dict(zip(FULL, (0.45, 0.45, 0.80, 0.25, 0.35), strict=True))
    pile = dict(zip(FULL, (0.80, 0.80, 0.30, 0.25, 0.65), strict=True))
    assert rank(segformer) == pytest.approx(42.0, abs=1e-12)
    assert rank(pile) == pytest.approx(59.0, abs=1e-12)
    for witness, bits in ((segformer, SEGFORMER), (pile, PILE)):
        assert {name: int(witness[name] >= 0.5) for name in bits} == bits


def test_bounds_of_the_two_printed_scores() -> None:
    assert feasible(SEGFORMER) == Feasible(5, 62)
    assert feasible(PILE) == Feasible(25, 82)


def test_only_splits_near_the_assumed_one_give_those_bounds() -> None:
    """The boundary cases that the module's docstring derives."""

    def bounds(freshness: float) -> tuple[Feasible, Feasible]:
        split = {"match_graph": 0.40 - freshness, "freshness": freshness}
        return feasible(SEGFORMER, split), feasible(PILE, split)

    expected = (Feasible(5, 62), Feasible(25, 82))
    assert bounds(0.15) == expected
    assert bounds(0.1301) == expected
    assert bounds(0.13) == (Feasible(5, 61), Feasible(25, 81))
    assert bounds(0.1501) == (Feasible(5, 63), Feasible(25, 83))
    assert bounds(0.40) == (Feasible(5, 75), Feasible(25, 95))


def test_all_parts_printed_as_one_reach_a_hundred() -> None:
    assert feasible(dict.fromkeys(SEGFORMER, 1)) == Feasible(43, 100)


def test_remark_says_consistent_and_not_identified() -> None:
    text = remark(42, SEGFORMER)
    assert "consistent with its printed parts, but not identified by them" in text
    assert "5 to 62" in text
    assert remark(90, SEGFORMER).startswith("90 is not consistent")


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5))
@example([0.0, 0.0, 0.0, 0.5, 0.0])  # 12.5, printed as 13
@example([math.nextafter(0.5, 0), math.nextafter(0.5, 0), 1.0, math.nextafter(0.5, 0), 1.0])
def test_a_printed_score_lies_within_the_bounds_of_its_own_bits(parts: list[float]) -> None:
    named = dict(zip(FULL, parts, strict=True))
    bits = {name: int(named[name] >= 0.5) for name in SEGFORMER}
    bounds = feasible(bits)
    # A score is printed as a whole number, halves upwards; a sum of floats may be off by its noise.
    assert math.floor(rank(named) + 0.5 + 1e-9) >= bounds.low
    assert math.floor(rank(named) + 0.5 - 1e-9) <= bounds.high


def test_bounds_hold_for_every_combination_of_bits() -> None:
    for bits in itertools.product((0, 1), repeat=4):
        bounds = feasible(dict(zip(SEGFORMER, bits, strict=True)))
        assert 0 <= bounds.low < bounds.high <= 100


@pytest.mark.parametrize(
    "bits",
    [{}, {**SEGFORMER, "freshness": 1}, {**SEGFORMER, "quality": 0.5}, {"adoption": 0}],
)
def test_bits_must_be_the_printed_ones(bits: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match="adoption, quality, ecosystem, match_graph"):
        feasible(bits)


@pytest.mark.parametrize(
    "split",
    [
        {"match_graph": 0.4},
        {"match_graph": 0.2, "freshness": 0.1},
        {"match_graph": 0.5, "freshness": -0.1},
    ],
)
def test_split_must_share_out_what_is_left(split: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match="share out"):
        feasible(SEGFORMER, split)


def test_the_assumed_split_is_the_witnesses() -> None:
    assert ASSUMED_SPLIT == {"match_graph": 0.25, "freshness": 0.15}
