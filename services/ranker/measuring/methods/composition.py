"""Documents and subsets of a corpus: the contents of its shards, and the results of an audit."""

from __future__ import annotations

import math
from dataclasses import replace

from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.definition import (
    DATA,
    USUAL_DATASET,
    Against,
    Definition,
    Kind,
    Plausible,
)
from services.ranker.claims.evidence import Observation
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import Aspect, Basis, Claim, SubjectRelation
from services.ranker.measuring.measurements import Measurements
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import (
    CorpusDescription,
    SubsetInfo,
    corpus_label,
    corpus_subject,
)


def _require_published(claim: Claim) -> None:
    """Refuse any corpus except the one whose subsets' shares and rights corpus knows.

    It knows them by the subsets' names, which another corpus may also use: "Wikipedia (en)" says
    neither how large its share should be nor which licence its texts have. Raises
    `UnobservableError`.
    """
    if claim.artifact != USUAL_DATASET:
        raise UnobservableError(
            f"the shares and the rights that are known are of {USUAL_DATASET}'s subsets, and those "
            f"of {claim.artifact} that have the same names may be others",
            UnmeasuredReason.DATA_MISSING,
        )


async def _described(
    claim: Claim, measurements: Measurements
) -> tuple[CorpusDescription, SubjectRelation]:
    corpus, relation = await measurements.corpus(claim.artifact)
    description = await measurements.description(corpus)
    if not description.documents:
        raise UnobservableError(f"{corpus.ref.name} holds no documents here")
    return description, relation


def about(description: CorpusDescription, note: str) -> str:
    """Return a note that first says what was observed."""
    present = sum(1 for one in description.subsets if one.documents)
    return (
        f"Observed on {description.documents:,} documents from {present} subsets of "
        f"{corpus_label(description.corpus)}. {note}"
    ).rstrip()


@method(
    1,
    Measurement.CORPUS_FACTS,
    Definition(
        aspect=Aspect.COMPOSITION,
        kind=Kind.NUMBER,
        unit="subsets",
        fact="subsets",
        types=DATA,
        chance=Plausible(1, 200, logarithmic=True, least=0),
    ),
)
async def subset_count(claim: Claim, measurements: Measurements) -> Observation:
    """Subsets that have a document."""
    description, relation = await _described(claim, measurements)
    count = sum(1 for one in description.subsets if one.name and one.documents)
    return Observation(
        value=Value(float(count), "subsets"),
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=description.corpus.ref.digest,
        subject=corpus_subject(description.corpus, relation),
        n=description.documents,
        note=about(description, ""),
    )


@method(
    2,
    Measurement.CORPUS_FACTS,
    Definition(
        aspect=Aspect.STORAGE,
        kind=Kind.NUMBER,
        unit="share",
        fact="named-sources",
        types=DATA,
        sample_decides=True,
        chance=Plausible(0, 1, least=0, most=1),
    ),
)
async def named_source_share(claim: Claim, measurements: Measurements) -> Observation:
    """Share of documents that name their subset.

    For a whole corpus it is counted; `share_of_all` says what a part shows about the whole.
    """
    description, relation = await _described(claim, measurements)
    named, documents = (
        description.documents - description.documents_without_subset,
        description.documents,
    )
    observation = _of_the_whole(
        description,
        relation,
        named / documents,
        f"{named:,} of {documents:,} name their subset.",
    )
    if relation is SubjectRelation.EXACT:
        return observation
    elsewhere = await measurements.files_elsewhere(claim.artifact)
    interval = share_of_all(named, documents)
    return replace(observation, interval=interval, conditions=of_the_rest(elsewhere))


def share_of_all(some: int, seen: int, documents: int | None = None) -> Interval:
    """Bounds of the share of a corpus's documents that have a form, if `some` of `seen` have it.

    `documents` is the number of all documents, if known. Documents not seen were not left out at
    random and may have any form, however well the seen ones agree; but one document with the form
    shows that not all lack it, and one without shows that not all have it.
    """
    if documents is not None:
        return Interval(some / documents, (documents - (seen - some)) / documents)
    return Interval(
        math.nextafter(0.0, 1.0) if some else 0.0,
        1.0 if some == seen else math.nextafter(1.0, 0.0),
    )


def of_the_rest(elsewhere: int) -> str:
    """Say why a part decides nothing about the whole: it is no random sample, or lacks files."""
    if not elsewhere:
        return "a part that is not a random sample, and the rest may hold anything"
    files = "1 file is" if elsewhere == 1 else f"{elsewhere:,} files are"
    return f"{files} stated in the manifest and not here, and may hold anything"


