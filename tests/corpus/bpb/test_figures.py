from __future__ import annotations

import json
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.bpb.exact_sum import ExactSum
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import EXCLUDED_IDS, DocumentScore, ScoreTotals, perplexity

VALUES = st.floats(0, 1e9, allow_nan=False)


@given(st.lists(st.floats(-1e15, 1e15), max_size=40))
def test_a_sum_is_the_exact_one_correctly_rounded(values: list[float]) -> None:
    total = ExactSum()
    for value in values:
        total.add(value)
    assert total.value == float(sum(map(Fraction, values), Fraction(0)))


LOST = Exclusion.NOT_ROUND_TRIPPING


def score(
    nats: float, subset: str, text_bytes: int = 10, *, excluded: Exclusion | None = None
) -> DocumentScore:
    return DocumentScore(f"{subset}:{nats}", subset, nats, text_bytes, 3, excluded)


DOCUMENTS = st.lists(
    st.builds(
        lambda nats, subset, size, reason: score(nats, subset, size, excluded=reason),
        VALUES,
        st.sampled_from("abc"),
        st.integers(0, 1000),
        st.sampled_from([None, *Exclusion]),
    ),
    max_size=30,
)


def snapshot(figures: ScoreTotals) -> object:
    return (
        figures.overall,
        figures.subsets,
        figures.excluded,
        figures.documents,
    )


def counted(documents: list[DocumentScore]) -> ScoreTotals:
    figures = ScoreTotals()
    for document in documents:
        figures.add(document)
    return figures


@given(DOCUMENTS, DOCUMENTS)
def test_merged_parts_are_the_whole(
    first: list[DocumentScore], second: list[DocumentScore]
) -> None:
    merged = counted(first)
    merged.merge(counted(second))
    assert snapshot(merged) == snapshot(counted(first + second))


@given(DOCUMENTS, st.randoms())
def test_the_order_of_documents_does_not_matter(
    documents: list[DocumentScore], rng: object
) -> None:
    shuffled = documents[:]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    a, b = counted(documents), counted(shuffled)
    assert (a.overall, a.subsets) == (b.overall, b.subsets)


def test_subsets_and_lost_documents_are_kept_apart() -> None:
    ln2 = math.log(2)
    figures = counted(
        [
            score(10 * ln2, "x", 10),  # 1 bit a byte
            score(20 * ln2, "y", 5),  # 4
            score(40 * ln2, "y", 15),  # 2.67; both of y: 3
            score(1e9, "y", excluded=LOST),
            score(0.0, "nothing", 0),
        ]
    )
    assert figures.overall.bits_per_byte == pytest.approx(70 / 30)
    assert list(figures.subsets) == ["nothing", "x", "y"]
    assert figures.overall.documents == 4
    assert set(figures.excluded) == {LOST}
    assert figures.excluded[LOST].score.documents == 1
    assert figures.excluded[LOST].ids == ("y:1000000000.0",)
    assert figures.documents == 5


def test_ids_of_lost_documents_are_bounded() -> None:
    many = counted([score(float(i), "x", excluded=LOST) for i in range(EXCLUDED_IDS + 5)])
    many.merge(counted([score(1.0, "y", excluded=LOST)]))
    assert len(many.excluded[LOST].ids) == EXCLUDED_IDS
    assert many.excluded[LOST].score.documents == EXCLUDED_IDS + 6


def test_nothing_scored_has_no_value() -> None:
    nothing = counted([score(5.0, "x", excluded=reason) for reason in Exclusion])
    unread = counted([DocumentScore("d", "x", 0.0, 12, 0)])  # one token, and no prefix before it
    for figures in (ScoreTotals(), nothing, unread):
        assert figures.overall.bits_per_byte is None
        assert figures.overall.nats_per_token is None
    assert nothing.documents == 3


def test_a_document_survives_json() -> None:
    for reason in (None, *Exclusion):
        one = score(0.1, "x", excluded=reason)
        assert DocumentScore.of(json.loads(json.dumps(one.row()))) == one
    part = DocumentScore("d", "x", 0.1, 8, 3, words=None, spans=((0, 70), (5, 1 << 70)))
    assert DocumentScore.of(json.loads(json.dumps(part.row()))) == part
    counted_words = DocumentScore("d", "x", 0.1, 8, 3, words=2)
    assert DocumentScore.of(json.loads(json.dumps(counted_words.row()))) == counted_words


def test_a_document_of_an_earlier_version_is_read() -> None:
    assert DocumentScore.of(["d", "x", 0.5, 8, 3, "not_round_tripping"]) == DocumentScore(
        "d", "x", 0.5, 8, 3, LOST
    )


def test_words_are_unknown_where_one_documents_are() -> None:
    known = [DocumentScore(str(i), "x", 6.0, 9, 2, words=3) for i in range(2)]
    assert counted(known).overall.words == 6
    assert counted(known).overall.word_perplexity == pytest.approx(math.exp(2))
    unknown = counted([*known, score(1.0, "x")])
    assert unknown.overall.words is None
    assert unknown.overall.word_perplexity is None
    hard = counted([DocumentScore("d", "x", 1e5, 9, 2, words=1)])
    assert hard.overall.word_perplexity is None
    assert perplexity(709.0) == math.exp(709.0)
    assert perplexity(710.0) is None


def test_what_follows_from_the_sums() -> None:
    figures = counted([score(6.0, "x", 9), score(12.0, "x", 9)])
    assert figures.overall.nats_per_token == 3
    assert figures.overall.bytes_per_token == 3
