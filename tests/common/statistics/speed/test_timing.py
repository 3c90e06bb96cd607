from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.common.statistics.interval import Interval, Kind
from services.common.statistics.speed.restarts import Restart
from services.common.statistics.speed.timing import LOOKS, looks_level, rate, timing

SECONDS = st.floats(0.5, 2.0)
RESTARTS = st.lists(
    st.builds(
        Restart,
        started=st.integers(0, 10**9),
        seconds=SECONDS,
        least=st.just(0.4),
        others=st.floats(0, 0.2),
        kernel=st.floats(0.95, 1.2),
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda one: one.started,
)


def quiet(seconds: list[float], **load: float) -> list[Restart]:
    clean = Restart(started=0, seconds=1.0, least=0.5, others=0.0, kernel=1.0)
    return [
        replace(clean, started=place, seconds=one, **load)  # type: ignore[arg-type]
        for place, one in enumerate(seconds)
    ]


def ends(interval: Interval) -> tuple[float | None, float | None]:
    return interval.low, interval.high


@pytest.mark.parametrize(
    ("count", "used", "rank", "level"),
    [
        (8, 8, 1, 1 - 2 / 2**8),
        (15, 8, 1, 1 - 2 / 2**8),
        (16, 16, 2, 0.991943),
        (31, 16, 2, 0.991943),
        (40, 32, 7, 0.991522),
        (64, 64, 19, 0.991006),
        (100, 64, 19, 0.991006),
    ],
)
def test_looks_are_order_statistics(count: int, used: int, rank: int, level: float) -> None:
    found = timing(quiet([1 + place / 1000 for place in range(count)]))
    assert found.used == used
    assert ends(found.interval) == (1 + (rank - 1) / 1000, 1 + (used - rank) / 1000)
    assert found.interval.level == pytest.approx(level, abs=1e-6)
    assert found.interval.level >= 0.99
    assert (found.least, found.restarts, found.clean) == (0.5, count, count)


def test_all_looks_together_against_a_simulation() -> None:
    generator = random.Random(1)
    missed = 0
    for _ in range(20_000):
        below = bin(generator.getrandbits(64))[2:].zfill(64)
        missed += any(
            not rank <= below[:count].count("1") <= count - rank for count, rank in LOOKS.items()
        )
    assert 1 - missed / 20_000 == pytest.approx(looks_level(64), abs=0.002)


@pytest.mark.parametrize(
    ("count", "level"), [(3, 0.75), (4, 0.875), (5, 0.9375), (6, 0.96875), (7, 0.984375)]
)
def test_fewer_keep_their_own_level(count: int, level: float) -> None:
    found = timing(quiet([1.0, 3.0, 2.0, 4.0, 5.0, 6.0, 7.0][:count]), wanted=count)
    assert ends(found.interval) == (1.0, max(3.0, float(count)))
    assert found.interval.level == level
    assert timing(quiet([1.0] * count)).interval.low is None


def test_one_restart_is_at_level_0() -> None:
    found = timing(quiet([1.5]), wanted=1)
    assert found.interval == Interval(1.5, 1.5, 0.0, Kind.BOUNDS, "clean-restarts@1", 1)
    with pytest.raises(ValueError, match="no restart"):
        timing([])


def test_without_eight_clean_ones_there_is_only_an_upper_bound() -> None:
    found = timing(quiet([1.0] * 7) + quiet([3.0] * 17, others=0.5))
    assert ends(found.interval) == (None, 3.0)
    assert found.interval.level == 1 - 0.5**24
    assert (found.clean, found.used) == (7, 24)


def test_a_young_reference_leaves_an_upper_bound() -> None:
    young = [replace(one, kernel=None) for one in quiet([1.0] * 8)]
    assert timing(young).interval.low is None


def test_the_low_end_allows_for_the_load_that_is_let_through() -> None:
    found = timing(quiet([1.0] * 8, others=0.1, kernel=1.1))
    assert found.interval.low == pytest.approx(1 / (1.2 * 1.25))
    assert found.interval.high == 1.0


@given(RESTARTS, st.randoms())
def test_the_order_of_sessions_changes_nothing(
    restarts: list[Restart], generator: random.Random
) -> None:
    assert timing(generator.sample(restarts, len(restarts))) == timing(restarts)


@given(RESTARTS, st.data(), st.floats(1, 10))
def test_load_only_adds(restarts: list[Restart], data: st.DataObject, factor: float) -> None:
    place = data.draw(st.integers(0, len(restarts) - 1))
    assume(not restarts[place].clean)
    slower = list(restarts)
    slower[place] = replace(slower[place], seconds=slower[place].seconds * factor)
    before, after = timing(restarts).interval, timing(slower).interval
    assert after.low == before.low
    assert (after.high or 0) >= (before.high or 0)


@pytest.mark.slow
@given(RESTARTS, st.data(), st.floats(0, 1))
def test_more_load_never_raises_the_low_end(
    restarts: list[Restart], data: st.DataObject, share: float
) -> None:
    place = data.draw(st.integers(0, len(restarts) - 1))
    one = restarts[place]
    assume(one.clean)
    assert one.kernel is not None
    assert one.others is not None
    loaded = list(restarts)
    loaded[place] = replace(
        one,
        others=one.others + share * (0.1 - one.others),
        kernel=one.kernel + share * (1.1 - one.kernel),
    )
    before, after = timing(restarts).interval, timing(loaded).interval
    assert after.high == before.high
    assert (after.low is None) == (before.low is None)
    if before.low is not None and after.low is not None:
        assert after.low <= before.low


def test_two_speeds_are_told() -> None:
    assert timing(quiet([1.0, 1.3] * 4)).speeds == (1.0, 1.3)
    assert timing(quiet([1.0] * 8)).speeds is None


def test_rates_are_turned_over() -> None:
    interval = timing(quiet([1.0 + place for place in range(8)])).interval
    assert ends(rate(16, interval)) == (2.0, 16.0)
    assert ends(rate(16, timing(quiet([2.0])).interval)) == (8.0, None)
    with pytest.raises(ValueError, match="upper end"):
        rate(16, Interval(1.0, None, 0.99, Kind.CONFIDENCE, "x@1"))
