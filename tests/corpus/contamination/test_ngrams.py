"""The scanner: against lm-evaluation-harness's normalisation in plain Python, and with needles."""

from __future__ import annotations

import random
import string
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.corpus.contamination import ngrams
from services.corpus.contamination.hit import Hit
from services.corpus.contamination.ngrams import NgramIndex
from services.corpus.contamination.words import KEPT, Words, as_bytes, same, split, words_of
from services.errors import InvalidArgument, TooLarge

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase, string.punctuation)
# Few words, in several spellings, so that texts share runs by chance.
_SPELLINGS = ["a", "A", "b", "b,", "(c)", "c", "é", "É", "don't", "dont", "--", "\0", "0"]
_SPACES = [" ", "\n", "\u00a0", "\u3000", "\u2003", "\t ", "\x85", "\x1c"]


def normalised(text: str) -> list[str]:
    """What janitor.py's normalize_string and word_ngrams do."""
    return text.translate(_LOWER).split()


def spelled(text: str) -> list[str]:
    data = as_bytes(text)
    starts, ends, _ = split(data, KEPT)
    kept = [data[start:end].tobytes() for start, end in zip(starts, ends, strict=True)]
    return [word.decode("utf-8", "surrogatepass").translate(_LOWER) for word in kept]


@st.composite
def texts(draw: st.DrawFn, most: int = 40) -> str:
    words = draw(
        st.lists(st.tuples(st.sampled_from(_SPELLINGS), st.sampled_from(_SPACES)), max_size=most)
    )
    return "".join(word + space for word, space in words)


@given(st.text())
def test_the_words_are_those_of_janitor(text: str) -> None:
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert spelled(text) == normalised(text)


@pytest.mark.slow
def test_every_white_space_separates_and_nothing_else_does() -> None:
    for code in range(sys.maxunicode + 1):
        if 0xD800 <= code < 0xE000:
            continue
        character = chr(code)
        words = len(split(as_bytes(f"a{character}b"), KEPT)[0])
        assert words == len(f"a{character}b".split()), hex(code)


@given(texts(), texts())
def test_two_words_are_the_same_when_their_normal_forms_are(one: str, other: str) -> None:
    first, second = as_bytes(one), as_bytes(other)
    here, there = split(first, KEPT), split(second, KEPT)
    for start, end, word in zip(here[0], here[1], normalised(one), strict=True):
        for begin, finish, wanted in zip(there[0], there[1], normalised(other), strict=True):
            assert same(first, start, end, second, begin, finish, KEPT) == (word == wanted)


def shared_ngrams(document: str, text: str, n: int) -> set[int]:
    """Words of the document at which an n-gram begins that the text has."""
    words, wanted = normalised(document), normalised(text)
    grams = {tuple(wanted[at : at + n]) for at in range(len(wanted) - n + 1)}
    return {at for at in range(len(words) - n + 1) if tuple(words[at : at + n]) in grams}


@pytest.mark.slow
@given(texts(), st.lists(texts(), max_size=4), st.integers(1, 5))
@settings(max_examples=400)
def test_hits_cover_every_shared_ngram_and_nothing_else(
    document: str, tests: list[str], n: int
) -> None:
    index = NgramIndex([(str(at), text) for at, text in enumerate(tests)], n)
    hits = index.hits(document)
    encoded = document.encode()
    starts = split(as_bytes(document), KEPT)[0].tolist()
    for at, text in enumerate(tests):
        covered: set[int] = set()
        for hit in (hit for hit in hits if hit.test == str(at)):
            here = normalised(encoded[hit.start : hit.end].decode())
            there = normalised(text.encode()[hit.test_start : hit.test_end].decode())
            assert here == there
            assert len(here) == hit.words >= n
            first = starts.index(hit.start)
            covered.update(range(first, first + hit.words - n + 1))
        assert covered == shared_ngrams(document, text, n)
    assert index.too_short == [
        str(at) for at, text in enumerate(tests) if len(normalised(text)) < n
    ]


