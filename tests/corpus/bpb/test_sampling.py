from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.samples.spans import span_ends
from services.corpus.bpb.sampling import (
    Allocation,
    Chooser,
    Sample,
    Unit,
    drawn_json,
    drawn_of,
)
from services.corpus.shards.documents import Document
from services.errors import InvalidArgument
from tests.corpus.bpb.fakes import document

SIZES = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.integers(0, 30_000), max_size=6), min_size=1
)
SAMPLES = st.builds(
    lambda unit, size, seed, allocation: Sample(
        size if unit is Unit.SPANS else 0,
        size if unit is Unit.DOCUMENTS else 0,
        seed,
        allocation,
    ),
    st.sampled_from(Unit),
    st.integers(1, 30),
    st.integers(0, 2**64 - 1),
    st.sampled_from(Allocation),
)


def documents(sizes: dict[str, list[int]]) -> list[Document]:
    return [
        document("\u00e9" * (size // 2) + "x" * (size % 2), name, f"{name}{number}")
        for name, found in sizes.items()
        for number, size in enumerate(found)
    ]


def choose(sample: Sample | None, everything: list[Document]) -> Chooser:
    chooser = Chooser(sample)
    for one in everything:
        chooser.see(one)
    chooser.choose()
    return chooser


def chosen(chooser: Chooser, everything: list[Document]) -> dict[str, frozenset[int] | None]:
    return {one.id: chooser.spans(one) for one in everything if chooser.chosen(one)}


@given(SIZES, SAMPLES, st.randoms(use_true_random=False))
def test_what_is_chosen_does_not_depend_on_the_order(
    sizes: dict[str, list[int]], sample: Sample, rng: object
) -> None:
    everything = documents(sizes)
    if not any(one.text for one in everything):
        with pytest.raises(InvalidArgument, match="no document with a text is in it"):
            choose(sample, everything)
        return
    chooser = choose(sample, everything)
    taken = chosen(chooser, everything)
    assert len(taken) == chooser.documents
    read = 0
    for one in everything:
        if one.id in taken:
            numbers = taken[one.id]
            ends = [0, *span_ends(one.text)]
            pieces = range(len(ends) - 1) if numbers is None else sorted(numbers)
            read += sum(ends[number + 1] - ends[number] for number in pieces)
            assert (numbers is None) == (sample.unit is Unit.DOCUMENTS)
    assert read == chooser.text_bytes
    shuffled = everything[:]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    again = choose(sample, shuffled)
    assert chosen(again, everything) == taken
    assert again.drawn == chooser.drawn


@given(SIZES, SAMPLES)
def test_a_sample_survives_json(sizes: dict[str, list[int]], sample: Sample) -> None:
    everything = [*documents(sizes), document("x", "a", "one")]
    drawn = choose(sample, everything).drawn
    assert drawn is not None
    assert drawn_of(json.loads(json.dumps(drawn_json(drawn)))) == drawn


def test_a_sample_larger_than_the_selection_is_all_of_it() -> None:
    everything = documents({"a": [20, 9000], "b": [1, 0]})
    for sample in (Sample(spans=1000), Sample(documents=1000)):
        chooser = choose(sample, everything)
        assert chooser.documents == 3
        assert chooser.text_bytes == 9021
        assert chooser.drawn is not None
        assert all(part.complete for part in chooser.drawn.values())


def test_a_giant_is_drawn_and_a_small_subset_has_its_two() -> None:
    everything = documents({"giant": [10_000_000], "small": [9] * 1000})
    taken = chosen(choose(Sample(documents=5), everything), everything)
    assert "test.jsonl.zst:giant0" in taken
    assert sum("small" in name for name in taken) >= 2


def test_no_sample_is_everything() -> None:
    everything = documents({"a": [3, 0, 5]})
    chooser = choose(None, everything)
    assert chosen(chooser, everything) == dict.fromkeys([one.id for one in everything])
    assert (chooser.documents, chooser.text_bytes, chooser.drawn) == (3, 8, None)


def test_nothing_selected_is_an_error() -> None:
    with pytest.raises(InvalidArgument, match="no document is in it"):
        choose(None, [])
