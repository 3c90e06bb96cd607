"""Replies of CorpusAuditService, from what an inspection found."""

from __future__ import annotations

from collections.abc import Collection

from assay_rpc.audit.v1alpha1 import corpus_audit_pb2 as pb
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2

from services.common.statistics.interval import Interval
from services.common.statistics.shares import share_interval
from services.corpus.api import corpora
from services.corpus.bpb.estimates import LEVEL, Everything, Quantity, Scope
from services.corpus.catalog import published
from services.corpus.catalog.corpus import Corpus
from services.corpus.catalog.distance import total_variation
from services.corpus.catalog.rights import RIGHTS
from services.corpus.inspection.findings import (
    Contamination,
    Inspection,
    Part,
    Place,
    Share,
)
from services.corpus.inspection.repeats import Repeats
from services.rpc.messages import interval_of, license_message

READING = pb.CORPUS_AUDIT_STAGE_READING
SCORING = pb.CORPUS_AUDIT_STAGE_SCORING
_MOST_SUBSETS = 1_000
_MOST_LANGUAGES = 200
# Most bytes of listed hits, so that the result's message stays below 4 MiB.
_MOST_PLACES_BYTES = 1 << 20


def audit(corpus: Corpus, found: Inspection) -> pb.CorpusAudit:
    """Return the findings as a message, without scores."""
    total = found.whole.count.text_bytes
    contamination = found.contamination
    largest = sorted(found.subsets, key=lambda name: -found.subsets[name].count.text_bytes)
    message = pb.CorpusAudit(
        corpus=corpora.corpus_ref(corpus),
        license=license_message(corpus.license),
        whole=_part("", found.whole, total),
        subsets=[_subset(name, found, total) for name in sorted(largest[:_MOST_SUBSETS])],
        subsets_total=len(found.subsets),
        exact=_repeats(found.exact),
        near_documents=found.near_documents,
        languages_documents=found.languages_of,
        languages=_languages(found),
    )
    message.whole.exact_repeats = found.exact.documents
    if found.near is not None:
        message.near.CopyFrom(_repeats(found.near))
        message.whole.near_repeats = found.near.documents
    if contamination is not None:
        message.contamination.CopyFrom(_contamination(contamination))
        shares = contamination.by_subset.values()
        whole = Share(len(contamination.documents), sum(one.text_bytes for one in shares))
        _contaminated(message.whole, whole)
    counts = {name: part.count for name, part in found.subsets.items()}
    if published.SUBSETS.keys() & counts.keys():
        weights = {name: row.weight for name, row in published.SUBSETS.items()}
        distance = total_variation(counts, weights)
        if distance is not None:
            message.distance.CopyFrom(corpora.distance_message(distance))
    return message


class Figures:
    """Bits per byte of all documents, of contaminated ones, and of the others."""

    def __init__(self, contaminated: Collection[str]) -> None:
        self._contaminated = contaminated
        self._sums = {
            name: Everything(Quantity.LEVEL, Scope.CORPUS)
            for name in ("all", "without", "contaminated")
        }
        self._sizes = {name: [0, 0] for name in self._sums}
        self._excluded = 0

    def add(self, document: scoring_pb2.DocumentScore) -> None:
        """Count a document."""
        if document.excluded:
            self._excluded += 1
            return
        part = "contaminated" if document.id in self._contaminated else "without"
        one = document.score
        for name in ("all", part):
            self._sums[name].add(document.subset, document.id, one.text_bytes, one.tokens, one.nats)
            self._sizes[name][0] += 1
            self._sizes[name][1] += one.text_bytes

    def message(self, final: scoring_pb2.FinalScore) -> pb.ScoredWithout:
        """Return the figures; `final` names the model and the definition."""
        message = pb.ScoredWithout(
            model=final.model, definition=final.definition, excluded=self._excluded
        )
        for name, sums in self._sums.items():
            documents, text_bytes = self._sizes[name]
            part = pb.AuditedScore(documents=documents, text_bytes=text_bytes)
            figure = sums.overall
            if figure is not None:
                part.bits_per_byte = figure.value
                if figure.interval is not None:
                    part.interval.CopyFrom(interval_of(figure.interval))
            getattr(message, name).CopyFrom(part)
        return message


