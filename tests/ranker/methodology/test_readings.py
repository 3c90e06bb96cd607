"""Which evidence a metric is read from."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.ranker.claims.identity import hardware_class
from services.ranker.claims.model import ArtifactType, Basis, SubjectRelation
from services.ranker.methodology.definition import Metric
from services.ranker.methodology.load import load
from services.ranker.methodology.readings import (
    facts_of,
    latest_hardware,
    read,
)
from tests.ranker.records import CPU, NOON, claim, evidence

METRICS = load().rules(ArtifactType.SEGMENTATION_MODEL).quality
MIOU, LATENCY, SIZE = METRICS["ade20k-miou"], METRICS["latency"], METRICS["size"]
COMPOSITION = load().rules(ArtifactType.DATASET).quality["documented_composition"]
HERE = hardware_class(CPU)
GPU = {"cpu": "Test CPU", "cpu_count": 16, "accelerators": ["Test GPU"]}


def facts(metric: Metric) -> dict[str, str]:
    return {source.fact: source.fact for source in metric.inputs}


def test_a_figure_of_the_artifact_is_read_with_its_interval() -> None:
    item = evidence("ade20k-miou", 44.2, "%", low=40.8, high=47.6)
    reading = read(MIOU, [item], facts(MIOU), HERE)
    assert reading is not None
    assert (reading.low, reading.point, reading.high) == pytest.approx((0.25, 0.5, 0.75))
    assert reading.evidence == (item.digest,)
    assert reading.shown == "44.2 % (measured)"


def test_open_interval_ends_reach_the_end_of_the_scale() -> None:
    item = evidence("ade20k-miou", 44.2, "%", low=-float("inf"), high=float("inf"))
    reading = read(MIOU, [item], facts(MIOU), HERE)
    assert reading is not None
    assert (reading.low, reading.high) == (0, 1)


@pytest.mark.parametrize(
    "relation",
    [
        SubjectRelation.PROXY,
        SubjectRelation.SAMPLE,
        SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS,
    ],
)
def test_no_stand_in_speaks_for_accuracy(relation: SubjectRelation) -> None:
    item = evidence("ade20k-miou", 50.0, "%", relation=relation)
    assert read(MIOU, [item], facts(MIOU), HERE) is None


def test_random_weights_speak_for_size() -> None:
    relation = SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS
    item = evidence("parameters", 64_108_374, "parameters", relation=relation)
    assert read(SIZE, [item], facts(SIZE), HERE) is not None


@pytest.mark.parametrize(
    ("content", "unit"), [(50.3, "points"), ("50.3", ""), (True, ""), (float("nan"), "%")]
)
def test_values_of_another_kind_are_not_read(content: float | str | bool, unit: str) -> None:
    assert read(MIOU, [evidence("ade20k-miou", content, unit)], facts(MIOU), HERE) is None
    without = evidence("documented-shares", 0.5, "share")
    assert read(COMPOSITION, [without], facts(COMPOSITION), HERE) is None


def test_the_good_truth_counts() -> None:
    for content, place in ((False, 1.0), (True, 0.0)):
        item = evidence("documented-shares", content, basis=Basis.SOURCED)
        reading = read(COMPOSITION, [item], facts(COMPOSITION), HERE)
        assert reading is not None
        assert (reading.low, reading.point, reading.high) == (place,) * 3
        assert reading.shown == ("yes (sourced)" if place else "no (sourced)")


def test_measured_goes_before_sourced_and_late_before_early() -> None:
    sourced = evidence("ade20k-miou", 51.0, "%", basis=Basis.SOURCED)
    early = evidence("ade20k-miou", 45.0, "%")
    late = evidence("ade20k-miou", 40.0, "%", time=NOON + timedelta(days=1))
    for items, expected in (([sourced, early], early), ([late, sourced, early], late)):
        reading = read(MIOU, items, facts(MIOU), HERE)
        assert reading is not None
        assert reading.evidence == (expected.digest,)


def test_of_equals_the_least_favourable_ends_count_whatever_their_order() -> None:
    pair = [evidence("ade20k-miou", value, "%") for value in (45.0, 40.0)]
    readings = [read(MIOU, items, facts(MIOU), HERE) for items in (pair, pair[::-1])]
    assert readings[0] == readings[1]
    assert readings[0] is not None
    assert readings[0].shown == "40 % (measured)"
    assert set(readings[0].evidence) == {item.digest for item in pair}


def test_latency_is_read_on_the_hardware_that_the_score_is_for() -> None:
    here = evidence("gpu-latency", 0.06, "s")
    there = evidence("gpu-latency", 0.05, "s", environment=dict(GPU))
    cited = evidence("gpu-latency", 0.02, "s", basis=Basis.SOURCED, environment={})
    items = [cited, here, there]
    for hardware, expected in ((HERE, here), (hardware_class(GPU), there)):
        reading = read(LATENCY, items, facts(LATENCY), hardware)
        assert reading is not None
        assert reading.evidence == (expected.digest,)
    assert read(LATENCY, items, facts(LATENCY), "another machine") is None


def test_claims_that_name_a_comparator_are_about_two_things() -> None:
    alone, against = claim("c1", "ade20k-miou"), claim("c2", "ade20k-miou", comparator="rival")
    assert facts_of([alone, against]) == {"c1": "ade20k-miou"}


def test_hardware_shared_by_both_sides_goes_first() -> None:
    here = evidence("x", 1.0, "s")
    there = evidence("x", 1.0, "s", environment=dict(GPU), time=NOON + timedelta(days=1))
    assert latest_hardware([here, there], [here]) == HERE
    assert latest_hardware([here], [here, there]) == HERE
    assert latest_hardware([there], [here]) == hardware_class(GPU)
    assert latest_hardware([here], []) == HERE
    assert latest_hardware([], []) == ""
    assert hardware_class({}) == ""
