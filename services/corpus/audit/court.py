"""Decides whether a published bits-per-byte figure can be right, and which mistake explains it.

Four questions are answered in order. For each, the published numbers are compared with the results
of every known way of counting:

1. Which text was read: the source, or a folded one?
2. Which of its tokens were scored?
3. How were bytes counted?
4. How does the claim follow from the sums?

If a sound way fits, the question is settled; a mistake is reported only if none does. If several
mistakes fit equally well, all of them are named.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.common.counts import plural
from services.corpus.audit.agreement import compare_sums
from services.corpus.audit.averages import figures, publishes_bytes
from services.corpus.audit.correction import Correction, corrected
from services.corpus.audit.evaluation_set import compare_with_set
from services.corpus.audit.evidence import Evidence
from services.corpus.audit.impossible import impossible, impossible_bytes
from services.corpus.audit.record import Record, Sums
from services.corpus.audit.scored_tokens import zeros_as_nulls
from services.corpus.audit.tokenizer import Cutter
from services.corpus.audit.trial import Trial
from services.corpus.audit.verdict import Status, Verdict
from services.corpus.audit.which_bytes import which_bytes
from services.corpus.audit.which_tokens import which_text, which_tokens

_SHOWN = 10


def judge(
    record: Record, cutter: Cutter | None = None, known_texts: Mapping[str, bytes] | None = None
) -> Verdict:
    """Audit a record.

    `cutter` is its tokenizer, `known_texts` holds texts of the evaluation set by SHA-256 in hex,
    for documents that are published by digest.
    """
    trial = Trial(Evidence(zeros_as_nulls(record), cutter, known_texts or {}))
    never = list(impossible(trial.evidence))
    if _claim_alone(record):
        trial.unchecked.append("anything: the record holds a claim and nothing to check it by")
        return _verdict(trial, never, None, None)
    missing = len(trial.evidence.texts) - len(trial.evidence.with_text)
    if missing:
        trial.unchecked.append(f"{plural(missing, 'document')}, whose texts are not known")
    which_text(trial)
    which_tokens(trial)
    explained = which_bytes(trial)
    if not explained:
        never += impossible_bytes(trial.evidence)
    compare_with_set(trial)
    recomputed = _which_average(trial, explained=explained)
    compare_sums(trial)
    # Impossible numbers are not corrected.
    correction = None if never or not trial.correctable else corrected(trial)
    return _verdict(trial, never, recomputed, correction)


def _claim_alone(record: Record) -> bool:
    nothing = Sums()
    return (
        not record.documents
        and record.perplexity is None
        and (record.totals == record.known == nothing and record.known_documents is None)
    )


def _verdict(
    trial: Trial, never: list[str], recomputed: float | None, correction: Correction | None
) -> Verdict:
    if never:
        status = Status.IMPOSSIBLE
    elif any(finding.mistakes for finding in trial.findings):
        status = Status.WRONG
    elif trial.findings:
        status = Status.UNEXPLAINED
    else:
        status = Status.CONSISTENT if trial.unchecked else Status.SOUND
    return Verdict(
        status=status,
        claimed=trial.record.claim.value,
        recomputed=recomputed,
        corrected=None if correction is None else correction.value,
        corrected_of="" if correction is None else correction.of,
        impossible=_listed(never),
        findings=tuple(trial.findings),
        checked=tuple(trial.checked),
        unchecked=tuple(trial.unchecked),
    )


def _listed(problems: list[str]) -> tuple[str, ...]:
    more = len(problems) - _SHOWN
    return (*problems[:_SHOWN], *([f"and {more:,} more like these"] if more > 0 else []))


def _which_average(trial: Trial, *, explained: bool) -> float | None:
    """Compare the claim with the figures that the published sums give; return the right one.

    `explained` says whether a count of bytes, published or implied by the claim, was explained.
    """
    ways = list(figures(trial.evidence))
    if not ways:
        trial.unchecked.append("how the claim follows from the sums: not both nats and bytes")
        return None
    claim, right = trial.record.claim, ways[0].value
    published = publishes_bytes(trial.record)
    sums = "the published sums" if published else "the published nats over the bytes of the texts"
    if ways[0].fits(claim):
        trial.checked.append(f"the claim is what {sums} give")
        return right
    fitting = [way.mistakes for way in ways[1:] if way.fits(claim)]
    fewest = min(map(len, fitting), default=0)
    likely = [mistakes for mistakes in fitting if len(mistakes) == fewest]
    detail = f"the claim, {claim.value} where {sums} give {right:.6g}"
    # If there are two mistakes, one is the unit; several averages may fit with it.
    for alternatives in zip(*likely, strict=True):
        trial.accuse(alternatives, detail)
    # Without published bytes, the count that the claim implies was judged.
    if not likely and (published or not (explained or trial.findings)):
        trial.accuse((), detail)
    return right
