"""Commitments against a computation that goes through them one by one."""

from __future__ import annotations

import math
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from services.segment.batching.deadlines import Commitments, DeadlineQueue

# Quarters are exact in floats.
QUARTERS = st.integers(0, 40).map(lambda value: value / 4)
WORK = st.lists(st.tuples(QUARTERS, st.integers(1, 8).map(lambda value: value / 4)), max_size=30)


def kept(work: list[tuple[float, float]], start: float, batch: float) -> bool:
    """Whether work, as (deadline, seconds), is done in time if it is done by deadline."""
    ordered = sorted(work)
    sums = accumulate(seconds for _, seconds in ordered)
    ends = [start + (math.ceil(end / batch) * batch if batch else end) for end in sums]
    return all(end <= deadline for end, (deadline, _) in zip(ends, ordered, strict=True))


@given(WORK, QUARTERS, QUARTERS, st.sampled_from([0.0, 1.0]))
def test_what_is_allowed_leaves_the_others_in_time(
    work: list[tuple[float, float]], start: float, deadline: float, batch: float
) -> None:
    commitments: Commitments[int] = Commitments()
    accepted: list[tuple[float, float]] = []
    for number, (due, seconds) in enumerate(work):
        allowed = commitments.allow(start, due, seconds, batch)
        # Those that are due earlier were judged when they came.
        assert allowed == kept([*accepted, (due, seconds)], start, batch)
        if allowed:
            commitments.add(number, due, seconds)
            accepted.append((due, seconds))
    assert len(commitments) == len(accepted)
    assert commitments.allow(start, deadline, 0.25, batch) == kept(
        [*accepted, (deadline, 0.25)], start, batch
    )


@given(WORK, QUARTERS, st.sampled_from([0.0, 1.0]), st.data())
def test_what_goes_first_may_not_make_others_late(
    work: list[tuple[float, float]], end: float, batch: float, data: st.DataObject
) -> None:
    commitments: Commitments[int] = Commitments()
    for number, (due, seconds) in enumerate(work):
        commitments.add(number, due, seconds)
    numbers = st.sets(st.integers(0, max(0, len(work) - 1)))
    first, gone = data.draw(numbers), data.draw(numbers)
    for number in gone:
        commitments.remove(number)
        commitments.remove(number)
    rest = [pair for number, pair in enumerate(work) if number not in first | gone]
    assert commitments.keep(end, first, batch) == kept(rest, end, batch)


def test_without_a_deadline_nothing_is_late() -> None:
    commitments: Commitments[str] = Commitments()
    commitments.add("a", math.inf, 1.0)
    commitments.remove("a")
    assert len(commitments) == 0
    assert commitments.allow(0.0, math.inf, 1.0, 0.0)


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "pop"]), QUARTERS), max_size=80))
def test_the_first_deadline_is_always_at_hand(events: list[tuple[str, float]]) -> None:
    queue: DeadlineQueue[int] = DeadlineQueue()
    model: dict[int, float] = {}
    for number, (kind, time) in enumerate(events):
        if kind == "add":
            queue.add(number, time)
            model[number] = time
        elif kind == "remove" and model:
            gone = min(model)
            queue.remove(gone)
            queue.remove(gone)
            del model[gone]
        elif kind == "pop" and model:
            assert model.pop(queue.pop()) <= min(model.values(), default=math.inf)
        assert len(queue) == len(model)
        assert queue.first == min(model.values(), default=math.inf)


def test_what_is_gone_is_removed_from_the_heap() -> None:
    queue: DeadlineQueue[int] = DeadlineQueue()
    queue.add(-1, 0.0)
    for number in range(10_000):
        queue.add(number, 1.0)
        queue.remove(number)
    assert len(queue._heap) < 100
