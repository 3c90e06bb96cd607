"""AuditService: proofs of bits per byte, and audits of figures that others published."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import grpc
from assay_rpc.audit.v1alpha1 import audit_pb2, audit_pb2_grpc
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import selection_pb2

from services.corpus.api import audit_replies
from services.corpus.api.bpb import definition_of, model_of
from services.corpus.api.selections import Selections, Source
from services.corpus.audit.court import judge
from services.corpus.audit.record import Record, parse, texts_by_digest
from services.corpus.audit.tokenizer import Cut, Cutter, TokenizerCutter, open_cutter
from services.corpus.audit.verdict import Verdict
from services.corpus.bpb.jobs import require_ref
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.one_at_a_time import Caller, OneAtATime
from services.corpus.proof import file_format
from services.corpus.proof.engines.proving_model import ProvingModel, open_registered
from services.corpus.proof.file_format import Proof
from services.corpus.proof.prove import code, provable
from services.corpus.proof.verify import require_same, verify
from services.corpus.shards.documents import Document
from services.errors import InternalError, InvalidArgument, TooLarge

Context = grpc.aio.ServicerContext[Any, Any]

MOST_PROVED_BYTES = 256 << 20
"""Most bytes of a proof's text, and of its file: both are held in memory."""
_MOST_TOKENIZER_BYTES = 32 << 20
_CHUNK_BYTES = 1 << 20

T = TypeVar("T")