def _subset(name: str, found: Inspection, total: int) -> pb.AuditedPart:
    message = _part(name, found.subsets[name], total)
    row, rights = published.SUBSETS.get(name), RIGHTS.get(name)
    if row is not None:
        message.published_share = row.weight
    if rights is not None:
        message.rights.CopyFrom(corpora.rights_message(rights))
    message.exact_repeats = found.exact.by_subset.get(name, 0)
    if found.near is not None:
        message.near_repeats = found.near.by_subset.get(name, 0)
    if found.contamination is not None:
        _contaminated(message, found.contamination.by_subset.get(name, Share()))
    return message


def _part(name: str, part: Part, total: int) -> pb.AuditedPart:
    message = pb.AuditedPart(
        name=name,
        documents=part.count.documents,
        text_bytes=part.count.text_bytes,
        share=part.count.text_bytes / total if total else 0.0,
        words=part.words,
        distinct_words=part.distinct_words,
        personal=pb.PersonalData(
            emails=part.personal.emails,
            ip_addresses=part.personal.ip_addresses,
            phone_numbers=part.personal.phone_numbers,
            documents=part.personal.documents,
        ),
    )
    if part.lengths is not None:
        one = part.lengths
        message.lengths.CopyFrom(
            pb.DocumentLengths(
                least=one.least, median=one.median, p90=one.p90, p99=one.p99, most=one.most
            )
        )
    return message


def _contaminated(message: pb.AuditedPart, share: Share) -> None:
    message.contaminated_documents = share.documents
    message.contaminated_bytes = share.text_bytes
    _give_share(message.contaminated_share, share.documents, message.documents)


def _give_share(message: common_pb2.Interval, of: int, trials: int) -> None:
    """Fill in the interval of a share; leave it out if there is no trial."""
    if trials:
        found: Interval = share_interval(of, trials, LEVEL)
        message.CopyFrom(interval_of(found))


def _repeats(found: Repeats) -> pb.Repeats:
    return pb.Repeats(
        documents=found.documents,
        within=found.within,
        between=[
            pb.SplitOverlap(split=split, other=other, documents=count)
            for (split, other), count in sorted(found.between.items())
        ],
    )


def _languages(found: Inspection) -> list[pb.LanguageShare]:
    messages = []
    ordered = sorted(found.languages.items(), key=lambda one: (-one[1], one[0]))
    for language, count in ordered[:_MOST_LANGUAGES]:
        message = pb.LanguageShare(language=language, documents=count)
        _give_share(message.share, count, found.languages_of)
        messages.append(message)
    return messages


def _contamination(found: Contamination) -> pb.Contamination:
    message = pb.Contamination(ngram_words=found.n, hits=found.hits)
    for one in found.sets:
        part = message.test_sets.add(
            test_set=one.name,
            texts=one.texts,
            too_short=one.too_short,
            found=one.found,
            longest=one.longest,
        )
        _give_share(part.share, one.found, one.texts - one.too_short)
    size = 0
    for place in found.places:
        listed = _place(place)
        size += listed.ByteSize()
        if size > _MOST_PLACES_BYTES:
            break
        message.places.append(listed)
    return message


def _place(place: Place) -> pb.ContaminatedPlace:
    hit = place.hit
    return pb.ContaminatedPlace(
        document=place.document,
        subset=place.subset,
        split=place.split,
        test_set=place.test_set,
        number=place.number,
        words=hit.words,
        start=hit.start,
        end=hit.end,
        test_start=hit.test_start,
        test_end=hit.test_end,
        excerpt=place.excerpt,
    )
