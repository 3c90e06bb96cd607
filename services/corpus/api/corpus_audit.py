"""CorpusAuditService: the contents of corpora, and the test sets that they repeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from assay_rpc.audit.v1alpha1 import corpus_audit_pb2, corpus_audit_pb2_grpc
from assay_rpc.corpus.v1 import scoring_pb2

from services.corpus.api import corpus_audit_replies as replies
from services.corpus.api.bpb import BpbScorer
from services.corpus.api.selections import Selections
from services.corpus.bpb.one_at_a_time import Caller, OneAtATime
from services.corpus.catalog.corpus import Corpus
from services.corpus.contamination.hit import MOST_WORDS, N
from services.corpus.inspection.findings import Inspection
from services.corpus.stream.selection import Selection
from services.errors import DeadlineExceeded, InternalError, InvalidArgument, Overloaded, TooLarge

Context = grpc.aio.ServicerContext[Any, Any]

MOST_TEST_BYTES = 256 << 20
"""Most bytes of test sets in one call, if there is memory for them."""
_MOST_SETS = 1_000
_MOST_NAME_BYTES = 200
_SILENCE_SECONDS = 300
# Memory of a text in addition to its bytes.
_TEXT_BYTES = 64

Sets = dict[str, list[bytes]]


class CorpusAuditService(corpus_audit_pb2_grpc.CorpusAuditServiceServicer):
    """Audits one corpus at a time. Streams are coroutines, as CorpusService's are."""

    def __init__(
        self, selections: Selections, scorer: BpbScorer, most_test_bytes: int = MOST_TEST_BYTES
    ) -> None:
        """Make the service. An audit's test sets take up to twenty times `most_test_bytes`."""
        self._selections, self._scorer = selections, scorer
        self._most_test_bytes = min(most_test_bytes, MOST_TEST_BYTES)
        self._runner = OneAtATime("corpus audit")
        self._taken = False

    async def close(self) -> None:
        """End the running audit, and the thread."""
        await self._runner.close()

    async def AuditCorpus(  # type: ignore[override]  # noqa: N802  # the contract's name
        self,
        requests: AsyncIterator[corpus_audit_pb2.AuditCorpusRequest],
        context: Context,
    ) -> None:
        """Audit the documents of a selection."""
        # Taken before the texts are read, so that only one caller's texts are held at a time.
        if self._taken:
            raise Overloaded("another corpus audit is running, and they run one at a time", 5.0)
        self._taken = True
        try:
            await self._audited(requests, context)
        finally:
            self._taken = False

    async def _audited(
        self, requests: AsyncIterator[corpus_audit_pb2.AuditCorpusRequest], context: Context
    ) -> None:
        asked, sets = await _received(requests, self._most_test_bytes)
        _require_sound(asked)
        corpus = self._selections.open(asked.corpus, asked.selection)
        selection = await self._selections.resolve(corpus, asked.selection)
        if asked.HasField("model"):  # before documents are read, not after
            await asyncio.to_thread(self._scorer.check, asked.model, asked.definition)
        found, result = await self._inspected(corpus, selection, asked, sets, context)
        if asked.HasField("model"):
            result.score.CopyFrom(await self._scored(asked, found, context))
        await context.write(corpus_audit_pb2.AuditCorpusResponse(result=result))

    async def _inspected(
        self,
        corpus: Corpus,
        selection: Selection,
        asked: corpus_audit_pb2.CorpusToAudit,
        sets: Sets,
        context: Context,
    ) -> tuple[frozenset[str], corpus_audit_pb2.CorpusAudit]:
        """Read the documents; return the ids of contaminated ones, and the reply."""
        # Imported here: numba takes a moment to load, and only audits need it.
        from services.corpus.inspection.inspect import Wanted, Watch, inspect  # noqa: PLC0415

        wanted = Wanted(sets, asked.ngram_words or N, asked.near_duplicates, asked.languages)
        wanted.require_libraries()
        caller = Caller()
        watch = Watch(caller.check)
        splits = {shard.path: shard.split for shard in corpus.shards_of(selection)}

        def work() -> Inspection:
            return inspect(corpus.documents(selection), splits, wanted, watch)

        async with aclosing(self._runner.follow(work, caller)) as steps:
            async for inspection in steps:
                if inspection is not None:
                    contamination = inspection.contamination
                    ids = frozenset[str]() if contamination is None else contamination.documents
                    return ids, await asyncio.to_thread(replies.audit, corpus, inspection)
                await _tell(context, replies.READING, watch.documents, watch.text_bytes, watch.hits)
        raise InternalError("the audit ended without a result")

    async def _scored(
        self,
        asked: corpus_audit_pb2.CorpusToAudit,
        contaminated: frozenset[str],
        context: Context,
    ) -> corpus_audit_pb2.ScoredWithout:
        """Score the documents; return the figures with and without contaminated ones."""
        request = scoring_pb2.ScoreBPBRequest(
            corpus=asked.corpus,
            selection=asked.selection,
            model=asked.model,
            definition=asked.definition,
            per_document=True,
        )
        source = await self._selections.source(asked.corpus, asked.selection)
        figures = replies.Figures(contaminated)
        async with aclosing(self._scorer.score(request, source)) as updates:
            async for update in updates:
                if update.HasField("document"):
                    figures.add(update.document)
                elif update.HasField("result"):
                    return figures.message(update.result)
                else:
                    done = update.progress.overall
                    await _tell(context, replies.SCORING, done.documents, done.text_bytes)
        raise InternalError("the scoring ended without a result")


