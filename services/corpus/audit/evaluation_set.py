"""Whether the record's documents are the evaluation set, by the set's known counts."""

from __future__ import annotations

from collections.abc import Iterator

from services.corpus.audit.averages import sum_of
from services.corpus.audit.scored_tokens import AROUND
from services.corpus.audit.trial import Trial


def compare_with_set(trial: Trial) -> None:
    """Compare sums over the documents with the evaluation set's own counts.

    Call this after tokens and bytes were judged, because a mistake may explain a difference.
    """
    record = trial.record
    if not record.documents:
        return
    count = record.known_documents
    listed = len(record.documents)
    if count is not None and listed < count:
        trial.contradict(f"the documents, {listed:,} of {count:,} documents of the evaluation set")
    elif count is not None and listed > count:
        trial.contradict(f"the documents, {listed:,} where the evaluation set has {count:,}")
    for name, found, known in _differences(trial):
        trial.contradict(f"the documents' {name}, {found:,} where the evaluation set has {known:,}")
    if count == listed:
        trial.checked.append("the number of documents is the evaluation set's")


def _differences(trial: Trial) -> Iterator[tuple[str, int, int]]:
    evidence, known, documents = trial.evidence, trial.record.known, trial.record.documents
    totals = trial.record.totals
    # If the texts are known, they are compared: their mistaken counts were judged before.
    sizes = evidence.sources
    if None in sizes and not any(finding.mistakes for finding in trial.findings):
        sizes = [document.sums.bytes for document in documents]
    characters = [
        document.sums.characters if text is None else len(text)
        for text, document in zip(evidence.texts, documents, strict=True)
    ]
    for name, found, expected in (
        ("bytes", sum_of(sizes), known.bytes),
        ("characters", _or_total(sum_of(characters), totals.characters), known.characters),
    ):
        if found is not None and expected is not None and found != expected:
            yield name, found, expected
    tokens = _or_total(sum_of(document.sums.tokens for document in documents), totals.tokens)
    pattern = trial.pattern
    if tokens is None or known.tokens is None or trial.folded or (pattern and pattern.mistakes):
        return
    # Some count a token before or after each text; the texts' tokens show this if they are known.
    shown = evidence.cutter is not None and evidence.with_text
    around = (0, *((pattern.extra,) if pattern and shown else AROUND))
    if tokens not in {known.tokens + each * len(documents) for each in around}:
        yield "tokens", tokens, known.tokens


def _or_total(added: int | None, total: int | None) -> int | None:
    return total if added is None else added
