"""Documents and subsets of a corpus, from what corpus counted in its shards."""

from __future__ import annotations

from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Basis, Claim, Interval, SubjectRelation, Value
from services.ranker.measuring.intervals import share
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.measuring.probes import Probes, UnobservableError
from services.ranker.peers.protocol import CorpusFacts


async def _holdings(claim: Claim, probes: Probes) -> tuple[CorpusFacts, SubjectRelation]:
    corpus, relation = await probes.corpus(claim.artifact)
    facts = await probes.holdings(corpus)
    if not facts.documents:
        raise UnobservableError(f"{corpus.name} holds no documents here")
    return facts, relation


def about(facts: CorpusFacts, note: str) -> str:
    """Return a note that says first what it was observed on."""
    present = sum(1 for one in facts.subsets if one.documents)
    return (
        f"Observed on {facts.documents:,} documents from {present} subsets of "
        f"{facts.corpus.label}. {note}"
    ).rstrip()


@method(1, Measurement.CORPUS_FACTS)
async def subset_count(claim: Claim, probes: Probes) -> Observation:
    """Subsets that have a document."""
    facts, relation = await _holdings(claim, probes)
    count = sum(1 for one in facts.subsets if one.name and one.documents)
    return Observation(
        value=Value(float(count), "subsets"),
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=facts.corpus.digest,
        n=facts.documents,
        note=about(facts, ""),
    )


@method(1, Measurement.CORPUS_FACTS)
async def named_source_share(claim: Claim, probes: Probes) -> Observation:
    """Share of documents that name their subset."""
    facts, relation = await _holdings(claim, probes)
    named = facts.documents - facts.documents_without_subset
    return Observation(
        value=Value(named / facts.documents, "share"),
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=facts.corpus.digest,
        interval=share(named, facts.documents),
        n=facts.documents,
        note=about(facts, f"{named:,} of {facts.documents:,} name their subset."),
    )


@method(1, Measurement.CORPUS_FACTS)
async def share_distance(claim: Claim, probes: Probes) -> Observation:
    """Total variation distance of the subsets' shares of the text from the published shares."""
    facts, relation = await _holdings(claim, probes)
    published = {
        one.name: one.published_share for one in facts.subsets if one.published_share is not None
    }
    total = sum(published.values())
    if not published or not facts.text_bytes:
        raise UnobservableError(f"nothing is published of the shares in {facts.corpus.name}")
    here = {one.name: one.text_bytes / facts.text_bytes for one in facts.subsets}
    names = set(here) | set(published)
    distance = 0.5 * sum(abs(here.get(one, 0) - published.get(one, 0) / total) for one in names)
    return Observation(
        value=Value(distance, "total variation distance"),
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=facts.corpus.digest,
        # Of the whole corpus the distance is known; a sample that was not drawn bounds nothing.
        interval=Interval(distance, distance)
        if relation is SubjectRelation.EXACT
        else Interval(0.0, 1.0),
        n=facts.documents,
        note=about(facts, "These documents were not drawn at random from the whole."),
    )
