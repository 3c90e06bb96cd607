"""Places of ranks: what is left after some documents, and after being dealt anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.stream import resume
from services.corpus.stream.resume import RankPosition
from services.errors import InvalidArgument

COUNTS = st.lists(st.integers(0, 4), max_size=12).map(lambda found: np.array(found, np.int64))


def left(place: RankPosition, counts: resume.Counts) -> list[tuple[int, int]]:
    """The documents that a rank has still to deliver, as (unit, document of it), in their order."""
    found = []
    while (head := resume.head(place, len(counts))) is not None:
        unit, taken = head
        found += [(unit, document) for document in range(taken, int(counts[unit]))]
        place = resume.through(place)
    return found


@given(COUNTS, st.integers(1, 4), st.data())
def test_a_place_after_documents_is_what_is_left_of_them(
    counts: resume.Counts, world: int, data: st.DataObject
) -> None:
    place = resume.start(data.draw(st.integers(0, world - 1)), world)
    whole = left(place, counts)
    for _ in range(data.draw(st.integers(1, 3))):
        remaining = left(place, counts)
        documents = data.draw(st.integers(0, len(remaining)))
        place = resume.after(place, counts, documents)
        assert left(place, counts) == remaining[documents:]
        assert whole[len(whole) - len(remaining[documents:]) :] == remaining[documents:]
    with pytest.raises(InvalidArgument, match=r"\b3 more than there are"):
        resume.after(place, counts, len(left(place, counts)) + 3)


@given(COUNTS, st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_dealing_anew_loses_and_repeats_nothing(
    counts: resume.Counts, worlds: list[int], data: st.DataObject
) -> None:
    positions = [resume.start(rank, worlds[0]) for rank in range(worlds[0])]
    taken: list[tuple[int, int]] = []
    for world in [*worlds[1:], 1]:
        for number, place in enumerate(positions):
            remaining = left(place, counts)
            documents = data.draw(st.integers(0, len(remaining)))
            taken += remaining[:documents]
            positions[number] = resume.after(place, counts, documents)
        positions = [resume.redeal(positions, len(counts), rank, world) for rank in range(world)]
    taken += [one for place in positions for one in left(place, counts)]
    everything = [(unit, n) for unit in range(len(counts)) for n in range(int(counts[unit]))]
    assert sorted(taken) == everything
