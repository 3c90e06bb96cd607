"""Figures of samples and of everything, with what they rest on."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.samples.spans import NAT_UNITS
from services.corpus.bpb.difference import Differences
from services.corpus.bpb.estimates import Everything, Quantity, Scope, Standing
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.report import Drawing, Report
from services.corpus.bpb.sampling import Allocation, Chooser, Sample, Unit
from services.corpus.shards.documents import Document

LN2 = math.log(2)
LOST = Exclusion.NOT_ROUND_TRIPPING


def corpus(count: int, seed: int = 0) -> list[Document]:
    rng = random.Random(seed)
    sizes = [int(rng.lognormvariate(7, 1.5)) + 1 for _ in range(count)]
    return [Document(f"d{i}", "ab"[i % 2], b"x" * size, b"", "", i) for i, size in enumerate(sizes)]


def rate(name: str) -> float:
    """Bits a byte of a document: from 0.5 to 1.5."""
    return 0.5 + random.Random(name).random()


def scored(
    everything: list[Document], sample: Sample | None, *, lost: str = ""
) -> tuple[list[DocumentScore], Drawing | None]:
    chooser = Chooser(sample)
    for one in everything:
        chooser.see(one)
    chooser.choose()
    scores = []
    for one in everything:
        if not chooser.chosen(one):
            continue
        numbers = chooser.spans(one)
        size = len(one.text)
        spans: tuple[tuple[int, int], ...] = ()
        if numbers is not None:
            pieces = {number: min(4096, size - 4096 * number) for number in sorted(numbers)}
            size = sum(pieces.values())
            spans = tuple(
                (number, round(rate(one.id) * LN2 * piece * NAT_UNITS))
                for number, piece in pieces.items()
            )
        reason = LOST if one.id == lost else None
        nats = rate(one.id) * LN2 * size
        scores.append(DocumentScore(one.id, one.subset, nats, size, size, reason, None, spans))
    drawing = None
    if sample is not None and chooser.drawn is not None:
        drawing = Drawing(sample.unit, chooser.drawn)
    return scores, drawing


def test_everything_scored_is_exact_and_has_no_interval() -> None:
    report = Report(*scored(corpus(300), None))
    overall = report.estimates.overall
    assert overall is not None
    assert overall.value == report.totals.overall.bits_per_byte
    assert overall.interval is None
    assert overall.basis.standing is Standing.EXACT
    assert overall.basis.documents == 300
    assert overall.basis.unit is None
    sizes = [len(one.text) for one in corpus(300)]
    worth = sum(sizes) ** 2 / sum(size**2 for size in sizes)
    assert overall.basis.effective_documents == pytest.approx(worth)
    macro = report.estimates.macro
    subsets = [figure.value for _, figure in report.subsets.values() if figure is not None]
    assert macro is not None
    assert macro.value == pytest.approx(sum(subsets) / 2)
    assert macro.interval is None


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("without", ["a", "ab"])
def test_a_sample_without_a_scored_token_has_no_figure(unit: Unit, without: str) -> None:
    spans, documents = (160, 0) if unit is Unit.SPANS else (0, 160)
    scores, drawing = scored(corpus(300), Sample(spans, documents, 0, Allocation.BYTES))
    nothing: dict[str, Any] = {"nats": 0.0, "tokens": 0}
    left = [
        dataclasses.replace(one, spans=tuple((number, 0) for number, _ in one.spans), **nothing)
        if one.subset in without
        else one
        for one in scores
    ]
    estimates = Report(left, drawing).estimates
    assert (estimates.overall is None) is (without == "ab")
    assert (estimates.macro is None) is (without == "ab")
    assert [name for name, one in estimates.subsets.items() if one is None] == list(without)
    difference = Differences(left, scores, drawing)
    assert (difference.overall.figure is None) is (without == "ab")


@pytest.mark.slow
@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("allocation", Allocation)
def test_a_sample_estimates_all_documents_whatever_the_allocation(
    unit: Unit, allocation: Allocation
) -> None:
    everything = corpus(3000)
    truth = Report(*scored(everything, None)).estimates
    wanted = {
        "overall": truth.overall,
        "macro": truth.macro,
        "weighted": truth.weighted({"a": 0.9, "b": 0.05, "absent": 0.05}),
        **truth.subsets,
    }
    held = 0
    for seed in range(20):
        spans, documents = (160, 0) if unit is Unit.SPANS else (0, 160)
        sample = Sample(spans, documents, seed, allocation)
        found = Report(*scored(everything, sample)).estimates
        figures = {
            "overall": found.overall,
            "macro": found.macro,
            "weighted": found.weighted({"a": 0.9, "b": 0.05, "absent": 0.05}),
            **found.subsets,
        }
        for name, figure in figures.items():
            right = wanted[name]
            assert figure is not None
            assert right is not None
            assert figure.interval is not None
            assert figure.basis.standing is Standing.ESTIMATE
            assert figure.basis.unit is unit
            assert figure.basis.effective_documents == pytest.approx(
                right.basis.effective_documents
            )
            assert figure.weight == pytest.approx(right.weight)
            held += figure.interval.holds(right.value)
    assert held >= 0.88 * 20 * len(wanted)


@pytest.mark.parametrize("unit", Unit)
def test_all_taken_is_exact(unit: Unit) -> None:
    everything = corpus(40)
    sample = Sample(10_000) if unit is Unit.SPANS else Sample(0, 10_000)
    taken = Report(*scored(everything, sample)).estimates
    whole = Report(*scored(everything, None)).estimates
    assert taken.overall is not None
    assert taken.overall.interval is None
    assert taken.overall.basis.standing is Standing.EXACT
    assert taken.overall == whole.overall
    assert taken.subsets == whole.subsets


@pytest.mark.slow
@given(st.randoms(use_true_random=False), st.sampled_from([None, Sample(30), Sample(0, 30)]))
def test_the_order_of_the_scores_changes_no_bit(rng: random.Random, sample: Sample | None) -> None:
    scores, drawing = scored(corpus(200), sample)
    before = Report(scores, drawing)
    rng.shuffle(scores)
    after = Report(scores, drawing)
    assert (before.totals.overall, before.subsets) == (after.totals.overall, after.subsets)
    assert before.estimates.overall == after.estimates.overall
    assert before.estimates.macro == after.estimates.macro


def test_few_drawn_by_chance_are_an_example() -> None:
    figure = Report(*scored(corpus(300), Sample(spans=6))).estimates.overall
    assert figure is not None
    assert figure.interval is None
    assert figure.basis.standing is Standing.EXAMPLE
    assert "needs 50 spans drawn by chance" in figure.basis.no_interval


def test_what_the_tokenizer_loses_is_in_no_figure() -> None:
    everything = corpus(2000)
    giant = max(everything, key=lambda one: len(one.text))
    scores, drawing = scored(everything, Sample(spans=100), lost=giant.id)
    kept = [one for one in everything if one is not giant]
    truth = Report(*scored(kept, None)).estimates.overall
    figure = Report(scores, drawing).estimates.overall
    assert figure is not None
    assert truth is not None
    assert figure.interval is not None
    assert figure.interval.holds(truth.value)
    assert figure.basis.kept is not None
    assert 0 < figure.basis.kept < 1
    assert figure.basis.documents == 2000


@pytest.mark.parametrize("sample", [None, Sample(0, 200)])
def test_a_corpus_behind_is_only_told_of_when_asked(sample: Sample | None) -> None:
    everything = corpus(2000)
    asked = Report(*scored(everything, sample), Scope.CORPUS).estimates
    plain = Report(*scored(everything, sample)).estimates.overall
    overall, macro = asked.overall, asked.macro
    assert overall is not None
    assert plain is not None
    assert macro is not None
    assert overall.value == plain.value
    assert overall.interval is not None
    assert overall.basis.standing is Standing.ESTIMATE
    assert overall.basis.scope is Scope.CORPUS
    if plain.interval is not None:  # it is the wider of the two
        width = (overall.interval.high or 0) - (overall.interval.low or 0)
        assert width > (plain.interval.high or 0) - (plain.interval.low or 0)
    for figure in asked.subsets.values():
        assert figure is not None
        assert figure.interval is not None
    assert macro.interval is None
    assert macro.basis.standing is Standing.EXAMPLE
    assert "for the whole and for single subsets" in macro.basis.no_interval


@pytest.mark.parametrize("sample", [None, Sample(0, 60)])
def test_too_few_documents_tell_nothing_of_a_corpus(sample: Sample | None) -> None:
    everything = corpus(60)
    giant = Document("giant", "a", b"x" * 10_000_000, b"", "", 0)
    figure = Report(*scored([*everything, giant], sample), Scope.CORPUS).estimates.overall
    assert figure is not None
    assert figure.interval is None
    assert figure.basis.standing is Standing.EXAMPLE
    assert "these 61 documents count as 1 of equal size, and a level needs 25" in (
        figure.basis.no_interval
    )


@pytest.mark.slow
@given(st.integers(1, 4), st.randoms(use_true_random=False))
def test_parts_merge_into_the_bits_of_the_whole(parts: int, rng: random.Random) -> None:
    scores, _ = scored(corpus(100), None)
    made = [Everything(Quantity.LEVEL, Scope.CORPUS) for _ in range(parts + 1)]
    for score in scores:
        for one in (made[0], made[rng.randint(1, parts)]):
            one.add(score.subset, score.id, score.text_bytes, score.tokens, score.nats)
    whole, *dealt = made
    rng.shuffle(dealt)
    merged = dealt[0]
    for one in dealt[1:]:
        merged.merge(one)
    assert merged.overall == whole.overall
    assert merged.subsets == whole.subsets
    assert merged.macro == whole.macro


def test_nothing_scored_has_no_figure() -> None:
    lost = [DocumentScore("d", "a", 3.0, 9, 2, LOST)]
    unread = [DocumentScore("d", "a", 0.0, 9, 0)]  # one token, and no prefix before it
    for scores in ([], lost, unread):
        report = Report(scores)
        assert report.estimates.overall is None
        assert report.estimates.macro is None
        assert report.estimates.weighted({"a": 1.0}) is None
    everything = corpus(1)
    scores, drawing = scored(everything, Sample(spans=1), lost="d0")
    assert drawing is not None
    assert Report(scores, drawing).estimates.overall is None
