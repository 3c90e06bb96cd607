from __future__ import annotations

import math
import threading
from contextlib import closing
from functools import partial
from itertools import repeat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import Progress, score_document
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.journal import Journal
from services.corpus.bpb.one_at_a_time import CancelledError
from services.corpus.bpb.sampling import Sample, Unit
from services.corpus.bpb.scoring import ScoreOne, Scoring
from services.corpus.shards.documents import Document
from services.errors import InvalidArgument, ModelUnusable
from tests.corpus.bpb.fakes import PREFIX, UniformModel, document, info, resolved

DEFINITION = resolved(16)


def scores(model: UniformModel) -> ScoreOne:
    return partial(score_document, model, DEFINITION)


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(1, 20))
def test_every_token_costs_what_it_should(text: str, max_length: int) -> None:
    model = UniformModel()
    score = score_document(model, resolved(max_length), document(text))
    assert score.tokens == len(text)
    assert score.nats == pytest.approx(len(text) * math.log(8), rel=1e-6)
    assert score.text_bytes == len(text.encode())
    if not text:
        assert score.excluded is Exclusion.EMPTY
    elif all(ord(c) <= PREFIX for c in text):
        assert score.excluded is None
    else:
        assert score.excluded is Exclusion.NOT_ROUND_TRIPPING
    for batch in model.batches:
        assert len({len(window.inputs) for window in batch}) == 1, "nothing is padded"


def test_an_empty_document_is_excluded_and_costs_nothing() -> None:
    model = UniformModel()
    score = score_document(model, DEFINITION, document(""))
    assert (score.nats, score.tokens, score.text_bytes) == (0, 0, 0)
    assert score.excluded is Exclusion.EMPTY
    assert math.copysign(1, score.nats) == 1
    assert model.batches == []


def test_a_document_of_one_token_is_scored_after_the_prefix() -> None:
    model = UniformModel()
    score = score_document(model, DEFINITION, document("x"))
    assert score.tokens == 1
    assert [(list(w.inputs), list(w.targets)) for w in model.batches[0]] == [([PREFIX], [120])]


def test_special_tokens_are_scored_only_when_asked_for() -> None:
    model = UniformModel()
    plain = score_document(model, DEFINITION, document("xy"))
    special = score_document(model, resolved(16, special_tokens=True), document("xy"))
    assert (plain.tokens, special.tokens) == (2, 3)
    assert special.nats > plain.nats
    assert special.excluded is None
    assert list(model.batches[1][0].inputs) == [PREFIX, PREFIX, 120]


class _Narrow(UniformModel):
    """A model with fewer embeddings than its tokenizer has tokens."""

    @property
    def vocabulary(self) -> int:
        return ord("y")


def test_a_document_that_reaches_past_the_embedding_is_excluded_and_not_computed() -> None:
    model = _Narrow()
    assert score_document(model, DEFINITION, document("xx")).excluded is None
    model.batches.clear()
    score = score_document(model, DEFINITION, document("xyz"))
    assert score.excluded is Exclusion.TOKEN_OUT_OF_RANGE
    assert (score.nats, score.tokens, score.text_bytes) == (0, 0, 3)
    assert model.batches == []


def test_a_lone_surrogate_reaches_the_model_as_one() -> None:
    text = "a\ud800b"
    score = score_document(
        UniformModel(), DEFINITION, document(text.encode("utf-8", "surrogatepass"))
    )
    assert score.text_bytes == 5
    assert score.tokens == 3


def test_batches_hold_windows_of_one_document() -> None:
    model = UniformModel()
    score_document(model, DEFINITION, document("x" * 100))
    assert [len(batch) for batch in model.batches] == [3, 3, 1]


@pytest.mark.slow
def test_a_document_of_ten_megabytes_is_scored_whole() -> None:
    score = score_document(UniformModel(), resolved(1024), document("x" * 10_000_000))
    assert score.tokens == 10_000_000
    assert score.nats == pytest.approx(10_000_000 * math.log(8), rel=1e-6)


