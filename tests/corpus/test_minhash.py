"""Signatures estimate what two texts have in common."""

from __future__ import annotations

import itertools

import pytest

from services.corpus.contamination.words import words_of
from tests.corpus.build.recipes import edited, prose
from tests.corpus.build.test_duplicates import jaccard

pytest.importorskip("rensa", reason="needs the build extra")

from services.corpus.minhash import Signer, has_words


def test_signatures_estimate_what_two_texts_share() -> None:
    texts = [prose(1, 400)]
    texts += [edited(texts[0], seed, edits) for seed, edits in enumerate((1, 5, 20, 60))]
    signer = Signer(512, 5)
    for text in (*texts, ""):
        signer.add(words_of(text))
    signed = signer.signatures()
    assert has_words(signed).tolist() == [True] * 5 + [False]
    for left, right in itertools.combinations(range(5), 2):
        estimate = float((signed[left] == signed[right]).mean())
        assert estimate == pytest.approx(jaccard(texts[left], texts[right]), abs=0.1)


def test_a_text_of_few_words_is_its_words() -> None:
    signer = Signer(64, 5)
    for text in ("one two", "One, two!", "two one", "one"):
        signer.add(words_of(text))
    signed = signer.signatures()
    assert (signed[0] == signed[1]).all()
    assert (signed[0] == signed[2]).all()  # a set, as of runs
    assert not (signed[0] == signed[3]).all()
