"""Runs a scoring: counts the documents, draws a sample, scores, and says how far it is."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from services.corpus.bpb.document_scoring import Progress
from services.corpus.bpb.figures import DocumentScore, Score, ScoreTotals
from services.corpus.bpb.one_at_a_time import Caller
from services.corpus.bpb.sampling import Chooser, Sample
from services.corpus.bpb.store import NoJournal, ScoreJournal
from services.corpus.shards.documents import Document
from services.errors import AssayError, CheckpointMismatch

ScoreOne = Callable[[Document, Progress, frozenset[int] | None], DocumentScore]
"""Scores a document, or only some of its spans, and calls what it is given with the tokens scored
since its last call."""


@dataclass(frozen=True)
class Running:
    """Figures so far of `model`.

    Until the documents are counted the total is 0 and the time left None. `documents_done` were
    scored or excluded, of which an earlier run finished `documents_restored`.
    """

    model: str
    overall: Score
    subsets: dict[str, Score]
    documents_total: int
    documents_done: int
    documents_restored: int
    tokens_per_second: float
    seconds_left: float | None


class Scoring:
    """Scorings one after the other: `run` blocks in a thread of its own, the rest is for others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.caller = Caller()
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
        self.caller.leave()

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
                documents_done=figures.documents,
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

        What was drawn is in the journal's `drawn` then.

        `score` reports its progress often enough to be stopped by what that raises. Documents that
        `journal` has are not scored again.

        Raises InvalidArgument when there are none, ModelUnusable when the
        model gives a likelihood that is not a finite number (no figure then counts), StorageFull
        when a checkpoint cannot be written, CheckpointMismatch when the journal is of other
        documents, CancelledError after `cancel`, and whatever reading the documents raises.
        """
        self._begin(model)
        journal = journal or NoJournal()
        chooser = Chooser(sample)
        for document in documents():
            self.caller.check()
            chooser.see(document)
        chooser.choose()
        with self._lock:
            self._documents_total = chooser.documents
            self._bytes_total = chooser.text_bytes
        try:
            scores = self._score(score, documents, chooser, journal)
        except BaseException:
            # The error that ended the scoring matters more than an error of storing finished
            # documents.
            with suppress(AssayError):
                journal.flush()
            raise
        journal.finish(chooser.drawn)
        return scores

    def _score(
        self,
        score: ScoreOne,
        every: Callable[[], Iterator[Document]],
        chooser: Chooser,
        journal: ScoreJournal,
    ) -> list[DocumentScore]:
        documents = filter(chooser.chosen, every())
        scores: list[DocumentScore] = []
        for restored in journal.finished:
            self.caller.check()
            document = next(documents, None)
            if document is None or document.id != restored.id:
                raise CheckpointMismatch(
                    f"the checkpoint holds document {restored.id} where the selection has "
                    f"{document.id if document else 'none'}; request a fresh one"
                )
            scores.append(restored)
            with self._lock:
                self._figures.add(restored)
                self._documents_restored += 1
                self._bytes_total -= restored.text_bytes
        with self._lock:
            self._began = time.monotonic()
        for document in documents:
            finished = score(document, self._progress, chooser.spans(document))
            scores.append(finished)
            with self._lock:
                self._figures.add(finished)
                self._bytes += finished.text_bytes
            journal.append(finished)
        return scores

    def _progress(self, tokens: int) -> None:
        self.caller.check()
        with self._lock:
            self._tokens += tokens
