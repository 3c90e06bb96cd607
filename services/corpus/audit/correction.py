"""The figure without the recognised mistakes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from services.corpus.audit.averages import LN2, document_nats, whole_nats
from services.corpus.audit.byte_counts import size
from services.corpus.audit.scored_tokens import counted_of, scored_in, scored_of
from services.corpus.audit.tokenizer import Counts
from services.corpus.audit.trial import Trial
from services.corpus.audit.verdict import Mistake

_SOURCE = "the texts"
_FOLDED = "the texts in lower case: not a figure of the source, which was never scored"
_ESTIMATED = "; an estimate, by the share of tokens: "
_NO_SIZES = "the bytes that were not scored are unknown without texts and tokenizer"
_NO_NATS = "the windows' own sums are not published"


@dataclass(frozen=True)
class Correction:
    """The figure, the text that it is about, and whether it is an estimate."""

    value: float
    of: str


@dataclass(frozen=True)
class _Part:
    """Nats or bytes, and the reason if they are an estimate; "" if they are exact."""

    value: float
    estimated: str = ""


def corrected(trial: Trial) -> Correction | None:
    """Divide the nats of the scored tokens by the bytes that these tokens cover."""
    nats, covered = _nats(trial), _covered(trial)
    if nats is None or covered is None or not covered.value:
        return None
    reasons = list(filter(None, (covered.estimated, nats.estimated)))
    of = _FOLDED if trial.folded else _SOURCE
    return Correction(
        nats.value / LN2 / covered.value,
        f"{of}{_ESTIMATED}{' and '.join(reasons)}" if reasons else of,
    )


def _nats(trial: Trial) -> _Part | None:
    documents = trial.evidence.documents
    known = [trial.nats.get(i, document_nats(one)) for i, one in enumerate(documents)]
    found = [one for one in known if one is not None]
    whole = math.fsum(found) if found and len(found) == len(documents) else None
    if whole is None and (sums := whole_nats(trial.record)) is not None:
        whole = sums[0]
    pattern = trial.pattern
    if whole is None or pattern is None or trial.nats:
        return None if whole is None else _Part(whole)
    if Mistake.GUIDE_WEIGHTS not in pattern.mistakes:
        return _Part(whole)
    tokens = _tokens(trial)
    counted = 0 if tokens is None else int(pattern.counts(tokens).sum())
    if tokens is None or not counted:
        return None
    scored = sum(one - pattern.left_out(one) for one in tokens.tolist())
    return _Part(whole * scored / counted, _NO_NATS)


def _covered(trial: Trial) -> _Part | None:
    """Return the source's bytes that the scored tokens cover; None if unknown."""
    evidence, pattern = trial.evidence, trial.pattern
    sources = [one for one in evidence.sources if one is not None]
    complete = pattern is None or not pattern.mistakes
    if not sources or len(sources) < len(evidence.sources):
        known = trial.record.known.bytes
        if known is None:
            return None
        return _Part(known) if complete else _Part(known * _share(trial), _NO_SIZES)
    if trial.folded and evidence.all_texts:
        return _Part(sum(size(evidence.text(i).lower()) for i in evidence.with_text))
    if pattern is None or complete:
        return _Part(sum(sources))
    if evidence.cutter is not None and evidence.all_texts:
        cuts = evidence.cuts(range(len(sources)))
        return _Part(sum(pattern.covered(cuts[i].sizes) for i in range(len(sources))))
    return _Part(sum(sources) * _share(trial), _NO_SIZES)


def _share(trial: Trial) -> float:
    """Estimate the share of scored bytes by the share of scored tokens."""
    pattern, tokens = trial.pattern, _tokens(trial)
    if pattern is None:
        return 1.0
    if tokens is not None and tokens.any():
        return 1 - sum(map(pattern.left_out, tokens.tolist())) / int(tokens.sum())
    totals, known = trial.record.totals, trial.record.known
    whole = known.tokens if known.tokens is not None else totals.tokens
    return (scored_in(totals) or whole) / whole if whole else 1.0


def _tokens(trial: Trial) -> Counts | None:
    """Return the tokens of each document; None if unknown."""
    evidence = trial.evidence
    counts: list[int | None]
    if evidence.cutter is not None and evidence.all_texts:
        cuts = evidence.cuts(range(len(evidence.documents)))
        counts = [len(cuts[i].sizes) for i in range(len(evidence.documents))]
    else:
        counts = [
            scored_of(one) if (count := counted_of(one)) is None else count
            for one in evidence.documents
        ]
    known = [one for one in counts if one is not None]
    return np.array(known, np.int64) if known and len(known) == len(counts) else None
