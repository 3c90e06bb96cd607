"""Which evidence a metric is read from."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.ranker.claims.findings import Evidence
from services.ranker.claims.identity import hardware_class
from services.ranker.claims.model import ArtifactType, Basis, SubjectRelation
from services.ranker.methodology.definition import GREATEST, LEAST, Metric
from services.ranker.methodology.load import load
from services.ranker.methodology.readings import (
    CERTAIN,
    Reading,
    facts_of,
    latest_hardware,
    read,
)
from services.ranker.methodology.score import ArtifactRecord, standing
from tests.ranker.records import CPU, DAY, NOON, artifact, claim, evidence

METHODOLOGY = load()
METRICS = METHODOLOGY.rules(ArtifactType.SEGMENTATION_MODEL).metrics
MIOU, LATENCY, SIZE = METRICS["ade20k-miou"], METRICS["latency"], METRICS["size"]
DATA = METHODOLOGY.rules(ArtifactType.DATASET).metrics
COMPOSITION, PROVENANCE = DATA["documented-composition"], DATA["provenance"]
HERE = hardware_class(CPU)
GPU = {"cpu": "Test CPU", "cpu_count": 16, "accelerators": ["Test GPU"]}
LEVEL = METHODOLOGY.pair_level


def reading(
    metric: Metric, items: list[Evidence], hardware: str = HERE, level: float = LEVEL
) -> Reading | None:
    return read(metric, items, {metric.fact: metric.fact}, hardware, level)


def found(metric: Metric, *items: Evidence, level: float = LEVEL) -> Reading:
    one = reading(metric, list(items), level=level)
    assert one is not None
    return one


def test_a_figure_of_the_artifact_is_read_with_its_interval() -> None:
    item = evidence("ade20k-miou", 44.2, "%", low=40.8, high=47.6)
    one = found(MIOU, item)
    assert (one.low, one.point, one.high) == pytest.approx((0.25, 0.5, 0.75))
    assert (one.sampled, one.level, one.evidence) == (True, 0.99, (item.digest,))
    assert one.shown == "44.2 [40.8 .. 47.6] % (measured)"


def test_what_a_manifest_quotes_enters_no_profile() -> None:
    item = replace(evidence("ade20k-miou", 99.0, "%", basis=Basis.SOURCED), declared=True)
    assert reading(MIOU, [item]) is None


def test_an_interval_that_is_less_sure_than_is_asked_says_nothing() -> None:
    item = evidence("ade20k-miou", 44.2, "%", low=40.8, high=47.6, level=0.99)
    assert reading(MIOU, [item], level=0.99) is not None
    assert reading(MIOU, [item], level=METHODOLOGY.family_level) is None
    sure = evidence("ade20k-miou", 44.2, "%", low=40.8, high=47.6, level=0.99998)
    assert found(MIOU, sure, item, level=METHODOLOGY.family_level).evidence == (sure.digest,)


def test_what_is_known_less_surely_is_told() -> None:
    item = evidence("ade20k-miou", 44.2, "%", low=40.8, high=47.6, level=0.99)
    claims = (claim("ade20k-miou", "ade20k-miou"),)
    record = ArtifactRecord(artifact("a", ArtifactType.SEGMENTATION_MODEL, claims), (item,), ())
    side = standing(record, METHODOLOGY, DAY, HERE, METHODOLOGY.family_level)
    part = side.score(side.profiles[0]).components[0]
    assert (part.point, part.evidence) == (None, ())
    assert part.explanation == (
        "44.2 [40.8 .. 47.6] % (measured) is sure to 99 %, and 99.998 % is required here"
    )
    assert part.missing == "more observations: 99.998 % is required here"


def test_a_published_figure_may_be_off_by_half_its_last_digit() -> None:
    """Cited ends are of other protocols, and open nothing here."""
    item = evidence("ade20k-miou", 50.3, "%", low=48.46, high=51.1, level=0, basis=Basis.SOURCED)
    one = found(MIOU, item)
    assert (one.low, one.high) == pytest.approx((12.85 / 13.6, 12.95 / 13.6))
    assert (one.sampled, one.level) == (False, CERTAIN)
    assert one.shown == "50.3 [50.25 .. 50.35] % (published)"


def test_bounds_and_counts_are_certain() -> None:
    bounds = found(MIOU, evidence("ade20k-miou", 44.2, "%", low=40.8, high=47.6, level=0))
    count = found(SIZE, evidence("parameters", 3.8e6, "parameters"))
    for one in (bounds, count):
        assert (one.sampled, one.level) == (False, CERTAIN)
    assert count.low == count.high == count.point == pytest.approx(1)


def test_an_open_end_reaches_the_cut_of_the_scale_and_two_say_nothing() -> None:
    infinity = float("inf")
    assert found(MIOU, evidence("ade20k-miou", 44.2, "%", low=37.4, high=infinity)).high == GREATEST
    assert found(MIOU, evidence("ade20k-miou", 44.2, "%", low=-infinity, high=51)).low == LEAST
    for low in (0.0, -infinity):
        example = evidence("ade20k-miou", 44.2, "%", low=low, high=infinity, level=0)
        assert reading(MIOU, [example]) is None


@pytest.mark.parametrize(
    "relation",
    [
        SubjectRelation.PROXY,
        SubjectRelation.SAMPLE,
        SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS,
    ],
)
def test_no_stand_in_speaks_for_accuracy(relation: SubjectRelation) -> None:
    assert reading(MIOU, [evidence("ade20k-miou", 50.0, "%", relation=relation)]) is None


def test_random_weights_speak_for_size() -> None:
    relation = SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS
    item = evidence("parameters", 64_108_374, "parameters", relation=relation)
    assert reading(SIZE, [item]) is not None


@pytest.mark.parametrize(
    ("content", "unit"), [(50.3, "points"), ("50.3", ""), (True, ""), (float("nan"), "%")]
)
def test_values_of_another_kind_are_not_read(content: float | str | bool, unit: str) -> None:
    assert reading(MIOU, [evidence("ade20k-miou", content, unit)]) is None
    assert reading(COMPOSITION, [evidence("documented-shares", 0.5, "share")]) is None


def test_the_good_truth_counts() -> None:
    for content, place in ((False, 1.0), (True, 0.0)):
        one = found(COMPOSITION, evidence("documented-shares", content, basis=Basis.SOURCED))
        assert (one.low, one.point, one.high) == (place,) * 3
        assert one.shown == ("yes (published)" if place else "no (published)")


def test_a_share_is_read_of_a_whole_corpus_and_of_no_part() -> None:
    sample = SubjectRelation.SAMPLE
    item = evidence("named-sources", 1.0, "share", low=0.0, high=1.0, n=200, relation=sample)
    assert reading(PROVENANCE, [item]) is None
    counted = evidence("named-sources", 0.9, "share", low=0.9, high=0.9, level=0.0, n=200)
    whole = found(PROVENANCE, counted)
    assert (whole.low, whole.high, whole.sampled) == (0.9, 0.9, False)


def test_measured_goes_before_sourced_and_the_thing_itself_before_a_stand_in() -> None:
    sourced = evidence("parameters", 64e6, "parameters", basis=Basis.SOURCED)
    relation = SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS
    random = evidence("parameters", 64.1e6, "parameters", relation=relation)
    exact = evidence("parameters", 64.2e6, "parameters")
    assert found(SIZE, sourced, random).evidence == (random.digest,)
    assert found(SIZE, random, exact, sourced).evidence == (exact.digest,)


def test_of_samples_the_largest_counts_and_never_the_latest() -> None:
    """Who measures again until it suits changes nothing."""
    later = NOON + timedelta(days=1)
    large = evidence("ade20k-miou", 42.0, "%", low=41, high=43, n=64)
    small = evidence("ade20k-miou", 50.0, "%", low=49, high=51, n=8, time=later)
    assert found(MIOU, large, small).evidence == (large.digest,)
    again = [
        evidence("ade20k-miou", value, "%", low=value - 1, high=value + 1, n=64, time=later)
        for value in (45.0, 44.0)
    ]
    one = found(MIOU, large, *again)
    assert one.point == MIOU.scale.utility(42.0) if MIOU.scale else None
    assert set(one.evidence) == {item.digest for item in (large, *again)}


def test_of_citations_and_counts_the_latest_counts() -> None:
    later = NOON + timedelta(days=1)
    for basis, metric, unit in ((Basis.SOURCED, MIOU, "%"), (Basis.MEASURED, SIZE, "parameters")):
        old = evidence(metric.fact, 45.0, unit, basis=basis)
        corrected = evidence(metric.fact, 40.0, unit, basis=basis, time=later)
        assert found(metric, corrected, old).evidence == (corrected.digest,)


def test_of_equals_the_least_favourable_ends_count_whatever_their_order() -> None:
    pair = [evidence("ade20k-miou", value, "%") for value in (45.0, 40.0)]
    one, other = found(MIOU, *pair), found(MIOU, *pair[::-1])
    assert one == other
    assert one.shown == "40 % (measured)"
    assert set(one.evidence) == {item.digest for item in pair}


def test_latency_is_read_on_the_hardware_that_the_score_is_for() -> None:
    here = evidence("latency-ratio", 2.0, "1")
    there = evidence("latency-ratio", 1.5, "1", environment=dict(GPU))
    cited = evidence("latency-ratio", 1.1, "1", basis=Basis.SOURCED, environment={})
    items = [cited, here, there]
    for hardware, expected in ((HERE, here), (hardware_class(GPU), there)):
        one = reading(LATENCY, items, hardware)
        assert one is not None
        assert one.evidence == (expected.digest,)
        assert one.same == f"hardware {hardware}"
    assert reading(LATENCY, items, "another machine") is None


def test_readings_say_what_they_were_measured_on() -> None:
    item = replace(
        evidence("latency-ratio", 2.0, "1"),
        engine={"id": "openvino-cpu", "precision": "FP32", "threads": 2, "version": "1"},
        subject={"input_height": 512, "input_width": 512, "name": "m"},
    )
    expected = f"hardware {HERE}, engine openvino-cpu FP32 2, input_height 512, input_width 512"
    assert found(LATENCY, item).same == expected


def test_claims_that_name_a_comparator_are_about_two_things() -> None:
    claims = (claim("one", "size"), claim("two", "size", comparator="another model"))
    assert facts_of(claims) == {"one": "size"}


def test_hardware_shared_by_both_sides_goes_first() -> None:
    here = evidence("x", 1.0, "s")
    there = evidence("x", 1.0, "s", environment=dict(GPU), time=NOON + timedelta(days=1))
    assert latest_hardware([here, there], [here]) == HERE
    assert latest_hardware([here], [here, there]) == HERE
    assert latest_hardware([there], [here]) == hardware_class(GPU)
    assert latest_hardware([here], []) == HERE
    assert latest_hardware([], []) == ""
    assert hardware_class({}) == ""