async def _received(
    requests: AsyncIterator[corpus_audit_pb2.AuditCorpusRequest],
    most_bytes: int,
) -> tuple[corpus_audit_pb2.CorpusToAudit, Sets]:
    asked: corpus_audit_pb2.CorpusToAudit | None = None
    sets: Sets = {}
    size = 0
    while True:
        try:
            async with asyncio.timeout(_SILENCE_SECONDS):
                request = await anext(requests, None)
        except TimeoutError:
            raise DeadlineExceeded(
                f"no text came for {_SILENCE_SECONDS} seconds; send them without a pause"
            ) from None
        if request is None:
            break
        which = request.WhichOneof("part")
        if asked is None:
            if which != "audit":
                raise InvalidArgument("audit", "is missing: the first message must have it")
            asked = request.audit
            continue
        if which != "texts":
            raise InvalidArgument("audit", "is given twice; messages after the first are texts")
        name = request.texts.test_set
        if not 0 < len(name.encode()) <= _MOST_NAME_BYTES:
            raise InvalidArgument(
                "texts.test_set", f"has 1 to {_MOST_NAME_BYTES} bytes, not {len(name.encode())}"
            )
        texts = sets.setdefault(name, [])
        if len(sets) > _MOST_SETS:
            raise TooLarge(f"more than {_MOST_SETS:,} test sets; send fewer at a time")
        texts.extend(request.texts.texts)
        size += sum(len(text) + _TEXT_BYTES for text in request.texts.texts)
        if size > most_bytes:
            raise TooLarge(
                f"the test sets have more than {most_bytes:,} bytes, the most that "
                f"this server has memory for; send fewer at a time"
            )
    if asked is None:
        raise InvalidArgument("audit", "is missing: no message was sent")
    return asked, sets


def _require_sound(asked: corpus_audit_pb2.CorpusToAudit) -> None:
    """Raise InvalidArgument for a wrong n, or unless all documents are whole and come once."""
    if asked.ngram_words > MOST_WORDS:
        problem = f"is {asked.ngram_words:,}; an n-gram has 1 to {MOST_WORDS:,} words"
        raise InvalidArgument("ngram_words", problem)
    selection = asked.selection
    repeating = {
        "sample": selection.HasField("sample"),
        "epochs": selection.epochs > 1,
        "mixture": selection.HasField("mixture"),
        "corpora": len(selection.corpora) > 0,
    }
    for name, repeats in repeating.items():
        if repeats:
            problem = "an audit is of the whole documents of one corpus, each once; leave it out"
            raise InvalidArgument(f"selection.{name}", problem)


async def _tell(
    context: Context, stage: Any, documents: int, text_bytes: int, hits: int = 0
) -> None:
    progress = corpus_audit_pb2.CorpusAuditProgress(
        stage=stage, documents=documents, text_bytes=text_bytes, hits=hits
    )
    await context.write(corpus_audit_pb2.AuditCorpusResponse(progress=progress))
