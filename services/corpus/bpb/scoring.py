"""Scores documents with a model: text to tokens to windows to batches to sums.

The result is a function of the documents, the model and the definition. Batches hold windows of
one length and one document, so a document's figure does not depend on its neighbours, and nothing
is padded.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from services.corpus.bpb.definition import Definition
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import DocumentScore, Score, ScoreTotals
from services.corpus.bpb.models.language_model import LanguageModel
from services.corpus.bpb.sampling import Chooser, Sample
from services.corpus.bpb.store import NoJournal, ScoreJournal
from services.corpus.bpb.windows import Window, guide_windows, rolling_windows
from services.corpus.shards.documents import Document
from services.errors import AssayError, CheckpointMismatch, InvalidArgument, ModelUnusable

ScoreOne = Callable[[Document, Callable[[int], None]], DocumentScore]
"""Scores a document, and calls what it is given with the tokens scored since its last call."""


class CancelledError(Exception):
    """The caller no longer wants the result."""


@dataclass(frozen=True)
class Running:
    """Figures so far of `model`.

    Until the documents are counted the total is 0 and the time left None. `documents_restored` were
    finished by an earlier run.
    """

    model: str
    overall: Score
    subsets: dict[str, Score]
    documents_total: int
    documents_restored: int
    tokens_per_second: float
    seconds_left: float | None


class Scoring:
    """Scorings one after the other: `run` blocks in a thread of its own, the rest is for others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._begin("")

    def _begin(self, model: str) -> None:
        with self._lock:
            self._model = model
            self._figures = ScoreTotals()
            self._documents_total = self._documents_restored = 0
            self._bytes_total = self._bytes = self._tokens = 0
            self._began = math.nan

    def cancel(self) -> None:
        """Make `run` end at the next batch."""
        self._cancelled.set()

    def running(self) -> Running:
        """Say how far it is."""
        with self._lock:
            figures = self._figures
            seconds = time.monotonic() - self._began if self._tokens else 0.0
            return Running(
                model=self._model,
                overall=figures.overall,
                subsets=figures.subsets,
                documents_total=self._documents_total,
                documents_restored=self._documents_restored,
                tokens_per_second=self._tokens / seconds if seconds else 0.0,
                seconds_left=(
                    seconds / self._bytes * (self._bytes_total - self._bytes)
                    if self._bytes
                    else None
                ),
            )

    def run(
        self,
        model: str,
        score: ScoreOne,
        documents: Callable[[], Iterator[Document]],
        *,
        sample: Sample | None = None,
        journal: ScoreJournal | None = None,
    ) -> list[DocumentScore]:
        """Count the documents, then score those of the sample; return their scores in order.

        `score` reports its progress often enough to be stopped by what that raises. Documents that
        `journal` has are not scored again.

        Raises InvalidArgument when there are none, or fewer than the sample, ModelUnusable when the
        model gives a likelihood that is not a finite number (no figure then counts), StorageFull
        when a checkpoint cannot be written, CheckpointMismatch when the journal is of other
        documents, CancelledError after `cancel`, and whatever reading the documents raises.
        """
        self._begin(model)
        journal = journal or NoJournal()
        chooser = Chooser(sample)
        for document in documents():
            self._check()
            chooser.see(document)
        chooser.choose()
        if not chooser.documents:
            raise InvalidArgument("selection", "no document is in it; select more")
        with self._lock:
            self._documents_total = chooser.documents
            self._bytes_total = chooser.text_bytes
        try:
            scores = self._score(score, filter(chooser.chosen, documents()), journal)
        except BaseException:
            # The error that ends it is worth more than one from keeping what was finished.
            with suppress(AssayError):
                journal.flush()
            raise
        journal.finish()
        return scores

    def _score(
        self,
        score: ScoreOne,
        documents: Iterator[Document],
        journal: ScoreJournal,
    ) -> list[DocumentScore]:
        scores: list[DocumentScore] = []
        for restored in journal.finished:
            self._check()
            document = next(documents, None)
            if document is None or document.id != restored.id:
                raise CheckpointMismatch(
                    f"the checkpoint holds document {restored.id} where the selection has "
                    f"{document.id if document else 'none'}; ask for a fresh one"
                )
            scores.append(restored)
            with self._lock:
                self._figures.add(restored)
                self._documents_restored += 1
                self._bytes_total -= restored.text_bytes
        with self._lock:
            self._began = time.monotonic()
        for document in documents:
            finished = score(document, self._progress)
            scores.append(finished)
            with self._lock:
                self._figures.add(finished)
                self._bytes += finished.text_bytes
            journal.append(finished)
        return scores

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise CancelledError

    def _progress(self, tokens: int) -> None:
        self._check()
        with self._lock:
            self._tokens += tokens


def score_document(
    model: LanguageModel,
    definition: Definition,
    document: Document,
    progress: Callable[[int], None] = lambda _: None,
) -> DocumentScore:
    """Score one document by a resolved definition.

    Before every batch and at the end `progress` is called with the tokens scored since the last
    call; what it raises ends the scoring. An excluded document is scored as far as that is
    possible.
    """
    # A lone surrogate, three bytes in WTF-8, is one in the string too; models see to it themselves.
    text = document.text.decode("utf-8", "surrogatepass")
    tokens = model.encode(text)
    excluded = None if model.decode(tokens) == text else Exclusion.NOT_ROUND_TRIPPING
    if definition.special_tokens:
        tokens = model.encode(text, special_tokens=True)
    size = len(document.text)
    if not size:
        excluded = Exclusion.EMPTY
    elif max(tokens, default=0) >= model.vocabulary:
        reason = Exclusion.TOKEN_OUT_OF_RANGE
        return DocumentScore(document.id, document.subset, 0.0, size, 0, reason)
    sums: list[float] = []
    scored = counted = 0
    for batch in _batches(list(_windows(tokens, definition)), model.batch_size):
        progress(scored)
        scored = sum(window.counted for window in batch)
        counted += scored
        for window, row in zip(batch, model.log_likelihoods(batch), strict=True):
            if not np.isfinite(row).all():
                raise ModelUnusable(
                    "the model gave a likelihood that is not a finite number for document "
                    f"{document.id}; nothing was counted"
                )
            total = math.fsum(row.tolist())
            if window.counted != len(window.targets):
                total *= window.counted / len(window.targets)
            sums.append(total)
    progress(scored)
    # Subtracting from 0 makes the sum of nothing 0 and not -0.
    nats = 0.0 - math.fsum(sums)
    return DocumentScore(document.id, document.subset, nats, size, counted, excluded)


def _windows(tokens: Sequence[int], definition: Definition) -> Iterator[Window]:
    if definition.follows_guide:
        return guide_windows(tokens, definition.max_length, definition.stride)
    return rolling_windows(
        tokens,
        definition.prefix_token,
        definition.max_length,
        definition.context_length,
        prefix_everywhere=definition.prefix_everywhere,
    )


def _batches(windows: Sequence[Window], batch_size: Callable[[int], int]) -> Iterator[list[Window]]:
    """Group windows whose inputs have one length, in order."""
    for length, group in itertools.groupby(windows, lambda window: len(window.inputs)):
        size, alike = batch_size(length), list(group)
        for first in range(0, len(alike), size):
            yield alike[first : first + size]
