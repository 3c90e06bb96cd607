from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.samples.spans import NAT_UNITS
from services.corpus.bpb.difference import Differences
from services.corpus.bpb.estimates import Scope, Standing
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.report import Drawing
from services.corpus.bpb.sampling import Chooser, Sample, Unit
from services.corpus.shards.documents import Document

LOST = Exclusion.NOT_ROUND_TRIPPING
LN2 = math.log(2)


def scored(bits: list[float], *, lost: int = -1, subset: str = "a") -> list[DocumentScore]:
    return [
        DocumentScore(
            f"{subset}:{i}", subset, one * 100 * LN2, 100, 10, LOST if i == lost else None
        )
        for i, one in enumerate(bits)
    ]


def value(found: Differences) -> float | None:
    figure = found.overall.figure
    return None if figure is None else figure.value


@given(st.lists(st.floats(0, 8), min_size=1, max_size=30), st.randoms())
def test_the_order_does_not_matter_and_swapping_changes_the_sign(
    bits: list[float], rng: object
) -> None:
    ours, theirs = scored(bits), scored([one * 0.9 + 0.2 for one in bits])
    found = Differences(ours, theirs)
    shuffled = theirs[:]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    again = Differences(ours, shuffled)
    assert (again.overall, again.subsets, again.macro) == (
        found.overall,
        found.subsets,
        found.macro,
    )
    swapped = Differences(theirs, ours)
    assert swapped.overall.model == found.overall.against
    assert swapped.overall.against == found.overall.model
    assert value(swapped) == -(value(found) or 0.0)
    assert found.overall.figure is not None
    assert found.overall.figure.interval is None
    assert found.overall.figure.basis.standing is Standing.EXACT


def test_what_either_tokenizer_loses_is_left_out_of_both() -> None:
    found = Differences(scored([1.0, 2.0, 3.0], lost=0), scored([1.0, 2.0, 4.0], lost=1))
    assert found.left_out == 2
    assert found.overall.model.documents == found.overall.against.documents == 1
    assert value(found) == pytest.approx(-1.0)


def test_subsets_have_their_own_and_averages_are_of_them() -> None:
    ours = scored([1.0]) + scored([1.0, 1.0], subset="b")
    theirs = scored([2.0]) + scored([4.0, 4.0], subset="b")
    found = Differences(ours, theirs)
    values = {name: one.figure and one.figure.value for name, one in found.subsets.items()}
    assert values == pytest.approx({"a": -1.0, "b": -3.0})
    assert found.macro is not None
    assert found.macro.value == pytest.approx(-2.0)
    weighted = found.weighted({"a": 0.75, "b": 0.25})
    assert weighted is not None
    assert weighted.value == pytest.approx(-1.5)


@pytest.mark.parametrize("swap", [False, True])
def test_other_documents_are_refused(swap: bool) -> None:
    pair = [scored([1.0, 2.0]), scored([1.0])]
    with pytest.raises(ValueError, match="document a:1 was scored for one model only"):
        Differences(*(reversed(pair) if swap else pair))


def test_nothing_to_pair_is_no_difference_of_zero() -> None:
    found = Differences(scored([1.0], lost=0), scored([1.0]))
    assert found.overall.figure is None
    assert not found.overall.identical
    assert found.left_out == 1


def test_identical_models_differ_by_exactly_nothing() -> None:
    found = Differences(scored([0.1, 0.7]), scored([0.1, 0.7]))
    assert found.overall.identical
    assert value(found) == 0.0
    assert not Differences(scored([0.1, 0.7]), scored([0.1, 0.8])).overall.identical


