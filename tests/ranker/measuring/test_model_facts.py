"""What methods read from the facts of a served model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from assay_rpc.common.v1 import common_pb2

from services.errors import LicenseNotAccepted, Unavailable
from services.ranker.claims import facts
from services.ranker.claims.bounds import Equals, Interval
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import Basis, SubjectRelation
from services.ranker.measuring.methods import method_named
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import Model
from tests.ranker.measuring.observing import (
    CLAIMS,
    RANDOM,
    REGISTRY,
    content,
    measurements,
    observe,
    the_published,
)
from tests.ranker.peers_fake import (
    B0,
    B4_FACTS,
    B4_PUBLISHED,
    B4_RANDOM,
    QUIET,
    FakeSegment,
    changed,
    ref,
    times,
)


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("B1.2", "4-8-16-32"),
        ("B1.3", 85),
        ("B2.1", 6),
        ("B2.2", 3_265_686 / 17_765_126),
        ("B4.1", 64_108_374),
        ("B4.2", "3-8-27-3"),
        ("B4.3", "64-128-320-512"),
        ("B6.1", "150x128x128"),
        ("B7.1", "128x128"),
    ],
)
async def test_facts_of_the_source_model_agree_with_what_is_published(
    claim: str, expected: object
) -> None:
    observation = await observe(claim)
    assert content(observation) == pytest.approx(expected)
    assert observation.relation is RANDOM
    assert observation.basis is Basis.MEASURED
    assert observation.subject_digest == B4_RANDOM.ref.digest
    published = facts.packaged().of(claim)
    assert published is not None
    assert content(published) == pytest.approx(expected)


async def test_how_near_a_model_is_decides_which_one_is_observed() -> None:
    served = (B0, B4_RANDOM, B4_PUBLISHED)
    assert (
        await observe("B4.1", measurements(FakeSegment(served)))
    ).relation is SubjectRelation.EXACT
    assert (await observe("B4.1", measurements(FakeSegment(served[:2])))).relation is RANDOM
    with pytest.raises(
        UnobservableError, match=r"no model of this architecture \(segformer-b4\); it serves"
    ):
        await observe("B4.1", measurements(FakeSegment((B0,))))


@pytest.mark.parametrize("claim", ["B1.1", "B6.2"])
async def test_what_was_published_is_not_told_by_a_stand_in(claim: str) -> None:
    with pytest.raises(UnobservableError, match=r"differs in .*weights \(random\)"):
        await observe(claim)
    named = await observe(claim, measurements(FakeSegment((B4_PUBLISHED,))))
    assert named.relation is SubjectRelation.NAMED
    assert (await observe(claim, the_published())).relation is SubjectRelation.EXACT


async def test_other_weights_of_the_same_architecture_stand_in_for_nothing() -> None:
    fine_tuned = changed(B4_PUBLISHED, ref=ref("segformer-b4-of-someone-else", "ab"))
    reference = changed(B4_RANDOM, weights=common_pb2.WEIGHTS_KIND_REFERENCE)
    for model in (fine_tuned, reference):
        with pytest.raises(UnobservableError, match=r"weights \(of another model\)"):
            await observe("B4.1", measurements(FakeSegment((model,))))


async def test_a_random_model_says_how_to_make_it() -> None:
    recipe = (await observe("B4.1")).recipe
    assert recipe == (
        "{ test -d segformer-b4-random || assay export --architecture b4 --random-weights 0 "
        "--out segformer-b4-random; } && "
    )


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (changed(B4_PUBLISHED, source_facts=None), "nothing was recorded"),
        (
            changed(B4_PUBLISHED, source_facts=changed(B4_FACTS, logits_shape=(1, 9, 128, 128))),
            "150 classes for 9 channels",
        ),
    ],
)
async def test_a_model_that_cannot_tell(model: Model, problem: str) -> None:
    with pytest.raises(UnobservableError, match=problem):
        await observe("B1.1", measurements(FakeSegment((model,))))


async def test_no_model_and_no_segment() -> None:
    with pytest.raises(UnobservableError, match="serves no model"):
        await observe("B4.1", measurements(FakeSegment(())))
    down = FakeSegment(error=Unavailable("segment cannot be reached"))
    asked = measurements(down)
    for claim in ("B4.1", "B4.2", "B4.5"):
        with pytest.raises(UnobservableError, match="segment cannot be reached"):
            await observe(claim, asked)
    assert down.listed == 1


async def test_labels_on_a_few_inputs_are_shown_and_bound_nothing() -> None:
    observation = await observe("B8.2", measurements(FakeSegment((B4_PUBLISHED,))))
    assert content(observation) == pytest.approx(0.001)
    assert observation.relation is SubjectRelation.PROXY
    assert observation.interval is None
    assert "says nothing about other pictures" in observation.note
    with pytest.raises(UnobservableError, match=r"weights \(random\)"):
        await observe("B8.2")


def test_a_cited_accuracy_spans_what_its_sources_print() -> None:
    observation = facts.packaged().of("B1.4")
    assert observation is not None
    assert content(observation) == 50.3
    assert observation.interval == Interval(48.46, 51.1)


def test_the_rivals_accuracy_is_another_fact() -> None:
    claims = REGISTRY.artifact(CLAIMS["B1.4"].artifact).claims
    group = CLAIMS["B1.4"].group
    assert [one.id for one in claims if one.group == group] == ["B1.4"]


@pytest.mark.parametrize(
    ("stated", "tolerance", "part"),
    [
        (60_842_688, 0, "encoder"),
        (3.3e6, 5e4, "decode_head"),
        (3e6, 5e5, "decode_head"),
        (64_108_374, 0, ""),
        (61_000_000, 5_000_000, ""),  # as rough as that it may be the whole's
        (50_000_000, 0, ""),
    ],
)
async def test_the_parameters_of_a_part_are_not_judged_by_those_of_the_whole(
    stated: float, tolerance: float, part: str
) -> None:
    """Whichever words say that it is a part's."""
    claim = replace(CLAIMS["B4.1"], bound=Equals(stated, tolerance, "parameters"))
    found = method_named(claim.method).observe(claim, measurements())
    if part:
        with pytest.raises(UnobservableError, match=f"are its {part}'s"):
            await found
    else:
        assert content(await found) == 64_108_374


async def test_a_segment_that_lies_is_refused() -> None:
    lying = FakeSegment(figures=changed(QUIET, samples=times((-1.0, -1.0, -1.0))))
    with pytest.raises(UnobservableError, match=r"took -1\.0 s; that is outside physics"):
        await observe("B4.5", measurements(lying))
    facts_ = changed(B4_FACTS, parameters=1)
    with pytest.raises(UnobservableError, match="outside physics"):
        await observe("B4.1", measurements(FakeSegment((changed(B4_RANDOM, source_facts=facts_),))))


async def test_weights_whose_licence_is_refused_are_no_service_that_is_down() -> None:
    refusing = FakeSegment(error=LicenseNotAccepted("the licence of m is not accepted"))
    with pytest.raises(UnobservableError, match="segment refuses it: the licence of m") as no:
        await observe("B4.5", measurements(refusing))
    assert no.value.reason is UnmeasuredReason.LICENSE_NOT_ACCEPTED
