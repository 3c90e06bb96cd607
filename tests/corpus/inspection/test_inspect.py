"""What documents are made of: each part against a plain computation."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.bpb.one_at_a_time import CancelledError
from services.corpus.contamination.words import words_of
from services.corpus.inspection import inspect as module
from services.corpus.inspection import languages, near_duplicates
from services.corpus.inspection.contaminated import Contaminated
from services.corpus.inspection.inspect import Wanted, Watch, inspect
from services.corpus.inspection.repeats import repeats
from services.corpus.inspection.vocabulary import KEPT, Distinct
from services.corpus.personal_data import PersonalData, count
from services.corpus.shards.documents import Document
from services.errors import Unsupported

SPLITS = {"train/00.jsonl.zst": "train", "test.jsonl.zst": "test"}


def documents(texts: Sequence[tuple[str, str, str]]) -> list[Document]:
    """Documents of (split, subset, text)."""
    paths = {split: path for path, split in SPLITS.items()}
    return [
        Document(f"{paths[split]}:{at}", subset, text.encode(), b"", paths[split], at)
        for at, (split, subset, text) in enumerate(texts)
    ]


def words(source: random.Random, number: int) -> str:
    return " ".join(f"w{source.randrange(10**6)}" for _ in range(number))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("write to Ann.Lee+x@mail.example.org, or to bob@example.com.", (2, 0, 0)),
        ("a@b, @handle, x@y.z, .@example.org, user@-bad-.org", (0, 0, 0)),
        ("a@b.com@c.com", (1, 0, 0)),
        ("server 8.8.8.8 and 93.184.216.34.", (0, 2, 0)),
        ("127.0.0.1 10.1.2.3 192.168.0.1 0.0.0.0", (0, 0, 0)),
        ("version 1.2.3.4.5, 999.1.1.1, x1.2.3", (0, 0, 0)),
        ("(212) 555-0100 or 212-555-0100, 212.555.0100 and 212 555 0100", (0, 0, 4)),
        ("+44 20 7946 0958 and +49 (30) 901820, +1 212-555-0100", (0, 0, 3)),
        ("p(x+10,y), C++11, 2+1000, 12345678, 2020-01-2010, +1", (0, 0, 0)),
        ("", (0, 0, 0)),
    ],
)
def test_personal_data(text: str, found: tuple[int, int, int]) -> None:
    assert count(text.encode()) == PersonalData(*found, documents=int(any(found)))


@pytest.mark.parametrize("part", [b"@", b"a@a.", b"1.1.1.", b"+1 (", b"(212)", b"a" * 64 + b"@"])
def test_no_text_makes_patterns_slow(part: bytes) -> None:
    count(part * (1_000_000 // len(part)))  # quadratic time would be hours


def test_different_words_are_counted_and_then_estimated() -> None:
    source = np.random.default_rng(3)
    hashes = source.integers(0, 2**64, 300_000, dtype=np.uint64)
    few, many = Distinct(), Distinct()
    for start in range(0, 300_000, 1_000):
        few.add(hashes[: KEPT - 1])
        many.add(hashes[start : start + 1_000])
        many.add(hashes[start : start + 500])
    assert few.count() == KEPT - 1
    assert many.count() == pytest.approx(300_000, rel=0.08)  # five standard errors
    assert Distinct().count() == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 1))))
def test_repeats_are_those_of_a_plain_count(rows: list[tuple[int, int, int]]) -> None:
    keys, splits, subsets = (np.array([row[part] for row in rows]) for part in range(3))
    found = repeats(
        *(keys.astype(np.uint64), splits.astype(np.uint8), subsets.astype(np.uint32)),
        *("abc", "xy"),
    )
    seen: set[int] = set()
    again = []
    for key, _, subset in rows:
        if key in seen:
            again.append("xy"[subset])
        seen.add(key)
    assert found.by_subset == {name: again.count(name) for name in "xy"}
    for number, name in enumerate("abc"):
        own = [key for key, split, _ in rows if split == number]
        assert found.within[name] == len(own) - len(set(own))
        for other_number, other in enumerate("abc"):
            if other != name:
                theirs = {key for key, split, _ in rows if split == other_number}
                assert found.between[name, other] == sum(key in theirs for key in own)


def test_one_pass_finds_all_of_it() -> None:
    source = random.Random(4)
    secret, page = words(source, 40), words(source, 300)
    part = " ".join(secret.split()[5:30])
    rows = [
        ("train", "A", f"{words(source, 50)} {part.upper()}. {words(source, 50)}"),
        ("train", "A", page),
        ("train", "B", "mail ann@example.org"),
        ("test", "B", page),
        ("test", "", page),
    ]
    watch = Watch()
    sets = {"exam": [b"too short", secret.encode()], "clean": [words(source, 20).encode()]}
    found = inspect(documents(rows), SPLITS, Wanted(sets), watch)
    assert found.contamination is not None
    contamination = found.contamination
    (place,) = contamination.places
    assert (place.document, place.subset, place.split) == ("train/00.jsonl.zst:0", "A", "train")
    assert (place.test_set, place.number, place.hit.words) == ("exam", 1, 25)
    text = rows[0][2].encode()[place.hit.start : place.hit.end]
    assert text == part.upper().encode()
    assert place.excerpt == part.upper()[:160]
    share = contamination.by_subset["A"]
    assert (share.documents, share.text_bytes) == (1, len(part))
    exam, clean = contamination.sets
    assert (exam.texts, exam.too_short, exam.found, exam.longest) == (2, 1, 1, 25)
    assert (clean.texts, clean.too_short, clean.found, clean.longest) == (1, 0, 0, 0)
    assert contamination.documents == {"train/00.jsonl.zst:0"}
    assert found.exact.within == {"train": 0, "test": 1}
    assert found.exact.between == {("train", "test"): 1, ("test", "train"): 2}
    assert found.exact.by_subset == {"A": 0, "B": 1, "": 1}
    assert found.whole.count.documents == 5
    assert found.whole.count.text_bytes == sum(len(row[2].encode()) for row in rows)
    assert found.whole.words == sum(len(row[2].split()) for row in rows)
    assert found.whole.personal == PersonalData(emails=1, documents=1)
    assert found.subsets["B"].personal.emails == 1
    assert found.subsets["B"].lengths is not None
    assert (found.subsets["B"].lengths.least, found.subsets["B"].lengths.most) == (20, len(page))
    assert (watch.documents, watch.hits) == (5, 1)
    assert (found.near, found.languages) == (None, {})


def test_hits_that_overlap_count_their_bytes_once() -> None:
    source = random.Random(5)
    text = words(source, 30)
    contaminated = Contaminated({"a": [text.encode()], "b": [text.encode()]}, 13)
    (document,) = documents([("test", "S", text)])
    contaminated.add(document, words_of(document.text), "test")
    assert contaminated.result().by_subset["S"].text_bytes == len(text)
    assert contaminated.result().hits == 2


def test_the_longest_hits_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.corpus.inspection.contaminated.MOST_LISTED", 2)
    source = random.Random(6)
    texts = [words(source, length) for length in (20, 50, 13, 40, 50)]
    found = inspect(
        documents([("test", "S", text) for text in texts]),
        SPLITS,
        Wanted({"t": [text.encode() for text in texts]}),
    ).contamination
    assert found is not None
    assert found.hits == 5
    assert [(place.hit.words, place.number) for place in found.places] == [(50, 1), (50, 4)]


def test_further_subsets_count_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SUBSETS", 2)
    found = inspect(documents([("test", str(at), "x") for at in range(5)]), SPLITS, Wanted())
    assert {name: part.count.documents for name, part in found.subsets.items()} == {
        "(others)": 3,
        "0": 1,
        "1": 1,
    }


def test_a_corpus_without_documents() -> None:
    found = inspect([], SPLITS, Wanted({"t": [b"x"]}))
    assert found.whole.count.documents == found.exact.documents == 0
    assert found.whole.lengths is None


def test_what_needs_a_library_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unsupported, match=r"rensa.*assay-services\[corpus-audit\]"):
        inspect([], SPLITS, Wanted(near_duplicates=True))
    with pytest.raises(Unsupported, match=r"py3langid.*assay-services\[corpus-audit\]"):
        inspect([], SPLITS, Wanted(languages=True))


def test_near_duplicates_are_found_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rensa")
    source = random.Random(8)
    texts = [words(source, 400) for _ in range(60)]
    edited = texts[:20]
    for at, text in enumerate(edited):
        changed = text.split()
        changed[200] = "other"
        edited[at] = " ".join(changed)
    far = [" ".join(text.split()[:200]) + " " + words(source, 200) for text in texts[20:40]]
    rows = [("train", "A", text) for text in texts]
    rows += [("test", "B", text) for text in [*edited, *far, "", "", "short text", "short text"]]
    found = inspect(documents(rows), SPLITS, Wanted(near_duplicates=True))
    assert found.near is not None
    assert found.near.by_subset == {"A": 0, "B": 21}
    assert found.near.between["test", "train"] == 20
    assert found.near_documents == len(rows)
    monkeypatch.setattr(near_duplicates, "MOST_DOCUMENTS", 10)
    found = inspect(documents(rows), SPLITS, Wanted(near_duplicates=True))
    assert found.near_documents == 10


@pytest.mark.slow
def test_languages_of_a_sample_that_does_not_depend_on_the_order() -> None:
    pytest.importorskip("py3langid")
    english = "The committee will meet again tomorrow to discuss the weather and the harvest."
    german = "Der Ausschuss trifft sich morgen wieder, um über das Wetter zu sprechen."
    rows = documents([("train", "A", english)] * 30 + [("train", "A", german)] * 10)
    found = inspect(rows, SPLITS, Wanted(languages=True)).languages
    assert found == {"en": 30, "de": 10}
    one, other = languages.Languages(7), languages.Languages(7)
    for document in rows:
        one.add(document.id, document.text)
    for document in reversed(rows):
        other.add(document.id, document.text)
    assert one.found() == other.found()
    assert one.found().total() == 7


def test_work_that_is_no_longer_wanted_ends_at_the_next_document() -> None:
    watch = Watch()

    def check() -> None:
        if watch.documents == 2:
            raise CancelledError

    watch.check = check
    with pytest.raises(CancelledError):
        inspect(documents([("test", "A", "x")] * 5), SPLITS, Wanted(), watch)
    assert watch.documents == 2
