"""Properties of profiles: what may separate two artifacts, and what never may."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ranker.methodology.profile import (
    Kind,
    Profile,
    Reading,
    Readings,
    Scale,
    Weights,
    comparable_groups,
    places,
)

CORE = Profile(
    "core",
    {
        "miou": Weights(0.55, 0.60, 0.65),
        "latency": Weights(0.20, 0.25, 0.30),
        "size": Weights(0.10, 0.15, 0.20),
    },
)
UTILITY = st.floats(-0.5, 1.5)
FAR = st.floats(0, 0.6)


@st.composite
def readings(draw: st.DrawFn) -> Readings:
    found = {}
    for name in CORE.metrics:
        kind = draw(st.sampled_from(Kind))
        point = draw(UTILITY)
        below, above = (0.0, 0.0) if kind is Kind.EXACT else (draw(FAR), draw(FAR))
        found[name] = Reading(point, point - below, point + above, kind)
    return found


@given(readings(), readings(), readings())
@settings(max_examples=300)
def test_it_is_a_strict_order(a: Readings, b: Readings, c: Readings) -> None:
    assert not CORE.beats(a, a)
    assert not (CORE.beats(a, b) and CORE.beats(b, a))
    if CORE.beats(a, b) and CORE.beats(b, c):
        assert CORE.beats(a, c)


@given(readings(), readings(), st.sampled_from(sorted(CORE.metrics)), st.floats(0, 1))
def test_narrower_ends_never_lose_a_win(a: Readings, b: Readings, name: str, share: float) -> None:
    if not CORE.beats(a, b):
        return
    for side, other in ((a, b), (b, a)):
        one = side[name]
        narrower = replace(
            one,
            low=one.point - share * (one.point - one.low),
            high=one.point + share * (one.high - one.point),
        )
        changed = {**side, name: narrower}
        assert CORE.beats(changed, other) if side is a else CORE.beats(other, changed)


@given(readings(), readings(), st.sampled_from(sorted(CORE.metrics)), st.floats(0, 1))
def test_a_better_point_at_the_same_distances_never_loses_a_win(
    a: Readings, b: Readings, name: str, gain: float
) -> None:
    if CORE.beats(a, b):
        one = a[name]
        better = replace(one, point=one.point + gain, low=one.low + gain, high=one.high + gain)
        assert CORE.beats({**a, name: better}, b)


@given(readings(), readings(), st.sampled_from(sorted(CORE.metrics)))
def test_what_is_missing_decides_nothing(a: Readings, b: Readings, name: str) -> None:
    without = {metric: one for metric, one in a.items() if metric != name}
    assert not CORE.beats(without, b)
    assert not CORE.beats(b, without)
    assert CORE.lacks(without) == (name,)
    assert CORE.score(without) is None


@given(readings(), readings())
def test_measured_on_other_things_they_are_not_compared(a: Readings, b: Readings) -> None:
    other = {**b, "miou": replace(b["miou"], same="another test set")}
    assert not CORE.comparable(a, other)
    assert not CORE.beats(a, other)
    assert not CORE.beats(other, a)


@given(readings(), readings(), st.lists(st.floats(0, 1), min_size=12, max_size=12))
def test_corners_decide_for_every_weighting(a: Readings, b: Readings, mixture: list[float]) -> None:
    """A weighting inside is a mixture of corners: a winner at the corners wins there."""
    if not CORE.beats(a, b):
        return
    corners = CORE.corners()
    parts = [mixture[n % 12] + 1e-9 for n in range(len(corners))]
    weights = {
        name: math.fsum(p * corner[name] for p, corner in zip(parts, corners, strict=True))
        / math.fsum(parts)
        for name in CORE.metrics
    }
    inside = Profile("inside", {name: Weights(w, w, w) for name, w in weights.items()})
    assert inside.beats(a, b)


def test_corners_sum_to_one_within_their_ranges() -> None:
    corners = CORE.corners()
    assert len(corners) == 6
    for corner in corners:
        assert math.fsum(corner.values()) == pytest.approx(1)
        for name, weight in corner.items():
            limits = CORE.metrics[name]
            assert limits.low - 1e-9 <= weight <= limits.high + 1e-9


@given(readings())
def test_a_score_lies_between_its_ends(a: Readings) -> None:
    score = CORE.score(a)
    assert score is not None
    low, point, high = score
    assert low <= point <= high


@given(st.lists(readings(), min_size=2, max_size=5), readings())
@settings(max_examples=50)
def test_third_artifacts_change_no_pair(some: list[Readings], third: Readings) -> None:
    few = {str(n): one for n, one in enumerate(some)}
    before = {one.artifact: one.beats for one in places(CORE, few)}
    after = {one.artifact: one.beats for one in places(CORE, {**few, "third": third})}
    for name, beaten in before.items():
        assert beaten == tuple(other for other in after[name] if other != "third")


def test_places_of_artifacts_on_different_things_are_refused() -> None:
    one = {name: Reading(0.5, 0.5, 0.5, Kind.EXACT) for name in CORE.metrics}
    other = {**one, "size": replace(one["size"], same="else")}
    lacking = {"miou": one["miou"]}
    assert comparable_groups(CORE, {"a": one, "b": other, "c": one, "d": lacking}) == (
        ("a", "c"),
        ("b",),
    )
    with pytest.raises(ValueError, match="a and b are not comparable in core"):
        places(CORE, {"a": one, "b": other})


# Published mIoU (SegFormer, Table 1, single scale, rounded to 0.1), parameters (the checkpoints'),
# and pictures a second on a V100 (mmsegmentation's SegFormer table).
SEGFORMERS = {
    "b0": (37.4, 3_752_694, 51.32),
    "b1": (42.2, 13_677_526, 47.66),
    "b2": (46.5, 27_462_486, 30.88),
    "b3": (49.4, 47_333_974, 22.11),
    "b4": (50.3, 64_108_374, 15.45),
    "b5": (51.0, 84_708_950, 11.30),
}
MIOU, SIZE = Scale(37.4, 51.0), Scale(84.7e6, 3.8e6, logarithmic=True)
LATENCY = Scale(3.62, 1.0, logarithmic=True)


def segformer(name: str, spread: float) -> Readings:
    miou, size, rate = SEGFORMERS[name]
    ratio = SEGFORMERS["b0"][2] / rate
    low, high = LATENCY.ends(ratio * (1 - spread), ratio * (1 + spread))
    worst, best = MIOU.ends(miou - 0.05, miou + 0.05)
    count = SIZE.utility(size)
    return {
        "miou": Reading(MIOU.utility(miou), worst, best, Kind.BOUNDED),
        "latency": Reading(LATENCY.utility(ratio), low, high, Kind.SAMPLED),
        "size": Reading(count, count, count, Kind.EXACT),
    }


def wins(profile: Profile, sides: dict[str, Readings]) -> int:
    return sum(len(one.beats) for one in places(profile, sides))


def test_the_six_segformers_separate_where_their_intervals_do() -> None:
    sides = {name: segformer(name, 0.03) for name in SEGFORMERS}
    for metric in CORE.metrics:
        alone = Profile(metric, {metric: Weights(1, 1, 1)})
        assert wins(alone, sides) == 15
    assert wins(CORE, sides) >= 10
    first = places(CORE, sides)[0]
    assert (first.artifact, first.best) == ("b3", 1)


def test_equal_artifacts_are_hardly_ever_separated() -> None:
    """Fifty equal artifacts, intervals at the family's level: any win in 5 % of sets at most."""
    draw = random.Random(1)
    profile = Profile("accuracy", {"miou": Weights(1, 1, 1)})
    z, sets, false = 4.265, 400, 0
    for _ in range(sets):
        points = [draw.gauss(0.5, 0.01) for _ in range(50)]
        far = z * 0.01
        best, worst = max(points), min(points)
        a = {"miou": Reading(best, best - far, best + far, Kind.SAMPLED)}
        b = {"miou": Reading(worst, worst - far, worst + far, Kind.SAMPLED)}
        false += profile.beats(a, b)
    assert false <= 0.05 * sets