class AuditService(audit_pb2_grpc.AuditServiceServicer):
    """Proves figures and audits published ones. Streams are coroutines, as in CorpusService."""

    def __init__(self, selections: Selections, registry: Registry) -> None:
        self._selections, self._registry = selections, registry
        self._proofs, self._audits = OneAtATime("proof"), OneAtATime("audit")

    async def close(self) -> None:
        """End the running work, and the threads."""
        await self._proofs.close()
        await self._audits.close()

    async def ProveBPB(  # type: ignore[override]  # noqa: N802  # the contract's name
        self, request: audit_pb2.ProveBPBRequest, context: Context
    ) -> None:
        """Code a selection with a model, and send the file."""
        definition = provable(definition_of(request.definition))
        source = await self._source(request.corpus, request.selection)
        work = _Work()

        def prove() -> tuple[bytes, Proof]:
            with work.caller.waiting():
                model = self._open(request.model)
            definition.resolve(model.info)  # before documents are read
            documents = work.documents(source, MOST_PROVED_BYTES)
            lossy = request.leave_out_lossy
            parts = code(model, definition, documents, leave_out_lossy=lossy, progress=work)
            return file_format.pack(*parts)

        async with aclosing(self._proofs.follow(prove, work.caller)) as steps:
            async for made in steps:
                if made is None:
                    progress = audit_pb2.ProofProgress(tokens=work.tokens)
                    await context.write(audit_pb2.ProveBPBResponse(progress=progress))
                    continue
                data, proof = made
                for start in range(0, len(data), _CHUNK_BYTES):
                    chunk = data[start : start + _CHUNK_BYTES]
                    await context.write(audit_pb2.ProveBPBResponse(chunk=chunk))
                result = audit_replies.proof(proof)
                await context.write(audit_pb2.ProveBPBResponse(result=result))

    async def VerifyProof(  # type: ignore[override]  # noqa: N802  # the contract's name
        self, requests: AsyncIterator[audit_pb2.VerifyProofRequest], context: Context
    ) -> None:
        """Decode a proof that the caller sends, and say whether it holds."""
        asked, data = await _received(requests)
        proof = await asyncio.to_thread(file_format.parse, data)
        if proof.totals.text_bytes > MOST_PROVED_BYTES:  # which decides how long decoding takes
            raise TooLarge(
                f"the proof is of {proof.totals.text_bytes:,} bytes of text, and "
                f"{MOST_PROVED_BYTES:,} are the most"
            )
        source = None
        if asked.HasField("corpus"):
            source = await self._source(asked.corpus, asked.selection)
        work = _Work()

        def decode() -> audit_pb2.ProofVerdict:
            with work.caller.waiting():
                model = self._open(asked.model)
            elsewhere = asked.elsewhere
            require_same(proof.header, model, elsewhere=elsewhere)  # before documents are read
            expected = None
            if source is not None:
                expected = work.documents(source, MOST_PROVED_BYTES)
            found = verify(proof, model, elsewhere=elsewhere, expected=expected, progress=work)
            return audit_replies.proof_verdict(found, proof)

        async with aclosing(self._proofs.follow(decode, work.caller)) as steps:
            async for verdict in steps:
                if verdict is None:
                    progress = audit_pb2.ProofProgress(tokens=work.tokens)
                    await context.write(audit_pb2.VerifyProofResponse(progress=progress))
                else:
                    await context.write(audit_pb2.VerifyProofResponse(result=verdict))

    async def AuditBPB(  # noqa: N802  # the contract's name
        self,
        request: audit_pb2.AuditBPBRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> audit_pb2.AuditBPBResponse:
        """Audit a record of a published figure."""
        source = None
        if request.HasField("corpus"):
            source = await self._source(request.corpus, request.selection)
        work = _Work()

        def tried() -> tuple[str, Verdict]:
            record = parse(request.record)
            cutter = self._cutter(request, record)
            texts = {hashlib.sha256(text).hexdigest(): _utf8(text) for text in request.texts}
            if source is not None:
                texts |= texts_by_digest(record, work.documents(source))
            # The given cutter decides; a path in a record is never read.
            verdict = judge(record, cutter and _Stoppable(cutter, work.caller.check), texts)
            return record.name, verdict

        name, verdict = await _last(self._audits, tried, work.caller)
        return audit_replies.audit(name, verdict)

    async def _source(
        self, corpus: selection_pb2.CorpusRef, selection: selection_pb2.Selection
    ) -> Source:
        if selection.HasField("sample"):
            raise InvalidArgument("selection.sample", "is for scoring; leave it out")
        return await self._selections.source(corpus, selection)

    def _open(self, ref: common_pb2.ModelRef) -> ProvingModel:
        """Open a registered model for proving. Raises what `open_registered` raises."""
        wanted = model_of("model", ref)
        require_ref(wanted, self._registry.describe(wanted.name))
        return open_registered(self._registry, wanted.name)

    def _cutter(self, request: audit_pb2.AuditBPBRequest, record: Record) -> Cutter | None:
        which = request.WhichOneof("tokenizer")
        if which == "tokenizer_json":
            if len(request.tokenizer_json) > _MOST_TOKENIZER_BYTES:
                raise TooLarge(
                    f"the tokenizer has {len(request.tokenizer_json):,} bytes, and "
                    f"{_MOST_TOKENIZER_BYTES:,} are the most"
                )
            return TokenizerCutter(request.tokenizer_json, "tokenizer_json")
        if which == "model":
            wanted = model_of("model", request.model)
            require_ref(wanted, self._registry.describe(wanted.name))
            with self._registry.reading(wanted.name):
                file = self._registry.directory(wanted.name) / "tokenizer.json"
                return open_cutter(str(file) if file.exists() else "bytes")
        if record.tokenizer not in {"", "bytes"}:
            raise InvalidArgument(
                "tokenizer",
                f"the record names the file {record.tokenizer}, which is not read here; send its "
                "contents as tokenizer_json, or name a registered model",
            )
        return open_cutter(record.tokenizer)


class _Work:
    """Follows and ends blocking work: the tokens done, and whether the caller still waits."""

    def __init__(self) -> None:
        self.caller = Caller()
        self.tokens = 0

    def __call__(self, tokens: int) -> None:
        """Count tokens. Raises CancelledError."""
        self.caller.check()
        self.tokens += tokens

    def documents(self, source: Source, most_bytes: int | None = None) -> Iterator[Document]:
        """Read a selection. Raises TooLarge above the limit of text, and CancelledError."""
        size = 0
        for document in source.documents():
            self.caller.check()
            size += len(document.text)
            if most_bytes is not None and size > most_bytes:
                raise TooLarge(
                    f"the selection has more than {most_bytes:,} bytes of text, the most that one "
                    "proof is of; prove it in parts, with limits or by subset"
                )
            yield document


class _Stoppable:
    """A tokenizer that ends the work when the caller has left."""

    def __init__(self, cutter: Cutter, check: Callable[[], None]) -> None:
        self._cutter, self._check = cutter, check

    @property
    def specials(self) -> Sequence[str]:
        """Spellings of its special tokens."""
        return self._cutter.specials

    @property
    def folds_case(self) -> bool:
        """Whether it reads every text in lower case."""
        return self._cutter.folds_case

    def cut(self, texts: Sequence[str]) -> list[Cut]:
        """Cut texts. Raises CancelledError."""
        self._check()
        return self._cutter.cut(texts)


async def _last(runner: OneAtATime, work: Callable[[], T], caller: Caller) -> T:
    """Return the result of work in a thread."""
    async with aclosing(runner.follow(work, caller)) as steps:
        async for result in steps:
            if result is not None:
                return result
    raise InternalError("the work ended without a result")


async def _received(
    requests: AsyncIterator[audit_pb2.VerifyProofRequest],
) -> tuple[audit_pb2.ProofToVerify, bytes]:
    """Read a stream of requests: the options of the verification, and the file."""
    asked: audit_pb2.ProofToVerify | None = None
    data = bytearray()
    async for request in requests:
        which = request.WhichOneof("part")
        if asked is None:
            if which != "proof":
                raise InvalidArgument("proof", "is missing: the first message must have it")
            asked = request.proof
        elif which == "proof":
            raise InvalidArgument("proof", "is given twice; messages after the first are the file")
        else:
            data += request.chunk
            if len(data) > MOST_PROVED_BYTES:
                raise TooLarge(f"the file has more than {MOST_PROVED_BYTES:,} bytes")
    if asked is None:
        raise InvalidArgument("proof", "is missing: no message was sent")
    return asked, bytes(data)


def _utf8(text: bytes) -> bytes:
    try:
        text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise InvalidArgument(
            "texts", f"one is not UTF-8: {error.reason} at byte {error.start}"
        ) from None
    return text
