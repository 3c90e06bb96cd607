"""Equal shares of ranks, as arithmetic."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.stream import spans
from services.corpus.stream.spans import Remainder, SpanPosition
from services.errors import InvalidArgument


def _documents(position: SpanPosition) -> list[int]:
    return [one for begin, end in position.spans for one in range(begin, end)]


@given(st.integers(0, 300), st.integers(1, 9), st.integers(1, 7), st.sampled_from(Remainder))
def test_every_rank_gets_as_many(total: int, world: int, batch: int, remainder: Remainder) -> None:
    whole = ((0, total),) if total else ()
    shares = [spans.share(whole, rank, world, batch, remainder) for rank in range(world)]
    given_out = [_documents(one.position) for one in shares]
    assert len({len(one) for one in given_out}) == 1
    assert all(len(one) == share.documents for one, share in zip(given_out, shares, strict=True))
    assert shares[0].documents % batch == 0
    got = Counter(one for rank in given_out for one in rank)
    assert (shares[0].dropped, shares[0].repeated) == (
        total - len(got),
        sum(got.values()) - len(got),
    )
    if remainder is Remainder.DROP:
        assert shares[0].repeated == 0
        assert shares[0].dropped < world * batch
    else:
        assert shares[0].dropped == 0
        assert shares[0].repeated < world * batch or total < world * batch


@given(st.integers(0, 1 << 30))
def test_changed_worlds_lose_and_repeat_nothing(seed: int) -> None:
    chance = random.Random(seed)
    total = chance.randrange(1, 400)
    left: spans.Spans = ((0, total),)
    taken: Counter[int] = Counter()
    for _ in range(4):
        world = chance.randrange(1, 7)
        ranks = [spans.share(left, r, world, 1, Remainder.DROP).position for r in range(world)]
        dropped = spans.share(left, 0, world, 1, Remainder.DROP).dropped
        assert dropped < world
        moved = []
        for rank in ranks:
            some = chance.randrange(len(_documents(rank)) + 1)
            taken.update(_documents(rank)[:some])
            moved.append(spans.after(rank, some))
        chance.shuffle(moved)
        left = spans.left_of(moved)
    taken.update(one for begin, end in left for one in range(begin, end))
    assert max(taken.values(), default=1) == 1
    assert total - len(taken) < 4 * 7  # fewer than a world's ranks at each change


def test_places_of_other_ranks_are_refused() -> None:
    first = SpanPosition(((0, 4),), 2, 0)
    with pytest.raises(InvalidArgument, match="each of the 2 ranks"):
        spans.left_of([first, first])
    with pytest.raises(InvalidArgument, match="3 more than there are"):
        spans.after(first, 7)
