"""What an audit tells of a corpus's texts, from corpus's AuditCorpus."""

from __future__ import annotations

from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.definition import DATA, Definition, Kind, Plausible
from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Aspect, Basis, Claim, SubjectRelation
from services.ranker.measuring.measurements import Measurements
from services.ranker.measuring.methods.composition import about
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.peers.protocol import CorpusDescription, corpus_subject


@method(
    1,
    Measurement.CORPUS_AUDIT,
    Definition(
        aspect=Aspect.COMPOSITION,
        kind=Kind.NUMBER,
        unit="share",
        fact="near-duplicate-rate",
        types=DATA,
        chance=Plausible(0, 0.5, least=0, most=1),
    ),
)
async def near_duplicate_rate(claim: Claim, measurements: Measurements) -> Observation:
    """Share of documents that repeat an earlier one or nearly do, by MinHash of 5-word runs."""
    corpus, relation = await measurements.corpus(claim.artifact)
    description, audit = await measurements.audit(corpus)
    compared = audit.near_documents
    return _observed(
        description,
        relation,
        audit.near.documents,
        compared,
        f"{audit.near.documents:,} of the first {compared:,} repeat one, or nearly do: 0.8 of 112 "
        "hashes of their runs of five words agree.",
        whole=compared == description.documents,
    )


@method(
    1,
    Measurement.CORPUS_AUDIT,
    Definition(
        aspect=Aspect.COMPOSITION,
        kind=Kind.NUMBER,
        unit="share",
        fact="personal-data",
        types=DATA,
        chance=Plausible(0, 1, least=0, most=1),
    ),
)
async def personal_data_share(claim: Claim, measurements: Measurements) -> Observation:
    """Share of documents that spell an e-mail address, a public IP address or a telephone number.

    Whether one belongs to a person is not known.
    """
    corpus, relation = await measurements.corpus(claim.artifact)
    description, audit = await measurements.audit(corpus)
    found = audit.whole.personal
    return _observed(
        description,
        relation,
        found.documents,
        audit.whole.documents,
        f"{found.emails:,} e-mail addresses, {found.ip_addresses:,} IP addresses and "
        f"{found.phone_numbers:,} telephone numbers are spelled in {found.documents:,} of them.",
        whole=audit.whole.documents == description.documents,
    )


def _observed(
    description: CorpusDescription,
    relation: SubjectRelation,
    some: int,
    documents: int,
    note: str,
    *,
    whole: bool,
) -> Observation:
    """A share of audited documents; of a part that was not drawn it bounds nothing."""
    share = some / documents
    exact = whole and relation is SubjectRelation.EXACT
    return Observation(
        value=Value(share, "share"),
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=description.corpus.ref.digest,
        subject=corpus_subject(description.corpus, relation),
        interval=Interval(share, share) if exact else Interval(0.0, 1.0),
        n=documents,
        note=about(description, note),
    )
