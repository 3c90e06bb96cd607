"""What methods observe of the page's claims, on peers made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from services.ranker.claims import facts
from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import SubjectRelation
from services.ranker.claims.registry import Registry, packaged
from services.ranker.measuring import methods
from services.ranker.measuring.labelled_images import LabelledImage
from services.ranker.measuring.measurements import Budget, Measurements
from services.ranker.measuring.methods import method_named
from tests.ranker.peers_fake import (
    B4,
    B4_PUBLISHED,
    COMPLETE,
    DESCRIPTION,
    PICTURES,
    SUBSETS,
    FakeCorpus,
    FakeSegment,
    changed,
)

REGISTRY = packaged(methods.known())
CLAIMS = {claim.id: claim for claim in REGISTRY.claims.values()}
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RANDOM = SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS


def measurements(
    segment: FakeSegment | None = None,
    corpus: FakeCorpus | None = None,
    budget: Budget = Budget.QUICK,
    pictures: Sequence[LabelledImage] = PICTURES,
) -> Measurements:
    peers = segment or FakeSegment(), corpus or FakeCorpus()
    return Measurements(REGISTRY, facts.packaged(), *peers, budget, pictures=pictures)


async def observe(claim: str, asked: Measurements | None = None) -> Observation:
    found = CLAIMS[claim]
    return await method_named(found.method).observe(found, asked or measurements())


def whole_pile(corpus: FakeCorpus | None = None) -> Measurements:
    """With the whole corpus at hand, whose digest the manifest has."""
    pile = REGISTRY.artifact("the-pile")
    stated = replace(pile.configuration, digest=COMPLETE.ref.digest)
    registry = Registry([replace(pile, configuration=stated)], methods.known())
    peers = FakeSegment(), corpus or FakeCorpus((COMPLETE,))
    return Measurements(registry, facts.packaged(), *peers, Budget.QUICK)


def the_published(
    segment: FakeSegment | None = None, budget: Budget = Budget.QUICK
) -> Measurements:
    """With the published weights at hand, whose digest the manifest has."""
    b4 = REGISTRY.artifact(B4)
    stated = replace(b4.configuration, digest=B4_PUBLISHED.ref.digest)
    registry = Registry([replace(b4, configuration=stated)], methods.known())
    return Measurements(
        registry,
        facts.packaged(),
        segment or FakeSegment((B4_PUBLISHED,)),
        FakeCorpus(),
        budget,
        pictures=PICTURES,
    )


def content(observation: Observation) -> object:
    assert observation.value is not None
    return observation.value.content


HALF = changed(
    DESCRIPTION, subsets=[changed(one, documents=0) for one in SUBSETS[:11]] + SUBSETS[11:]
)
"""A sample without half of the text."""
