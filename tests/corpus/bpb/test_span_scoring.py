"""Spans of a document: the likelihoods of the whole, from the windows that meet them alone."""

from __future__ import annotations

import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.samples.spans import NAT_UNITS, span_ends
from services.corpus.bpb.definition import Definition, Preset
from services.corpus.bpb.document_scoring import count_words, score_after, score_document
from services.corpus.bpb.exclusion import Exclusion
from tests.corpus.bpb.fakes import PREFIX, UniformModel, document, resolved

GUIDE = resolved(64, None, preset=Preset.HUGGINGFACE_GUIDE)


@pytest.mark.slow
@pytest.mark.parametrize("definition", [resolved(64), resolved(64, special_tokens=True), GUIDE])
@given(st.integers(1, 20_000), st.data())
def test_spans_add_up_to_the_document(
    definition: Definition, size: int, data: st.DataObject
) -> None:
    text = document("ab\u00e9 \u1234"[: 1 + size % 5] * (size // 7 + 1))
    whole = score_document(UniformModel(), definition, text)
    numbers = range(len(span_ends(text.text)))
    every = score_document(UniformModel(), definition, text, spans=frozenset(numbers))
    assert every.nats == pytest.approx(whole.nats, rel=1e-12)
    assert every.text_bytes == whole.text_bytes
    assert every.excluded == whole.excluded
    if definition is not GUIDE:  # which counts fewer tokens than it scores
        assert every.tokens == whole.tokens
    units = dict(every.spans)
    assert list(units) == list(numbers)
    assert sum(units.values()) == pytest.approx(whole.nats * NAT_UNITS, abs=len(units) + 1)
    some = frozenset(data.draw(st.sets(st.sampled_from(numbers), min_size=1)))
    part = score_document(UniformModel(), definition, text, spans=some)
    assert dict(part.spans) == {number: units[number] for number in some}
    assert part.words is None
    assert whole.words == count_words(text.text.decode())


def test_only_the_windows_that_meet_a_span_are_run() -> None:
    model = UniformModel()
    text = document("x" * 100_000)
    score = score_document(model, resolved(64), text, spans=frozenset({3, 20}))
    assert score.tokens == score.text_bytes == 2 * 4096
    run = sum(len(batch) for batch in model.batches)
    assert 2 * 4096 / 64 <= run <= 2 * (4096 / 64 + 2)


def test_a_token_of_the_next_span_is_not_counted() -> None:
    text = document("x" * 4095 + "\u00e9" + "y" * 10)  # the character moves the end by one byte
    score = score_document(UniformModel(), resolved(64), text, spans=frozenset({0}))
    assert (score.text_bytes, score.tokens) == (4097, 4096)


def test_a_context_is_read_and_not_scored() -> None:
    model = UniformModel()
    text = document("and text")
    score, nats = score_after(model, resolved(64), text, b"context ")
    assert (score.tokens, score.text_bytes, score.words) == (8, 8, 2)
    assert score.nats == pytest.approx(8 * math.log(8), rel=1e-6)
    assert nats == pytest.approx([math.log(8)] * 8)
    [window] = [window for batch in model.batches for window in batch]
    assert list(window.inputs) == [PREFIX, *b"context and tex"]
    alone, _ = score_after(model, resolved(64), text, b"")
    assert alone == score_document(model, resolved(64), text)


@given(st.integers(0, 100), st.integers(1, 100))
def test_a_long_context_costs_only_the_windows_that_are_needed(before: int, after: int) -> None:
    model = UniformModel()
    score, _ = score_after(model, resolved(8), document("x" * after), b"c" * before)
    assert (score.tokens, score.text_bytes) == (after, after)
    assert sum(len(batch) for batch in model.batches) <= after / 8 + 2


@pytest.mark.parametrize(
    ("context", "text", "reason"),
    [
        ("z", "ab", Exclusion.TOKEN_OUT_OF_RANGE),
        ("ab", "z", Exclusion.TOKEN_OUT_OF_RANGE),
        ("ab", "", Exclusion.EMPTY),
    ],
)
def test_a_text_that_has_no_figure_after_its_context(
    context: str, text: str, reason: Exclusion
) -> None:
    class Narrow(UniformModel):
        @property
        def vocabulary(self) -> int:
            return ord("z")

    score, nats = score_after(Narrow(), resolved(64), document(text), context.encode())
    assert (score.excluded, score.nats, nats) == (reason, 0.0, [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [("\u4e00" * 3000, Exclusion.NOT_ROUND_TRIPPING), ("z" * 9000, Exclusion.TOKEN_OUT_OF_RANGE)],
)
def test_what_is_excluded_says_why(text: str, reason: Exclusion) -> None:
    class Narrow(UniformModel):
        @property
        def vocabulary(self) -> int:
            return ord("z") if text[0] == "z" else PREFIX + 1

    score = score_document(Narrow(), resolved(64), document(text), spans=frozenset({1}))
    assert score.excluded is reason
    assert [number for number, _ in score.spans] == [1]
    assert score.text_bytes <= 4099


@given(st.text(max_size=50))
def test_words_are_counted_as_lm_evaluation_harness_does(text: str) -> None:
    assert count_words(text) == len(re.split(r"\s+", text))
    runs = itertools.groupby(text, str.isspace)
    if all(character in " \t\n\r\f\v" or not character.isspace() for character in text):
        assert count_words(text) == 1 + sum(1 for space, _ in runs if space)
