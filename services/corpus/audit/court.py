"""Says whether a published bits-per-byte figure can be right, and by which mistake it is wrong.

Four questions are asked one after the other, each answered by comparing what was published with
what every known way of counting would have given:

1. Which text was read: the source, or a folded one?
2. Which of its tokens were scored?
3. How were bytes counted?
4. How does the claim follow from the sums?

A sound way that fits ends a question: a mistake is found only where none does. Where several
mistakes fit equally well, all are named.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.common.counts import plural
from services.corpus.audit.averages import figures
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
    """Try a record.

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
    if not which_bytes(trial):
        never += impossible_bytes(trial.evidence)
    compare_with_set(trial)
    recomputed = _which_average(trial)
    # Numbers that cannot be are not corrected.
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


def _which_average(trial: Trial) -> float | None:
    """Compare the claim with the figures that the published sums give; return the right one."""
    ways = list(figures(trial.record))
    if not ways:
        trial.unchecked.append("how the claim follows from the sums: not both nats and bytes")
        return None
    claim, right = trial.record.claim, ways[0].value
    if claim.equals(right, ways[0].doubt):
        trial.checked.append("the claim is what the published sums give")
        return right
    mistakes = [
        way.mistake
        for way in ways[1:]
        if way.mistake is not None and claim.equals(way.value, way.doubt)
    ]
    trial.accuse(mistakes, f"the claim, {claim.value} where the published sums give {right:.6g}")
    return right
