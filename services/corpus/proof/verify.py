"""Decodes a proof and says whether it holds."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.corpus.proof.batches import code_batch
from services.corpus.proof.engines.proving_model import ProvingModel
from services.corpus.proof.file_format import Header, Proof, Record
from services.corpus.proof.frequencies import largest_excess_bits
from services.corpus.proof.prove import MOST_ROWS, lossless_tokens, provable
from services.corpus.proof.rows import DecodedRow
from services.corpus.shards.documents import Document
from services.errors import DigestMismatch, EngineUnavailable, InvalidArgument

# A tokenizer that writes a character byte by byte may write a space with three.
_MOST_TOKENS_A_BYTE = 4


@dataclass(frozen=True)
class Failure:
    """A document for which a proof does not hold, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Verified:
    """The result of decoding: the number of documents, and the failed ones, sorted by id."""

    documents: int
    failures: tuple[Failure, ...]

    @property
    def holds(self) -> bool:
        """Whether there are documents, and each decoded to its bytes within its length."""
        return self.documents > 0 and not self.failures


def require_same(header: Header, model: ProvingModel, *, elsewhere: bool = False) -> None:
    """Refuse a proof that this model, here, cannot decode.

    `elsewhere` passes over another machine, engine or version: the decoding then says by itself
    whether they give the same bits.

    Raises DigestMismatch for another model and EngineUnavailable for another place, with everything
    that differs.
    """
    problems = [
        f"{what} {theirs} (here {ours})"
        for what, theirs, ours in (
            ("model", header.model_digest, model.info.digest),
            ("tokenizer", header.tokenizer, model.tokenizer),
            ("vocabulary", header.vocabulary, model.info.vocabulary),
        )
        if theirs != ours
    ]
    if problems:
        raise DigestMismatch(
            f"the proof was made with another model: {'; '.join(problems)}; give the folder of "
            f"{header.model} that it was made with"
        )
    if not elsewhere and (differences := header.pins.differences(model.pins)):
        raise EngineUnavailable(
            "a proof is decoded on what it was made on, because another may round otherwise: it "
            f"has {'; '.join(differences)}; decode it there, or try it here all the same"
        )


def verify(
    proof: Proof,
    model: ProvingModel,
    *,
    elsewhere: bool = False,
    expected: Iterable[Document] | None = None,
    decoded: Callable[[Record, bytes], None] = lambda _record, _text: None,
    progress: Callable[[int], None] = lambda _: None,
) -> Verified:
    """Decode every document and compare it with its digest, its nats and the length of its code.

    `expected` are the documents that the proof must be of, all of them. It may leave out those that
    it lists and that the tokenizer really cannot reproduce; without `expected`, a document that
    is left out is claimed to be lossy and not checked. `decoded` gets every document's text.

    Raises what `require_same` raises, and InvalidArgument for a definition that has
    no proof.
    """
    header = proof.header
    require_same(header, model, elsewhere=elsewhere)
    if provable(header.definition).resolve(model.info) != header.definition:
        raise InvalidArgument("proof", "has a definition that is not spelled out for its model")
    if not 1 <= header.rows <= MOST_ROWS:
        raise InvalidArgument("proof", f"says that {header.rows} documents were coded in step")
    for record in proof.records:
        # The proof decides how long decoding takes, and may come from an untrusted sender.
        if record.tokens > _MOST_TOKENS_A_BYTE * record.text_bytes + _MOST_TOKENS_A_BYTE:
            raise InvalidArgument(
                "proof",
                f"says that document {record.id} has {record.tokens:,} tokens and "
                f"{record.text_bytes:,} bytes",
            )
    failures = list(_listed_twice(proof))
    if expected is not None:
        failures += _against(proof, model, expected)
    for start in range(0, len(proof.records), header.rows):
        batch = proof.records[start : start + header.rows]
        failures += _decode(header, model, batch, decoded, progress)
    failures.sort(key=lambda one: (one.id, one.reason))
    return Verified(len(proof.records), tuple(failures))


def _listed_twice(proof: Proof) -> Iterator[Failure]:
    proved = Counter(record.id for record in proof.records)
    left_out = Counter(proof.header.left_out)
    for name, count in proved.items():
        if count > 1:
            yield Failure(name, f"is in the proof {count:,} times")
        if name in left_out:
            yield Failure(name, "is in the proof, which lists it as left out too")
    for name, count in left_out.items():
        if count > 1:
            yield Failure(name, f"is listed as left out {count:,} times")


def _against(proof: Proof, model: ProvingModel, expected: Iterable[Document]) -> Iterator[Failure]:
    """Compare a proof with the documents that it must be of; their texts are not kept."""
    proved = {record.id: record.sha256 for record in proof.records}
    left_out = set(proof.header.left_out)
    names: set[str] = set()
    for document in expected:
        name = document.id
        names.add(name)
        if name in proved and proved[name] != hashlib.sha256(document.text).digest():
            yield Failure(name, "is another text than the document of that id")
        if name in left_out:
            if lossless_tokens(model, document.text) is not None:
                yield Failure(name, "is left out as lossy, and the tokenizer reproduces its text")
        elif name not in proved:
            yield Failure(name, "is not in the proof, which does not list it as left out either")
    for name in proved.keys() - names:
        yield Failure(name, "is not among the documents that the proof should be of")
    for name in left_out - names:
        yield Failure(name, "is listed as left out, and not among the documents of the selection")


def _decode(
    header: Header,
    model: ProvingModel,
    batch: Sequence[Record],
    decoded: Callable[[Record, bytes], None],
    progress: Callable[[int], None],
) -> Iterator[Failure]:
    rows = [DecodedRow(record.code, record.tokens) for record in batch]
    code_batch(model.stepper, header.definition, rows, progress)
    for record, row in zip(batch, rows, strict=True):
        text = _text(model, row.tokens)
        if text is None or hashlib.sha256(text).digest() != record.sha256:
            yield Failure(record.id, "decodes to another text than the one that was coded")
            continue
        decoded(record, text)
        nats = math.fsum(row.nats)
        bound = nats / math.log(2) + largest_excess_bits(record.tokens, header.vocabulary)
        if len(text) != record.text_bytes:
            yield Failure(
                record.id, f"has {len(text)} bytes, and the proof says {record.text_bytes}"
            )
        elif nats != record.nats:
            yield Failure(record.id, f"takes {nats} nats, and the proof says {record.nats}")
        elif record.bits > bound:
            yield Failure(record.id, f"takes {record.bits} bits, and {bound:.2f} are the most")


def _text(model: ProvingModel, tokens: Sequence[int]) -> bytes | None:
    try:
        return model.decode(tokens).encode("utf-8", "surrogatepass")
    except (UnicodeDecodeError, ValueError, OverflowError):
        return None