def drawn(sample: Sample, bits: float, gain: float) -> tuple[list[DocumentScore], Drawing]:
    """Score 400 documents of 5,000 bytes; their rates differ widely, and so does what is gained."""
    chooser = Chooser(sample)
    documents = [Document(f"d{i}", "ab"[i % 2], b"x" * 5000, b"", "", i) for i in range(400)]
    for one in documents:
        chooser.see(one)
    chooser.choose()
    assert chooser.drawn is not None
    scores = []
    for place, one in enumerate(documents):
        if chooser.chosen(one):
            rate = bits + place % 7 + gain * (place % 3)
            numbers = sorted(chooser.spans(one) or ())
            sizes = {0: 4096, 1: 904}
            size = sum(sizes[number] for number in numbers) or 5000
            units = ((n, round(rate * LN2 * sizes[n] * NAT_UNITS)) for n in numbers)
            scores.append(
                DocumentScore(one.id, one.subset, rate * LN2 * size, size, size, spans=tuple(units))
            )
    return scores, Drawing(sample.unit, chooser.drawn)


@pytest.mark.parametrize("unit", Unit)
def test_a_sample_pairs_what_was_drawn(unit: Unit) -> None:
    sample = Sample(80, 0) if unit is Unit.SPANS else Sample(0, 80)
    (ours, drawing), (theirs, _) = drawn(sample, 1.0, 0.0), drawn(sample, 1.1, 0.0)
    overall = Differences(ours, theirs, drawing).overall
    assert overall.figure is not None
    assert overall.figure.interval is not None
    assert overall.figure.value == pytest.approx(-0.1, abs=1e-5)
    low, high = overall.figure.interval.low or 0.0, overall.figure.interval.high or 0.0
    assert high - low < 1e-4, "what is hard for both cancels"
    assert overall.model_figure is not None
    assert overall.against_figure is not None
    assert overall.model_figure.interval is not None
    assert (overall.model_figure.interval.high or 0) - (
        overall.model_figure.interval.low or 0
    ) > 0.5
    assert overall.figure.value == pytest.approx(
        overall.model_figure.value - overall.against_figure.value
    )
    assert not overall.identical
    same = Differences(ours, ours, drawing).overall
    assert same.identical
    assert same.figure is not None
    assert same.figure.value == 0.0
    swapped = Differences(theirs, ours, drawing).overall.figure
    assert swapped is not None
    assert swapped.interval is not None
    assert (swapped.interval.low, swapped.interval.high) == (-high, -low)


def test_the_smallest_difference_that_would_be_seen_is_said() -> None:
    sample = Sample(80)
    (ours, drawing), (theirs, _) = drawn(sample, 1.0, 0.0), drawn(sample, 1.0, 0.01)
    figure = Differences(ours, theirs, drawing).overall.figure
    assert figure is not None
    assert figure.interval is not None
    assert figure.detectable is not None
    half = ((figure.interval.high or 0) - (figure.interval.low or 0)) / 2
    assert half < figure.detectable < 3 * half
    macro = Differences(ours, theirs, drawing).macro
    assert macro is not None
    assert macro.interval is not None


def test_a_level_wants_more_spans_than_a_difference() -> None:
    sample = Sample(40)
    (ours, drawing), (theirs, _) = drawn(sample, 1.0, 0.0), drawn(sample, 1.0, 0.01)
    overall = Differences(ours, theirs, drawing).overall
    assert overall.figure is not None
    assert overall.model_figure is not None
    assert overall.figure.interval is not None
    assert overall.figure.detectable is not None
    assert overall.model_figure.interval is None
    assert "needs 50 spans drawn by chance" in overall.model_figure.basis.no_interval


def test_of_a_corpus_behind_a_difference_wants_250_documents() -> None:
    bits = [1.0 + i % 5 / 10 for i in range(300)]
    ours, theirs = scored(bits), scored([one + 0.1 + i % 3 / 100 for i, one in enumerate(bits)])
    figure = Differences(ours, theirs, None, Scope.CORPUS).overall.figure
    assert figure is not None
    assert figure.interval is not None
    few = Differences(ours[:200], theirs[:200], None, Scope.CORPUS).overall.figure
    assert few is not None
    assert few.interval is None
    assert "count as 200 of equal size, and a difference needs 250" in few.basis.no_interval
