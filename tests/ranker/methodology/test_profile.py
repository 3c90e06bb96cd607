"""Profiles and places: what may separate artifacts, and what never may."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.statistics.ranking.family import LEVEL
from services.common.statistics.ranking.normal_range import tail
from services.ranker.claims.identity import hardware_class
from services.ranker.claims.model import ArtifactType, Basis, SubjectRelation
from services.ranker.methodology.definition import GREATEST, LEAST
from services.ranker.methodology.load import load
from services.ranker.methodology.profile import Profile, first_complete, profiles
from services.ranker.methodology.ranking import Places, Rank, of_list, of_registry
from services.ranker.methodology.readings import Reading, Readings
from services.ranker.methodology.score import ArtifactRecord, Standing, standing
from tests.ranker.records import CPU, DAY, artifact, claim, evidence

METHODOLOGY = load()
MODEL = ArtifactType.SEGMENTATION_MODEL
RULES = METHODOLOGY.rules(MODEL)
CORE, AND_SIZE, *ALONE = profiles(RULES)
HERE = hardware_class(CPU)
UTILITY = st.floats(LEAST, GREATEST)
FAR = st.floats(0, 0.6)


@st.composite
def readings(draw: st.DrawFn) -> Readings:
    found = {}
    for name in CORE.ranges:
        point, sampled = draw(UTILITY), draw(st.booleans())
        level = draw(st.sampled_from([0.99, LEVEL])) if sampled else 1.0
        found[name] = Reading(point, point - draw(FAR), point + draw(FAR), sampled, level=level)
    return found


def side(name: str, found: Readings) -> Standing:
    return Standing(ArtifactRecord(artifact(name, MODEL, ()), (), ()), found, METHODOLOGY, DAY)


def by_name(places: Places) -> dict[str, Rank]:
    return {one.artifact: one for one in places.ranks}


def test_each_metric_alone_is_a_profile() -> None:
    assert [one.name for one in (CORE, AND_SIZE)] == ["core", "accuracy-and-size"]
    assert [one.name for one in ALONE] == list(RULES.metrics)
    assert all(one.ranges == {one.name: (1, 1)} for one in ALONE)


@pytest.mark.slow
@given(readings(), readings(), readings())
@settings(max_examples=200)
def test_it_is_a_strict_order(a: Readings, b: Readings, c: Readings) -> None:
    assert not CORE.beats(a, a)
    assert not (CORE.beats(a, b) and CORE.beats(b, a))
    if CORE.beats(a, b) and CORE.beats(b, c):
        assert CORE.beats(a, c)


@given(readings(), readings(), st.sampled_from(sorted(CORE.ranges)))
def test_what_is_missing_decides_nothing(a: Readings, b: Readings, name: str) -> None:
    without = {metric: one for metric, one in a.items() if metric != name}
    assert not CORE.beats(without, b)
    assert not CORE.beats(b, without)
    assert CORE.lacks(without) == (name,)
    assert CORE.score(without)[1] is None


@given(readings(), readings())
def test_measured_on_other_things_they_are_not_compared(a: Readings, b: Readings) -> None:
    other = {**b, "latency": replace(b["latency"], same="another machine")}
    assert CORE.differs(a, other) == ("latency",)
    assert not CORE.beats(a, other)
    assert not CORE.beats(other, a)
    assert first_complete((CORE, AND_SIZE), a, other) is AND_SIZE


@given(readings())
def test_a_score_lies_between_its_ends(a: Readings) -> None:
    low, point, high = CORE.score(a)
    assert point is not None
    assert low <= point <= high


@given(readings(), st.sampled_from(sorted(CORE.ranges)), UTILITY)
def test_whatever_turns_up_of_what_is_missing_stays_in_the_bounds(
    a: Readings, name: str, utility: float
) -> None:
    bare = {metric: one for metric, one in a.items() if metric != name}
    low, _, high = CORE.score(bare)
    later = {**bare, name: Reading(utility, utility, utility, False)}
    least, point, most = CORE.score(later)
    assert point is not None
    assert low - 1e-9 <= least <= point <= most <= high + 1e-9


@given(st.lists(readings(), min_size=2, max_size=5), readings(), st.randoms())
@settings(max_examples=50)
def test_third_artifacts_and_their_order_change_no_pair(
    some: list[Readings], third: Readings, chance: random.Random
) -> None:
    few = [side(f"m{number}", one) for number, one in enumerate(some)]
    more = [*few, side("third", third)]
    chance.shuffle(more)
    before, after = by_name(of_registry(few, CORE)), by_name(of_registry(more, CORE))
    for name, one in before.items():
        assert one.beats == tuple(other for other in after[name].beats if other != "third")
        assert one.score == after[name].score


@given(st.lists(readings(), min_size=2, max_size=5))
@settings(max_examples=50)
def test_places_agree_with_who_beats_whom(some: list[Readings]) -> None:
    sides = [side(f"m{number}", one) for number, one in enumerate(some)]
    together = by_name(of_list(sides, CORE, METHODOLOGY.list_level))
    for name, one in by_name(of_registry(sides, CORE)).items():
        assert one.best_place is not None
        assert one.worst_place is not None
        assert 1 <= one.best_place <= one.worst_place <= one.of == len(sides)
        assert one.worst_place == len(sides) - len(one.beats)
        assert set(together[name].beats) <= set(one.beats)


def test_a_list_that_is_named_has_more_room_once_pairs_are_set_aside() -> None:
    """At 99 % each, 15 pairs need 99.67 %; with 10 that are certain set aside, the others do."""

    def at(point: float, level: float) -> Readings:
        far = 0.01 if level < 1 else 0.0
        return {"size": Reading(point, point - far, point + far, level < 1, level=level)}

    size = Profile("size", {"size": (1.0, 1.0)})
    unsure = [side(f"u{number}", at(0.1 * number, 0.99)) for number in range(2)]
    assert sum(len(one.beats) for one in of_list(unsure, size, 0.95).ranks) == 1
    many = [side(f"u{number}", at(0.1 * number, 0.99)) for number in range(6)]
    assert sum(len(one.beats) for one in of_list(many, size, 0.95).ranks) == 0
    sure = [side(f"s{number}", at(0.5 + 0.1 * number, 1.0)) for number in range(4)]
    pairs = of_list([*unsure, *sure], size, 0.95)
    # Six pairs of those that are sure; then nine pairs of level 99 % are left, which is too many.
    assert sum(len(one.beats) for one in pairs.ranks) == 6


def test_those_measured_on_other_things_are_ranked_apart_and_those_that_lack_one_not_at_all() -> (
    None
):
    one = {name: Reading(0.5, 0.5, 0.5, False) for name in CORE.ranges}
    other = {**one, "size": replace(one["size"], same="else")}
    lacking = {"ade20k-miou": one["ade20k-miou"]}
    sides = [side("n", {}), side("d", lacking), side("a", one), side("b", other), side("c", one)]
    ranks = of_registry(sides, CORE).ranks
    assert [(rank.artifact, rank.best_place, rank.worst_place, rank.of) for rank in ranks] == [
        ("a", 1, 2, 2),
        ("c", 1, 2, 2),
        ("b", 1, 1, 1),
        ("d", None, None, 0),
        ("n", None, None, 0),
    ]
    assert ranks[2].on == "size on else"
    assert ranks[3].score.point is None
    assert ranks[3].score.lacks == ("latency", "size")
    assert of_registry([], CORE).ranks == ()


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


def segformer(name: str, spread: float = 0.03) -> ArtifactRecord:
    """A SegFormer with all evidence: cited accuracy, a ratio from 17 restarts, a count."""
    miou, size, rate = SEGFORMERS[name]
    ratio = SEGFORMERS["b0"][2] / rate
    claims = tuple(claim(one.fact, one.fact, name) for one in RULES.metrics.values())
    low, high = ratio * (1 - spread), ratio * (1 + spread)
    items = (
        evidence("ade20k-miou", miou, "%", basis=Basis.SOURCED),
        evidence("latency-ratio", ratio, "1", low=low, high=high, level=LEVEL, n=17),
        evidence(
            "parameters",
            size,
            "parameters",
            relation=SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS,
        ),
    )
    return ArtifactRecord(artifact(name, MODEL, claims), items, ())


def six(spread: float = 0.03) -> list[Standing]:
    level = METHODOLOGY.family_level
    return [standing(segformer(one, spread), METHODOLOGY, DAY, HERE, level) for one in SEGFORMERS]


def wins(places: Places) -> int:
    return sum(len(one.beats) for one in places.ranks)


def test_the_six_segformers_separate_where_their_intervals_do() -> None:
    sides = six()
    for profile in ALONE:
        assert wins(of_registry(sides, profile)) == 15
    places = of_registry(sides, CORE)
    assert wins(places) >= 10
    found = {one.artifact: (one.best_place, one.worst_place) for one in places.ranks}
    assert found == {
        "b3": (1, 2),
        "b2": (1, 4),
        "b4": (2, 4),
        "b1": (3, 5),
        "b5": (3, 5),
        "b0": (6, 6),
    }
    assert {one.artifact: round(one.score.point or 0) for one in places.ranks} == {
        "b3": 64,
        "b2": 61,
        "b4": 60,
        "b5": 56,
        "b1": 54,
        "b0": 40,
    }
    assert places.level > 0.999


@pytest.mark.parametrize(("spread", "apart"), [(0.03, 15), (0.10, 14)])
def test_wider_timings_separate_less(spread: float, apart: int) -> None:
    (latency,) = (one for one in ALONE if one.name == "latency")
    assert wins(of_registry(six(spread), latency)) == apart


def test_equal_artifacts_are_hardly_ever_separated() -> None:
    """Fifty equal artifacts, intervals at the family's level: any win in 5 % of sets at most."""
    draw = random.Random(1)
    profile = Profile("accuracy", {"ade20k-miou": (1.0, 1.0)})
    far, sets, false = 4.265 * 0.01, 400, 0
    for _ in range(sets):
        points = [draw.gauss(0.5, 0.01) for _ in range(50)]
        best, worst = (
            {"ade20k-miou": Reading(one, one - far, one + far)}
            for one in (max(points), min(points))
        )
        false += profile.beats(best, worst)
    assert false <= 0.05 * sets


def test_above_fifty_the_level_that_is_left_is_said() -> None:
    crowd = [
        side(f"m{number:03}", {"latency": Reading(0.5, 0.4, 0.6, level=LEVEL)})
        for number in range(200)
    ]
    (latency,) = (one for one in ALONE if one.name == "latency")
    few, many = of_registry(crowd[:50], latency).level, of_registry(crowd, latency).level
    assert many < few
    assert few == pytest.approx(1 - tail(50, 4.2649 * 2**0.5), abs=1e-3)
