"""What a corpus is made of: its subsets, their shares, rights and duplicates."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from assay_rpc.corpus.v1 import describe_pb2

from services.ranker.claims import facts
from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import SubjectRelation
from services.ranker.claims.registry import Registry
from services.ranker.measuring import methods
from services.ranker.measuring.measurements import Budget, Measurements
from services.ranker.measuring.methods import method_named
from services.ranker.measuring.unobservable import UnobservableError
from tests.ranker.measuring.observing import (
    CLAIMS,
    REGISTRY,
    content,
    measurements,
    observe,
    whole_pile,
)
from tests.ranker.peers_fake import (
    COMPLETE,
    DESCRIPTION,
    REFERENCE,
    SUBSETS,
    FakeCorpus,
    FakeSegment,
    changed,
    corpus,
)


async def test_subsets_and_sources() -> None:
    assert content(await observe("P1.1")) == 22
    observation = await observe("P5.2")
    assert content(observation) == 1
    assert observation.relation is SubjectRelation.SAMPLE
    assert observation.n == 2200
    anonymous = changed(DESCRIPTION, documents_without_subset=220)
    part = await observe("P5.2", measurements(corpus=FakeCorpus(description=anonymous)))
    assert content(part) == pytest.approx(0.9)
    # Documents that nobody drew say nothing of the others, but that not all name a source.
    assert part.interval == Interval(math.nextafter(0, 1), math.nextafter(1, 0))
    whole = await observe("P5.2", whole_pile(FakeCorpus((COMPLETE,), description=anonymous)))
    assert whole.interval == Interval(0.9, 0.9)
    empty = changed(DESCRIPTION, documents=0, subsets=None, duplicate_documents=0)
    with pytest.raises(UnobservableError, match="no documents"):
        await observe("P5.2", measurements(corpus=FakeCorpus(description=empty)))


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("licensed_share", "the same names may be others"),
        ("share_distance", "the same names may be others"),
        ("ratio_against_gzip", ""),
    ],
)
async def test_what_is_published_of_the_pile_is_of_no_corpus_with_subsets_of_those_names(
    method: str, told: str
) -> None:
    """Corpus knows shares and rights by the names of subsets, which another corpus may have."""
    pile = REGISTRY.artifact("the-pile")
    served = FakeCorpus((changed(COMPLETE, ref=changed(COMPLETE.ref, name="mine")),))
    stated = replace(pile.configuration, digest=COMPLETE.ref.digest, subsets=(), files={})
    mine = replace(pile, id="mine", claims=(), configuration=stated)
    registry = Registry([mine], methods.known())
    asked = Measurements(registry, facts.packaged(), FakeSegment(), served, Budget.QUICK)
    module = methods.storage if method.endswith("gzip") else methods.composition
    observed = getattr(module, method)(replace(CLAIMS["P4.1"], artifact="mine"), asked)
    if told:
        with pytest.raises(UnobservableError, match=told):
            await observed
    else:  # all of it is here, so that nothing is open
        assert not math.isinf((await observed).interval.high)


async def test_the_distance_of_the_shares() -> None:
    sample = await observe("P6.1")
    assert content(sample) == pytest.approx(0, abs=1e-12)
    assert sample.interval == Interval(0.0, 1.0)
    whole = await observe("P6.1", whole_pile())
    assert whole.relation is SubjectRelation.EXACT
    assert whole.interval is not None
    assert whole.interval.low == whole.interval.high
    missing = [changed(one, documents=0, text_bytes=0) for one in SUBSETS[11:]]
    few = changed(DESCRIPTION, subsets=SUBSETS[:11] + missing, text_bytes=11000)
    half = await observe("P6.1", measurements(corpus=FakeCorpus(description=few)))
    assert content(half) == pytest.approx(0.5)


async def test_that_a_corpus_is_whole_is_shown_by_its_digest_alone() -> None:
    """Whoever serves it may call it what he likes, and complete."""
    called = await observe("P1.1", measurements(corpus=FakeCorpus((COMPLETE,))))
    assert called.relation is SubjectRelation.SAMPLE
    assert (await observe("P1.1", whole_pile())).relation is SubjectRelation.EXACT


@pytest.mark.parametrize("names", [["ArXiv", "Wikitext"], [""], []])
async def test_a_corpus_that_lies_about_its_name_is_no_sample(names: list[str]) -> None:
    foreign = [changed(one, name=name) for one, name in zip(SUBSETS, names, strict=False)]
    asked = measurements(corpus=FakeCorpus(description=changed(DESCRIPTION, subsets=foreign)))
    for claim in ("P1.1", "P3.1", "P4.1", "P5.2", "P2.1"):
        with pytest.raises(UnobservableError, match="it is not a sample of the-pile"):
            await observe(claim, asked)


async def test_other_text_stands_in_for_nothing() -> None:
    peer = FakeCorpus((REFERENCE, corpus("zzz", "9e", REFERENCE.kind)))
    for claim in ("P1.1", "P3.1", "P4.1", "P2.1"):
        with pytest.raises(
            UnobservableError, match="not have the-pile; it has python-reference, zzz"
        ):
            await observe(claim, measurements(corpus=peer))


def described(**counts: object) -> FakeCorpus:
    return FakeCorpus((COMPLETE,), changed(DESCRIPTION, **counts))


async def counted(method: str, asked: Measurements) -> Observation:
    """What a method observes of the Pile."""
    version = next(one for one in methods.known() if one.startswith(f"composition.{method}@"))
    found = replace(CLAIMS["P1.1"], method=version)
    return await method_named(found.method).observe(found, asked)


async def test_duplicates_are_counted_in_the_whole_and_bound_nothing_in_a_part() -> None:
    found = await counted("duplicate_rate", whole_pile(described(duplicate_documents=22)))
    assert found.conditions == "repeated byte for byte"  # what nearly repeats is another figure
    assert found.value == Value(0.01, "share")
    assert (found.relation, found.interval) == (SubjectRelation.EXACT, Interval(0.01, 0.01))
    part = await counted("duplicate_rate", measurements())
    assert (part.relation, part.interval) == (SubjectRelation.SAMPLE, Interval(0.0, 1.0))


@pytest.mark.parametrize(
    ("license_", "licensed"),
    [
        ("CC-BY-SA", True),
        ("public domain (opinions of US courts)", True),
        ("none; books in copyright", False),
        ("each author's own", False),
        ("no known restriction", False),
        ("a library's terms; some abstracts in copyright", False),
        ("", False),
    ],
)
async def test_a_subset_is_licensed_where_one_licence_is_stated_for_all_of_it(
    license_: str, licensed: bool
) -> None:
    subsets = [
        describe_pb2.SubsetInfo(name="a", documents=1, text_bytes=300),
        describe_pb2.SubsetInfo(
            name="b", text_bytes=100, rights=describe_pb2.SubsetRights(license=license_)
        ),
    ]
    asked = whole_pile(described(subsets=subsets, text_bytes=400))
    found = await counted("licensed_share", asked)
    assert found.value == Value(0.25 if licensed else 0.0, "share")


async def test_where_no_rights_are_stated_nothing_is_observed() -> None:
    with pytest.raises(UnobservableError, match="no rights are stated for"):
        await counted("licensed_share", whole_pile())
