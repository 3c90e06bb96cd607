"""Promises against a computation that goes through them one by one."""

from __future__ import annotations

import math
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from services.segment.batching.deadlines import Promises
from services.segment.batching.earliest import Earliest

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
    promises: Promises[int] = Promises()
    accepted: list[tuple[float, float]] = []
    for number, (due, seconds) in enumerate(work):
        allowed = promises.allow(start, due, seconds, batch)
        # Those that are due earlier were judged when they came.
        assert allowed == kept([*accepted, (due, seconds)], start, batch)
        if allowed:
            promises.add(number, due, seconds)
            accepted.append((due, seconds))
    assert len(promises) == len(accepted)
    assert promises.allow(start, deadline, 0.25, batch) == kept(
        [*accepted, (deadline, 0.25)], start, batch
    )


@given(WORK, QUARTERS, st.sampled_from([0.0, 1.0]), st.data())
def test_what_goes_first_may_not_make_others_late(
    work: list[tuple[float, float]], end: float, batch: float, data: st.DataObject
) -> None:
    promises: Promises[int] = Promises()
    for number, (due, seconds) in enumerate(work):
        promises.add(number, due, seconds)
    numbers = st.sets(st.integers(0, max(0, len(work) - 1)))
    first, gone = data.draw(numbers), data.draw(numbers)
    for number in gone:
        promises.remove(number)
        promises.remove(number)
    rest = [pair for number, pair in enumerate(work) if number not in first | gone]
    assert promises.keep(end, first, batch) == kept(rest, end, batch)


def test_without_a_deadline_there_is_no_promise() -> None:
    promises: Promises[str] = Promises()
    promises.add("a", math.inf, 1.0)
    promises.remove("a")
    assert len(promises) == 0
    assert promises.allow(0.0, math.inf, 1.0, 0.0)


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "pop"]), QUARTERS), max_size=80))
def test_the_earliest_is_always_at_hand(events: list[tuple[str, float]]) -> None:
    earliest: Earliest[int] = Earliest()
    model: dict[int, float] = {}
    for number, (kind, time) in enumerate(events):
        if kind == "add":
            earliest.add(number, time)
            model[number] = time
        elif kind == "remove" and model:
            gone = min(model)
            earliest.remove(gone)
            earliest.remove(gone)
            del model[gone]
        elif kind == "pop" and model:
            assert model.pop(earliest.pop()) <= min(model.values(), default=math.inf)
        assert len(earliest) == len(model)
        assert earliest.time == min(model.values(), default=math.inf)


def test_what_is_gone_is_swept_out() -> None:
    earliest: Earliest[int] = Earliest()
    earliest.add(-1, 0.0)
    for number in range(10_000):
        earliest.add(number, 1.0)
        earliest.remove(number)
    assert len(earliest._heap) < 100
