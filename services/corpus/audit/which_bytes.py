"""The third question: how bytes were counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from services.common.percent import percent
from services.corpus.audit import byte_counts
from services.corpus.audit.averages import LN2, figures, publishes_bytes, whole_nats
from services.corpus.audit.byte_counts import Predict
from services.corpus.audit.evidence import Evidence
from services.corpus.audit.record import Number, Record
from services.corpus.audit.scored_tokens import Pattern
from services.corpus.audit.trial import Trial
from services.corpus.audit.verdict import Mistake

_TOO_MANY = (
    *(Mistake.LEADING_SPACE_TWICE, Mistake.REPLACEMENT_BYTES, Mistake.SENTINELS_AS_TEXT),
    *(Mistake.SPECIAL_TOKEN_BYTES, Mistake.DECODED_BYTES),
)
_TOO_FEW = (
    *(Mistake.CHARACTERS, Mistake.DECODED_BYTES, Mistake.CASE_FOLDED),
    Mistake.REPLACEMENT_BYTES,  # if tokens lose their space
)
# The name of bytes that only the claim implies.
_AVERAGES = (Mistake.TOKEN_WEIGHTED_MEAN, Mistake.MEAN_OF_RATIOS)


@dataclass(frozen=True)
class _Count:
    """Published bytes: of documents, or of all of them together."""

    published: dict[int, int]
    total: Number | None
    sample: list[int]
    detail: str

    def fits(self, predict: Predict, places: list[int]) -> bool:
        """Whether a way of counting gives the published bytes of the documents at `places`."""
        if self.total is None:
            return bool(places) and all(predict(i) == self.published[i] for i in places)
        return _equal(self.total, sum(map(predict, places)))


def which_bytes(trial: Trial) -> bool:
    """Compare published bytes with those of the texts, counted in every known way.

    Returns whether a count that differs from the texts' is explained.
    """
    evidence = trial.evidence
    total = _total_bytes(trial.record)
    published = {
        i: document.sums.bytes
        for i, document in enumerate(evidence.documents)
        if document.sums.bytes is not None and evidence.sources[i] is not None
    }
    if published:
        off = [i for i, size in published.items() if size != evidence.sources[i]]
        if not off:
            trial.checked.append(f"bytes of {len(published):,} documents are those of their texts")
            return False
        return _explain(
            trial,
            _Count(
                published,
                None,
                [i for i in evidence.sample(off) if i in published],
                f"the bytes of {len(off):,} of {len(published):,} documents",
            ),
        )
    if not publishes_bytes(trial.record):
        # The claim may be another average of the right bytes, which is the next question's.
        ways = figures(evidence)
        if any(way.fits(trial.record.claim) for way in ways if way.mistakes):
            return False
    sources = [size for size in evidence.sources if size is not None]
    if total is None or not sources or len(sources) < len(evidence.sources):
        _without_texts(trial, total)
        return False
    if _equal(total, sum(sources)):
        trial.checked.append("the total of bytes is that of the texts")
        return False
    every = list(range(len(sources)))
    detail = f"the total of bytes, {total.value:,.0f} where the texts have {sum(sources):,}"
    return _explain(trial, _Count(dict.fromkeys(every, 0), total, every, detail))


def _explain(trial: Trial, count: _Count) -> bool:
    evidence = trial.evidence
    for pattern in trial.patterns:
        if pattern.mistakes and _only_what_was_scored(evidence, pattern, count):
            trial.checked.append("the bytes are those of the scored tokens")
            # Then neither is wrong, except weights, which concern nats.
            if Mistake.GUIDE_WEIGHTS not in pattern.mistakes:
                trial.resolve(pattern)
            return True
    found: list[Mistake] = []
    for mistake, predict, places in _ways(evidence, count):
        if mistake not in found and count.fits(predict, places):
            found.append(mistake)
    if found == [Mistake.CASE_FOLDED]:
        trial.folded = True
    trial.accuse(found, count.detail)
    return bool(found)


def _only_what_was_scored(evidence: Evidence, pattern: Pattern, count: _Count) -> bool:
    if not _can_be_cut(evidence, count):
        return False
    cuts = evidence.cuts(count.sample)
    return count.fits(byte_counts.of_scored_tokens(cuts, pattern), count.sample)


def _can_be_cut(evidence: Evidence, count: _Count) -> bool:
    every = count.total is None or all(evidence.texts[i] is not None for i in count.published)
    return every and evidence.cutter is not None and bool(count.sample)


def _ways(evidence: Evidence, count: _Count) -> Iterator[tuple[Mistake, Predict, list[int]]]:
    """Wrong ways of counting, with the documents that they are tried on."""
    if _can_be_cut(evidence, count):
        for mistake, predict in byte_counts.with_tokens(
            evidence.cuts(count.sample), evidence.sources
        ):
            yield mistake, predict, count.sample
    texts = [i for i in count.published if evidence.texts[i] is not None]
    if count.total is None or len(texts) == len(count.published):
        ways = chain(byte_counts.of_texts(evidence), byte_counts.sentinels(evidence))
        for mistake, predict in ways:
            yield mistake, predict, texts
    for mistake, predict in byte_counts.special_tokens(evidence):
        yield mistake, predict, list(count.published)


def _total_bytes(record: Record) -> Number | None:
    """Return the total bytes: published, summed over the documents, or implied by the claim."""
    if record.totals.bytes is not None:
        return Number(float(record.totals.bytes), 0.0)
    sizes = [one.sums.bytes for one in record.documents if one.sums.bytes is not None]
    # The sum over a part of the set is not the sum over the set.
    if sizes and len(sizes) == len(record.documents) == (record.known_documents or len(sizes)):
        return Number(float(sum(sizes)), 0.0)
    whole = whole_nats(record)
    if whole is None or whole[0] <= 0 or record.claim.value <= 0:
        return None
    nats, off = whole
    size = nats / LN2 / record.claim.value
    doubt = record.claim.half_digit / record.claim.value + off / nats
    return Number(size, size * (doubt + 2e-6))


def _equal(total: Number, value: int) -> bool:
    return abs(total.value - value) <= total.half_digit + 0.5


def _without_texts(trial: Trial, total: Number | None) -> None:
    """Compare the total with the evaluation set's known counts."""
    known, documents = trial.record.known, trial.record.known_documents
    if total is None or not known.bytes:
        trial.unchecked.append(
            "whether the bytes are those of the texts: neither texts nor an evaluation set's bytes"
        )
        return
    if _equal(total, known.bytes):
        trial.checked.append("the total of bytes is the evaluation set's")
        return
    excess = total.value - known.bytes
    detail = (
        f"the total of bytes, {total.value:,.0f} where the evaluation set has {known.bytes:,} "
        f"({percent(excess / known.bytes, 2, sign='+')})"
    )
    if known.characters is not None and _equal(total, known.characters):
        trial.accuse([Mistake.CHARACTERS], detail)
    elif documents and any(
        _equal(total, known.bytes + documents * added)
        for added in byte_counts.special_sizes(trial.evidence)
    ):
        trial.accuse([Mistake.SPECIAL_TOKEN_BYTES], detail)
    else:
        averages = () if publishes_bytes(trial.record) or documents == 1 else _AVERAGES
        trial.accuse((*(_TOO_MANY if excess > 0 else _TOO_FEW), *averages), detail)
