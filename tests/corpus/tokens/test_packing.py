"""Packing and steps, as arithmetic."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.stream import global_batches
from services.corpus.stream.global_batches import TokenPosition
from services.corpus.tokens.packing import best_fit, concatenated
from services.errors import InvalidArgument

COUNTS = st.lists(st.integers(1, 60), max_size=60)


@given(COUNTS, st.integers(1, 25))
def test_concatenated_pieces_are_the_tokens_one_after_the_other(
    counts: list[int], length: int
) -> None:
    tokens = [(d, o) for d, count in enumerate(counts) for o in range(count)]
    ends = np.cumsum(counts).tolist()
    got: list[tuple[int, int]] = []
    for number in range(len(tokens) // length):
        pieces = concatenated(ends, number * length, (number + 1) * length)
        assert sum(size for _, _, size in pieces) == length
        got += [(d, o + i) for d, o, size in pieces for i in range(size)]
    assert got == tokens[: len(got)]
    assert len(tokens) - len(got) < length


@given(COUNTS, st.integers(1, 25))
def test_best_fit_has_every_token_once_and_is_full(counts: list[int], length: int) -> None:
    packed = best_fit(counts, length)
    got = Counter((d, o + i) for pieces in packed for d, o, size in pieces for i in range(size))
    assert got == Counter((d, o) for d, count in enumerate(counts) for o in range(count))
    sizes = [sum(size for _, _, size in pieces) for pieces in packed]
    assert all(size <= length for size in sizes)
    assert sum(size < length for size in sizes) <= 1
    assert best_fit(counts, length) == packed


def test_best_fit_keeps_documents_whole_where_they_fit() -> None:
    packed = best_fit([6, 4, 7, 3, 10, 5, 5], 10)
    assert len(packed) == 4
    assert all(offset == 0 for pieces in packed for _, offset, _ in pieces)
    chance = random.Random(0)
    counts = [chance.randrange(1, 3000) for _ in range(5000)]
    packed = best_fit(counts, 2048)
    fill = sum(counts) / (len(packed) * 2048)
    assert fill > 0.999
    cut = Counter(document for pieces in packed for document, _, _ in pieces)
    short = [document for document, count in enumerate(counts) if count <= 2048]
    assert sum(cut[document] > 1 for document in short) < 0.01 * len(short)


def _ahead(position: TokenPosition, total: int, batch: int, *, wrap: bool = False) -> list[int]:
    found = list(global_batches.numbers(position, total, batch, wrap=wrap))
    assert len(found) == global_batches.left(position, total, batch, wrap=wrap)
    return found


@given(st.integers(0, 200), st.sampled_from([1, 2, 3, 4, 6, 12]), st.booleans())
def test_a_step_is_the_same_for_any_world(total: int, world: int, wrap: bool) -> None:
    batch = 12
    ranks = [
        _ahead(global_batches.beginning("x", rank, world, batch), total, batch, wrap=wrap)
        for rank in range(world)
    ]
    steps, rest = global_batches.steps_of(total, batch, wrap=wrap)
    assert {len(rank) for rank in ranks} == {steps * batch // world}
    each = batch // world
    for step in range(steps):
        got = [number for rank in ranks for number in rank[step * each : (step + 1) * each]]
        assert got == list(range(step * batch, (step + 1) * batch))
    assert rest == total % batch


@pytest.mark.slow
def test_a_thousand_random_plans_keep_every_step() -> None:
    """Kills at any sequence, and worlds that change in the middle of a step.

    Whatever happens, each step has the sequences that it has in one run, each once, and a rank
    takes the steps in turn.
    """
    for plan in range(1000):
        chance = random.Random(plan)
        batch, total, wrap = 12, chance.randrange(12, 300), chance.random() < 0.3
        positions: list[TokenPosition] = []
        got: list[int] = []
        for turn in range(4):
            world = chance.choice([1, 2, 3, 4, 6, 12])
            if positions:
                chance.shuffle(positions)
                last = global_batches.redeal(positions, world - 1, world, batch)
                first = global_batches.redeal(positions, 0, world, batch)
                positions = [replace(first, rank=rank) for rank in range(world)]
                assert positions[-1] == last
                whole = positions[0].next
                shares = [
                    Counter(n // batch for n in _ahead(one, total, batch, wrap=wrap))
                    for one in positions
                ]
                for step in range(total // batch):
                    sizes = {share[step] for share in shares}
                    assert max(sizes) - min(sizes) <= (step * batch < whole), plan
            else:
                positions = [
                    global_batches.beginning("x", rank, world, batch) for rank in range(world)
                ]
            for place, position in enumerate(positions):
                global_batches.check(position, total, batch, wrap=wrap)
                ahead = _ahead(position, total, batch, wrap=wrap)
                assert [n // batch for n in ahead] == sorted(n // batch for n in ahead)
                count = len(ahead) if turn == 3 else chance.randrange(len(ahead) + 1)
                while count:
                    some = chance.randrange(1, count + 1)
                    got += islice(global_batches.numbers(position, total, batch, wrap=wrap), some)
                    position = global_batches.after(position, some)  # noqa: PLW2901
                    count -= some
                positions[place] = position
        steps, _ = global_batches.steps_of(total, batch, wrap=wrap)
        assert sorted(got) == list(range(steps * batch)), plan


@pytest.mark.parametrize(
    ("begun", "after"),
    [(((0, 1 << 40),), 12), ((), 13), ((), 36), (((5, 7), (3, 4)), 12), (((3, 14),), 12)],
)
def test_places_that_no_run_comes_to_are_refused(begun: Any, after: int) -> None:
    """A cursor comes from a client: what it says bounds memory."""
    position = TokenPosition("x", begun, after, 2, 0, 0)
    with pytest.raises(InvalidArgument, match="30 sequences in steps of 12"):
        global_batches.check(position, 30, 12, wrap=False)


def test_worlds_that_do_not_divide_and_places_of_others_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="cannot be divided equally among 5 ranks"):
        global_batches.beginning("x", 0, 5, 12)
    first = global_batches.beginning("x", 0, 2, 12)
    with pytest.raises(InvalidArgument, match="each of the 2 ranks"):
        global_batches.redeal([first, first], 0, 1, 12)
