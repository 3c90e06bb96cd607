"""What all methods have in common; the page, bits per byte and accuracy by their methods."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from services.corpus.catalog import published
from services.ranker.claims.bounds import Equals, Interval, Range, Ratio, Value
from services.ranker.claims.definition import fact_of
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import Basis, Input, SubjectRelation
from services.ranker.measuring import methods
from services.ranker.measuring.measurements import Budget
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.methodology.load import load
from services.ranker.peers.protocol import Model
from tests.ranker.measuring.observing import (
    CLAIMS,
    REGISTRY,
    content,
    measurements,
    observe,
    the_published,
)
from tests.ranker.peers_fake import (
    ACCURACY,
    B0,
    B4_CUDA,
    B4_PUBLISHED,
    B4_RANDOM,
    BPB,
    FakeCorpus,
    FakeSegment,
    changed,
)


async def test_bits_per_byte_are_a_yardstick() -> None:
    observation = await observe("P2.1")
    assert content(observation) is True
    assert observation.inputs == (Input(BPB.model.digest, "model", BPB.model.name),)
    # The definition and its 22 subsets are cited; the run shows no more than it computed.
    assert observation.basis is Basis.DERIVED
    assert any("Tables 1" in source.locator for source in observation.sources)
    assert "20 held-out documents of 2 subsets of the-pile (sample, sha256:5a5a" in observation.note


async def test_a_yardstick_is_one_whatever_a_model_needs_by_it() -> None:
    """A model that predicts nothing says nothing of the metric, and neither does no text."""
    whole = changed(BPB.overall, nats=9 * math.log(2) * 2000, bits_per_byte=9.0)
    subset = changed(BPB.subsets[0], score=whole)
    ignorant = changed(BPB, overall=whole, subsets=[subset])
    observation = await observe("P2.1", measurements(corpus=FakeCorpus(scores=ignorant)))
    assert content(observation) is True
    assert f"{subset.subset} 9.000" in observation.note
    nothing = changed(BPB, subsets=None)
    with pytest.raises(UnobservableError, match="scored no text of the test split") as error:
        await observe("P2.1", measurements(corpus=FakeCorpus(scores=nothing)))
    assert error.value.reason is UnmeasuredReason.DATA_MISSING


async def test_what_the_page_prints() -> None:
    first = await observe("R1")
    assert content(first) == 42
    assert first.interval == Interval(5, 62)
    assert (await observe("R2")).interval == Interval(25, 82)
    assert content(await observe("R3")) is False
    assert content(await observe("R4")) is True


@pytest.mark.parametrize(("budget", "pictures"), [(Budget.QUICK, 10), (Budget.FULL, 12)])
async def test_an_accuracy_on_pictures_at_hand_is_of_a_sample(
    budget: Budget, pictures: int
) -> None:
    segment = FakeSegment((B4_PUBLISHED,))
    observation = await observe("B1.4", the_published(segment, budget=budget))
    assert observation.value == Value(45.0, "%")
    assert observation.relation is SubjectRelation.SAMPLE
    of_its_name = await observe("B1.4", measurements(FakeSegment((B4_PUBLISHED,)), budget=budget))
    assert of_its_name.relation is SubjectRelation.NAMED
    assert segment.evaluated == [observation.n] == [pictures]
    assert f"on {pictures} of the 2,000 validation pictures" in observation.note


@pytest.mark.parametrize("served", [B4_RANDOM, B0])
async def test_other_weights_have_no_accuracy_of_the_published_ones(served: Model) -> None:
    segment = FakeSegment((served,))
    with pytest.raises(UnobservableError, match=r"random|architecture"):
        await observe("B1.4", measurements(segment))
    assert segment.evaluated == []


async def test_without_labelled_pictures_the_setting_is_named() -> None:
    with pytest.raises(UnobservableError, match="ASSAY_RANKER_LABELLED_PICTURES"):
        await observe("B1.4", measurements(FakeSegment((B4_PUBLISHED,)), pictures=()))


@pytest.mark.parametrize(
    "lie", [{"mean_iou": 1.2}, {"pixel_accuracy": math.nan}, {"pictures": 2000}]
)
async def test_an_accuracy_outside_physics_is_refused(lie: dict[str, float]) -> None:
    segment = FakeSegment((B4_PUBLISHED,), accuracy=replace(ACCURACY, **lie))  # type: ignore[arg-type]
    with pytest.raises(UnobservableError, match="outside physics"):
        await observe("B1.4", measurements(segment))


async def test_every_method_gives_the_unit_of_its_claim() -> None:
    published = FakeSegment((B4_PUBLISHED,))
    cuda = FakeSegment((B4_CUDA,))
    (page,) = REGISTRY.pages
    for claim in REGISTRY.claims.values():
        if claim.artifact not in (*page.compares, page.id):
            continue  # other sizes are not served by the peer made by hand
        if not claim.method or not isinstance(claim.bound, Equals | Range | Ratio):
            continue
        served = {"B4.4": cuda, "B6.3": cuda}
        served |= dict.fromkeys(("B1.1", "B1.4", "B8.2"), published)
        asked = measurements(served.get(claim.id))
        observation = await observe(claim.id, asked)
        assert observation.value is not None
        assert observation.value.unit == claim.bound.unit, claim.id


def test_every_metric_of_the_methodology_has_a_method() -> None:
    """What is only cited is a truth about a publication."""
    measured = {(one.fact, one.unit) for one in methods.known().values()}
    bits = methods.known()["language_models.bits_per_byte@2"]
    for subset in published.NAMES:
        measured.add((fact_of(replace(CLAIMS["G1"], subset=subset), bits), bits.unit))
    for rules in load().types.values():
        for name, metric in rules.metrics.items():
            if metric.good is None:
                assert (metric.fact, metric.unit) in measured, name