@pytest.mark.slow
@given(texts(), texts(), st.integers(1, 4))
def test_no_hit_can_be_made_longer(document: str, text: str, n: int) -> None:
    words, wanted = normalised(document), normalised(text)
    index = NgramIndex([("t", text)], n)
    starts = split(as_bytes(document), KEPT)[0].tolist()
    begins = split(as_bytes(text), KEPT)[0].tolist()
    for hit in index.hits(document):
        here, there = starts.index(hit.start), begins.index(hit.test_start)
        if here and there:
            assert words[here - 1] != wanted[there - 1]
        if here + hit.words < len(words) and there + hit.words < len(wanted):
            assert words[here + hit.words] != wanted[there + hit.words]


def needle(source: random.Random, words: int) -> str:
    return " ".join(f"w{source.randrange(10**6)}" for _ in range(words))


def disguised(source: random.Random, text: str) -> str:
    """Write a text in other letters, punctuation and white space."""
    words = [word.upper() if source.random() < 0.3 else word for word in text.split()]
    words = [f"({word[0]}'{word[1:]}!" if source.random() < 0.3 else word for word in words]
    return "".join(word + source.choice([" ", "\n\n", "\u00a0", " - "]) for word in words)


def test_planted_needles_are_found_where_they_are() -> None:
    source = random.Random(7)
    tests = [(f"set#{at}", needle(source, source.randrange(13, 60))) for at in range(300)]
    index = NgramIndex(tests)
    for name, text in tests:
        words = text.split()
        length = source.randrange(13, len(words) + 1)
        first = source.randrange(len(words) - length + 1)
        planted = disguised(source, " ".join(words[first : first + length]))
        before, after = needle(source, 50) + " ", needle(source, 50)
        (hit,) = index.hits(before + planted + after)
        assert (hit.test, hit.words) == (name, length)
        begin, finish = hit.test_start, hit.test_end
        assert text.encode()[begin:finish].decode().split() == words[first : first + length]
        assert len(before) <= hit.start < hit.end <= len((before + planted).encode())


def test_twelve_words_are_no_hit() -> None:
    source = random.Random(8)
    text = needle(source, 40)
    index = NgramIndex([("t", text)])
    words = text.split()
    assert not index.hits(f"{needle(source, 9)} {' '.join(words[5:17])} {needle(source, 9)}")
    assert index.hits(f"{needle(source, 9)} {' '.join(words[5:18])} {needle(source, 9)}")


def test_equal_hashes_of_different_words_are_no_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every word is made to hash alike, so that all n-grams collide."""

    def colliding(text: str) -> Words:
        words = words_of(text)
        return replace(words, hashes=np.zeros_like(words.hashes))

    monkeypatch.setattr(ngrams, "words_of", colliding)
    source = random.Random(9)
    text = needle(source, 30)
    index = NgramIndex([("t", text)])
    assert not index.hits(needle(source, 200))


def test_one_text_in_two_test_sets_is_two_hits() -> None:
    text = needle(random.Random(1), 20)
    index = NgramIndex([("one", text), ("two", f"more {text}")])
    assert index.hits(f"so {text}") == [
        Hit("one", 3, 3 + len(text), 0, len(text), 20),
        Hit("two", 3, 3 + len(text), 5, 5 + len(text), 20),
    ]


def test_texts_of_one_word_are_covered_by_few_hits() -> None:
    hits = NgramIndex([("zeros", "0 " * 5_000)]).hits("0 " * 20_000)
    assert [hit.words for hit in hits[:4]] == [5_000] * 4
    assert len(hits) == 5
    assert hits[-1].end == 2 * 20_000 - 1


def test_more_hits_than_first_expected() -> None:
    text = needle(random.Random(2), 15)
    index = NgramIndex((str(at), text) for at in range(1_000))
    assert [hit.test for hit in index.hits(text)] == [str(at) for at in range(1_000)]


def test_an_index_of_nothing_finds_nothing() -> None:
    assert NgramIndex([]).hits("a " * 20) == []
    assert NgramIndex([("short", "too few words")]).hits("too few words " * 9) == []
    assert NgramIndex([("t", "a " * 13)]).hits(b"") == []


def test_what_an_index_cannot_be_of(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgument, match="n: is 0; an n-gram has 1 to 1,000 words"):
        NgramIndex([], n=0)
    monkeypatch.setattr(ngrams, "MOST_BYTES", 10)
    with pytest.raises(TooLarge, match="fewer files at a time"):
        NgramIndex([("t", "more than ten bytes")])