@method(
    2,
    Measurement.CORPUS_FACTS,
    Definition(
        aspect=Aspect.COMPOSITION,
        kind=Kind.NUMBER,
        unit="total variation distance",
        fact="fixed-shares",
        types=DATA,
        chance=Plausible(0, 1, least=0, most=1),
        against=Against("the published shares of its subsets", ("shares",), also="table 1 paper"),
    ),
)
async def share_distance(claim: Claim, measurements: Measurements) -> Observation:
    """Total variation distance of the subsets' shares of the text from the published shares."""
    _require_published(claim)
    description, relation = await _described(claim, measurements)
    published = {
        one.name: one.published.weight for one in description.subsets if one.HasField("published")
    }
    total = sum(published.values())
    if not published or not description.text_bytes:
        raise UnobservableError(f"no shares are published for {description.corpus.ref.name}")
    here = {one.name: one.text_bytes / description.text_bytes for one in description.subsets}
    names = set(here) | set(published)
    distance = 0.5 * sum(abs(here.get(one, 0) - published.get(one, 0) / total) for one in names)
    return Observation(
        value=Value(distance, "total variation distance"),
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=description.corpus.ref.digest,
        subject=corpus_subject(description.corpus, relation),
        # For the whole corpus the distance is known; a part that was not drawn bounds nothing.
        interval=Interval(distance, distance)
        if relation is SubjectRelation.EXACT
        else Interval(0.0, 1.0),
        n=description.documents,
        note=about(description, "These documents were not drawn at random from the whole."),
    )


@method(
    1,
    Measurement.CORPUS_FACTS,
    Definition(
        aspect=Aspect.COMPOSITION,
        kind=Kind.NUMBER,
        unit="share",
        fact="duplicate-rate",
        types=DATA,
        chance=Plausible(0, 0.5, least=0, most=1),
        other=("near", "fuzzy", "similar", "approximate", "minhash"),
    ),
)
async def duplicate_rate(claim: Claim, measurements: Measurements) -> Observation:
    """Share of documents whose text repeats an earlier one's byte for byte."""
    description, relation = await _described(claim, measurements)
    repeated = description.duplicate_documents
    return _of_the_whole(
        description,
        relation,
        repeated / description.documents,
        f"{repeated:,} repeat an earlier text byte for byte; texts that are nearly alike are not "
        "counted.",
        what="repeated byte for byte",
    )


@method(
    2,
    Measurement.CORPUS_FACTS,
    Definition(
        aspect=Aspect.COMPOSITION,
        kind=Kind.NUMBER,
        unit="share",
        fact="licensed-share",
        types=DATA,
        chance=Plausible(0, 1, least=0, most=1),
    ),
)
async def licensed_share(claim: Claim, measurements: Measurements) -> Observation:
    """Share of the text in subsets whose texts are all under one stated licence or in no copyright.

    "Each author's own" is a licence that nobody can look up, and counts as none.
    """
    _require_published(claim)
    description, relation = await _described(claim, measurements)
    if not description.text_bytes or not any(one.HasField("rights") for one in description.subsets):
        raise UnobservableError(
            f"no rights are stated for the texts in {description.corpus.ref.name}"
        )
    licensed = [one for one in description.subsets if one.text_bytes and _licensed(one)]
    listed = ", ".join(f"{one.name} ({one.rights.license})" for one in licensed) or "none"
    return _of_the_whole(
        description,
        relation,
        sum(one.text_bytes for one in licensed) / description.text_bytes,
        f"Subsets under one stated licence or in no copyright: {listed}.",
    )


_UNLICENSED = ("none", "each", "no known")


def _licensed(subset: SubsetInfo) -> bool:
    stated = subset.rights.license.lower()
    return bool(stated) and not stated.startswith(_UNLICENSED) and "in copyright" not in stated


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
    return _of_the_whole(
        description,
        relation,
        audit.near.documents / compared,
        f"{audit.near.documents:,} of the first {compared:,} repeat one, or nearly do: 0.8 of 112 "
        "hashes of their runs of five words agree.",
        compared,
        what="by MinHash of runs of five words",
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
    """Share of documents that contain an e-mail address, a public IP address or a telephone number.

    Whether it belongs to a person is not known.
    """
    corpus, relation = await measurements.corpus(claim.artifact)
    description, audit = await measurements.audit(corpus)
    found = audit.whole.personal
    return _of_the_whole(
        description,
        relation,
        found.documents / audit.whole.documents,
        f"{found.emails:,} e-mail addresses, {found.ip_addresses:,} IP addresses and "
        f"{found.phone_numbers:,} telephone numbers are spelled in {found.documents:,} of them.",
        audit.whole.documents,
        what="addresses and numbers that are spelled, of persons or not",
    )


def _of_the_whole(
    description: CorpusDescription,
    relation: SubjectRelation,
    share: float,
    note: str,
    documents: int | None = None,
    *,
    what: str = "",
) -> Observation:
    """A share of `documents` (default: all); a part that was not drawn bounds nothing.

    `what` names the counted things in the verdict's reason.
    """
    n = description.documents if documents is None else documents
    exact = n == description.documents and relation is SubjectRelation.EXACT
    return Observation(
        value=Value(share, "share"),
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=description.corpus.ref.digest,
        subject=corpus_subject(description.corpus, relation),
        interval=Interval(share, share) if exact else Interval(0.0, 1.0),
        n=n,
        note=about(description, note),
        conditions=what,
    )
