"""Whether the record's documents are the evaluation set, by what its keeper knows of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.corpus.audit.trial import Trial


def compare_with_set(trial: Trial) -> None:
    """Compare sums over the documents with the evaluation set's own counts.

    A difference that a mistake explains is that mistake's: call this after the tokens and bytes
    were judged.
    """
    record = trial.record
    if not record.documents:
        return
    count = record.known_documents
    listed = len(record.documents)
    if count is not None and listed < count:
        _contradict(
            trial, f"the documents, {listed:,} of {count:,} documents of the evaluation set"
        )
    elif count is not None and listed > count:
        _contradict(trial, f"the documents, {listed:,} where the evaluation set has {count:,}")
    for name, found, known in _differences(trial):
        _contradict(
            trial, f"the documents' {name}, {found:,} where the evaluation set has {known:,}"
        )
    if count == listed:
        trial.checked.append("the number of documents is the evaluation set's")


def _differences(trial: Trial) -> Iterator[tuple[str, int, int]]:
    evidence, known, documents = trial.evidence, trial.record.known, trial.record.documents
    # The texts are what is compared where they are known: a mistaken count of them was judged.
    sizes = evidence.sources
    if None in sizes and not any(finding.mistakes for finding in trial.findings):
        sizes = [document.sums.bytes for document in documents]
    characters = [
        document.sums.characters if text is None else len(text)
        for text, document in zip(evidence.texts, documents, strict=True)
    ]
    for name, counts, expected in (
        ("bytes", sizes, known.bytes),
        ("characters", characters, known.characters),
    ):
        found = _sum(counts)
        if found is not None and expected is not None and found != expected:
            yield name, found, expected
    tokens = _sum([document.sums.tokens for document in documents])
    pattern = trial.pattern
    if tokens is None or known.tokens is None or trial.folded or (pattern and pattern.mistakes):
        return
    # Some count a token before or behind each text, which the scored tokens then show.
    around = pattern.extra * len(documents) if pattern else 0
    if tokens not in {known.tokens, known.tokens + around}:
        yield "tokens", tokens, known.tokens


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _contradict(trial: Trial, detail: str) -> None:
    trial.contradicted = True
    trial.accuse((), detail)
