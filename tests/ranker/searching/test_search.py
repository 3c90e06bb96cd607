"""From an intent to capabilities: what is found, why, and when nothing is."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.ranker import search_quality as quality
from services.ranker.claims.model import Artifact, ArtifactType, Capability, License
from services.ranker.claims.registry import packaged
from services.ranker.measuring import methods
from services.ranker.searching.search import MIN_CONFIDENCE, SearchIndex, split_words

REGISTERED = SearchIndex(packaged(methods.known()).artifacts)


def artifact(name: str, *capabilities: Capability) -> Artifact:
    return Artifact(
        id=name,
        name=name,
        type=ArtifactType.DATASET,
        description="made up",
        license=License("MIT", "MIT License"),
        pricing="free",
        capabilities=capabilities,
        claims=(),
        published=None,
        digest=f"sha256:{name}",
    )


def test_an_index_that_is_dropped_closes_its_database() -> None:
    index = SearchIndex(())
    database = index._database
    del index
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        database.execute("SELECT 1")


def test_a_match_says_which_words_it_rests_on_and_where_they_are() -> None:
    first, *_ = REGISTERED.search("label the pixels of a photograph")
    assert first.capability == "semantic-segmentation"
    found = {term.word: term.fields for term in first.terms}
    assert "intents" in found["pixels"]
    assert "photograph" not in found
    assert sum(term.weight for term in first.terms) == pytest.approx(first.confidence)
    assert MIN_CONFIDENCE <= first.confidence < 1


def test_artifacts_of_one_capability_are_one_match() -> None:
    first, *_ = REGISTERED.search("segment an image into regions")
    assert first.capability == "semantic-segmentation"
    names = [one.artifact.id for one in first.providers]
    assert len(names) == 6
    assert names == sorted(names)  # equally well described, so by id


def test_what_nothing_serves_finds_nothing() -> None:
    for intent in ("reserve a table for two", "transcribe a phone call", "the of and", "???", "!"):
        assert REGISTERED.search(intent) == ()


def test_a_type_leaves_the_others_out() -> None:
    assert REGISTERED.search("segment an image", ArtifactType.DATASET) == ()
    assert REGISTERED.search("segment an image", ArtifactType.SEGMENTATION_MODEL)


def test_words_are_stemmed_folded_and_safe_from_the_query_language() -> None:
    index = SearchIndex(
        [artifact("a", Capability("c", "Façade", "", intents=("parsing façades", "near a b")))]
    )
    for intent in ("FACADES", "parses facade", 'facade" OR "', "NEAR(facade, 3)", "façade*"):
        assert [one.capability for one in index.search(intent)] == ["c"], intent
    assert split_words("NEAR(Façade, 3) x_y") == ["near", "facade", "3", "x", "y"]


def test_an_index_of_nothing_finds_nothing() -> None:
    assert SearchIndex([]).search("anything") == ()


@given(st.text(max_size=200))
@example("0\u19b00")  # one word to Python, two to FTS5
def test_no_text_is_an_error(intent: str) -> None:
    for match in REGISTERED.search(intent):
        assert MIN_CONFIDENCE <= match.confidence <= 1 + 1e-9
        assert match.providers


@given(st.sampled_from(["books", "pixels", "perplexity", "jsonl"]), st.integers(1, 6))
def test_words_that_nothing_has_never_raise_confidence(word: str, strangers: int) -> None:
    alone = REGISTERED.search(word, floor=0)[0]
    crowd = f"{word} " + " ".join(f"zzgarble{number}" for number in range(strangers))
    assert REGISTERED.search(crowd, floor=0)[0].confidence < alone.confidence


def test_leaving_common_words_out_of_the_candidates_changes_no_answer() -> None:
    for intent in quality.read("train"):
        every = {one.capability: one for one in REGISTERED.search(intent.text, floor=0)}
        shown = REGISTERED.search(intent.text)
        expected = {name for name, one in every.items() if one.confidence >= MIN_CONFIDENCE}
        assert {one.capability for one in shown} == expected


def test_the_floor_is_what_the_training_intents_choose() -> None:
    assert quality.chosen_floor(REGISTERED) == MIN_CONFIDENCE
