from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.bpb.difference import differences
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import DocumentScore

LOST = Exclusion.NOT_ROUND_TRIPPING
LN2 = math.log(2)


def scored(bits: list[float], *, lost: int = -1, subset: str = "a") -> list[DocumentScore]:
    return [
        DocumentScore(
            f"{subset}:{i}", subset, one * 100 * LN2, 100, 10, LOST if i == lost else None
        )
        for i, one in enumerate(bits)
    ]


def test_a_constant_gain_is_certain_however_much_documents_vary() -> None:
    hard = [0.5 + i % 7 for i in range(40)]
    found = differences(scored(hard), scored([one + 0.1 for one in hard])).overall
    assert found.bits_per_byte == pytest.approx(-0.1)
    assert found.interval is not None
    assert found.model.interval is not None
    assert found.interval.high - found.interval.low < 1e-5
    assert found.model.interval.high - found.model.interval.low > 0.5


@given(st.lists(st.floats(0, 8), min_size=1, max_size=30), st.randoms())
def test_the_order_does_not_matter_and_swapping_changes_the_sign(
    bits: list[float], rng: object
) -> None:
    ours, theirs = scored(bits), scored([one * 0.9 + 0.2 for one in bits])
    found = differences(ours, theirs)
    shuffled = theirs[:]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert differences(ours, shuffled) == found
    swapped = differences(theirs, ours).overall
    assert (swapped.model, swapped.against) == (found.overall.against, found.overall.model)
    assert (swapped.bits_per_byte or 0.0) == -(found.overall.bits_per_byte or 0.0)


def test_what_either_tokenizer_loses_is_left_out_of_both() -> None:
    found = differences(scored([1.0, 2.0, 3.0], lost=0), scored([1.0, 2.0, 4.0], lost=1))
    assert found.left_out == 2
    assert found.overall.model.documents == found.overall.against.documents == 1
    assert found.overall.bits_per_byte == pytest.approx(-1.0)


def test_subsets_have_their_own() -> None:
    ours = scored([1.0]) + scored([1.0], subset="b")
    theirs = scored([2.0]) + scored([4.0], subset="b")
    found = differences(ours, theirs)
    assert {name: round(one.bits_per_byte or 0.0, 9) for name, one in found.subsets.items()} == {
        "a": -1.0,
        "b": -3.0,
    }


@pytest.mark.parametrize("swap", [False, True])
def test_other_documents_are_refused(swap: bool) -> None:
    pair = [scored([1.0, 2.0]), scored([1.0])]
    with pytest.raises(ValueError, match="document a:1 was scored for one model only"):
        differences(*(reversed(pair) if swap else pair))


def test_nothing_to_pair_is_no_difference_of_zero() -> None:
    found = differences(scored([1.0], lost=0), scored([1.0]))
    assert found.overall.bits_per_byte is None
    assert found.left_out == 1