def test_a_likelihood_that_is_not_a_number_names_the_document_and_counts_nothing() -> None:
    documents = [document("good", name="1"), document("bad!", name="2")]
    scoring = Scoring()
    with pytest.raises(ModelUnusable, match=r"document test\.jsonl\.zst:2; nothing was counted"):
        scoring.run("m", scores(UniformModel(poison=ord("!"))), lambda: iter(documents))


def test_no_document_is_an_error() -> None:
    with pytest.raises(InvalidArgument, match="no document"):
        Scoring().run("m", scores(UniformModel()), lambda: iter(()))


def test_progress_knows_the_total_and_the_time_left() -> None:
    gate = threading.Event()
    model = UniformModel(gate=gate)
    scoring = Scoring()
    assert scoring.running().seconds_left is None
    documents = [document("x" * 10), document("y" * 10, "b")]
    thread = threading.Thread(
        target=scoring.run, args=("m", scores(model), lambda: iter(documents))
    )
    thread.start()
    assert model.reached.wait(30)
    running = scoring.running()
    assert (running.documents_total, running.overall.documents) == (2, 0)
    gate.set()
    thread.join(30)
    running = scoring.running()
    assert running.overall.tokens == 20
    assert list(running.subsets) == ["a", "b"]
    assert running.seconds_left == 0
    assert running.tokens_per_second > 0


def test_documents_that_are_left_out_are_done() -> None:
    empty = document("", name="2")
    scoring = Scoring()
    scoring.run("m", scores(UniformModel()), lambda: iter([document("x" * 10), empty]))
    running = scoring.running()
    assert (running.documents_done, running.overall.documents) == (2, 1)


def test_cancelling_ends_it_at_the_next_batch() -> None:
    model = UniformModel()
    scoring = Scoring()
    scoring.cancel()
    with pytest.raises(CancelledError):
        scoring.run("m", scores(model), lambda: repeat(document("x" * 1000)))
    assert model.batches == []


@pytest.mark.parametrize(("asked", "got"), [(0, 512), (1, 1), (512, 512)])
def test_a_definition_is_spelled_out(asked: int, got: int) -> None:
    assert Definition(asked).resolve(info(512)).max_length == got


@pytest.mark.parametrize("asked", [513, 10**9])
def test_a_window_longer_than_the_models_is_refused(asked: int) -> None:
    with pytest.raises(InvalidArgument, match="longest window is 512") as caught:
        Definition(asked).resolve(info(512))
    assert caught.value.field == "definition.max_length"


@pytest.mark.slow
@pytest.mark.parametrize("sample", [Sample(spans=9, seed=4), Sample(documents=9, seed=4)])
def test_a_sample_that_was_cut_off_goes_on_to_the_same_bits(tmp_path: Path, sample: Sample) -> None:
    texts = [document(f"{i}" * (3000 * (i % 5) + 40), "ab"[i % 2], str(i)) for i in range(30)]

    def run(journal: Journal, *, stop_after: int = 1 << 30) -> list[DocumentScore]:
        model = UniformModel()
        scoring = Scoring()
        count = 0

        def score(one: Document, progress: Progress, spans: frozenset[int] | None) -> DocumentScore:
            nonlocal count
            count += 1
            if count > stop_after:
                scoring.cancel()
            return score_document(model, DEFINITION, one, progress, spans)

        with closing(journal):
            return scoring.run("m", score, lambda: iter(texts), sample=sample, journal=journal)

    whole = Journal(tmp_path / "whole.score", {})
    scores = run(whole)
    with pytest.raises(CancelledError):
        run(Journal(tmp_path / "cut.score", {}), stop_after=3)
    again = Journal(tmp_path / "cut.score", {})
    assert len(again.finished) == 3
    assert run(again) == scores
    assert again.drawn == whole.drawn
    kept = Journal(tmp_path / "cut.score", {})
    kept.close()
    assert (kept.complete, kept.finished, kept.drawn) == (True, scores, whole.drawn)
    assert len(scores) < len(texts)
    assert all(bool(one.spans) == (sample.unit is Unit.SPANS) for one in scores)
