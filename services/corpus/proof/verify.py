"""Decodes a proof and says whether it holds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.corpus.proof.batches import code_batch
from services.corpus.proof.engines.proving_model import ProvingModel
from services.corpus.proof.file_format import Header, Proof, Record
from services.corpus.proof.frequencies import largest_excess_bits
from services.corpus.proof.prove import MOST_ROWS, provable
from services.corpus.proof.rows import DecodedRow
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
    """What came of decoding: `texts` decoded, and the documents that failed."""

    documents: int
    failures: tuple[Failure, ...]

    @property
    def holds(self) -> bool:
        """Whether every document decoded to its bytes within its length."""
        return not self.failures


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
            f"the proof is of another model: {'; '.join(problems)}; give the folder of "
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
    expected: Mapping[str, bytes] | None = None,
    decoded: Callable[[Record, bytes], None] = lambda _record, _text: None,
    progress: Callable[[int], None] = lambda _: None,
) -> Verified:
    """Decode every document and compare it with its digest, its nats and the length of its code.

    `expected` are the SHA-256 of the documents that the proof must be of, all of them, by id; those
    that it says it left out may be missing. `decoded` gets every document's text.

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
        # Decoding takes as long as it says, and a proof may come from anybody.
        if record.tokens > _MOST_TOKENS_A_BYTE * record.text_bytes + _MOST_TOKENS_A_BYTE:
            raise InvalidArgument(
                "proof",
                f"says that document {record.id} has {record.tokens:,} tokens and "
                f"{record.text_bytes:,} bytes",
            )
    failures = list(_against(proof, expected)) if expected is not None else []
    for start in range(0, len(proof.records), header.rows):
        batch = proof.records[start : start + header.rows]
        failures += _decode(header, model, batch, decoded, progress)
    return Verified(len(proof.records), tuple(failures))


def _against(proof: Proof, expected: Mapping[str, bytes]) -> Iterator[Failure]:
    seen: set[str] = set()
    for record in proof.records:
        if record.id not in expected:
            yield Failure(record.id, "is not among the documents that the proof should be of")
        elif expected[record.id] != record.sha256:
            yield Failure(record.id, "is another text than the document of that id")
        elif record.id in seen:
            yield Failure(record.id, "is in the proof twice")
        seen.add(record.id)
    for name in expected.keys() - seen - set(proof.header.left_out):
        yield Failure(name, "is not in the proof, which does not list it as left out either")


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
