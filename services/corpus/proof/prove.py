"""Codes documents with a model into a proof of its bits per byte."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from services.corpus.bpb.definition import Definition, Prefix, Preset
from services.corpus.proof import file_format
from services.corpus.proof.batches import code_batch
from services.corpus.proof.engines.proving_model import ProvingModel
from services.corpus.proof.file_format import Header, Proof, Record
from services.corpus.proof.rows import EncodedRow
from services.corpus.shards.documents import Document
from services.errors import InvalidArgument, ModelUnusable

ROWS = 32
MOST_ROWS = 1024
# Batches are of documents of like length, sorted among this many batches' documents at a time.
_POOL_BATCHES = 64
_NAMED = 5


@dataclass(frozen=True)
class _Tokenized:
    document: Document
    tokens: list[int]


def prove(
    model: ProvingModel,
    definition: Definition,
    documents: Iterable[Document],
    path: Path,
    *,
    rows: int = ROWS,
    leave_out_lossy: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Proof:
    """Write the proof of a model's bits per byte over documents.

    Takes what `code` takes, and raises what it raises, and OSError.
    """
    header, records = code(
        model,
        definition,
        documents,
        rows=rows,
        leave_out_lossy=leave_out_lossy,
        progress=progress,
    )
    return file_format.write(path, header, records)


def code(
    model: ProvingModel,
    definition: Definition,
    documents: Iterable[Document],
    *,
    rows: int = ROWS,
    leave_out_lossy: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[Header, list[Record]]:
    """Code documents with a model: what a proof of its bits per byte holds.

    `rows` documents are coded in step. Documents that the tokenizer does not reproduce cannot be
    decoded to their bytes: they are refused, or else left out and listed. `progress` is called with
    the tokens coded since its last call.

    Raises InvalidArgument for a definition whose figure no code has, and where there are no
    documents; ModelUnusable for lossy documents; InternalError for a distribution that is
    none.
    """
    resolved = provable(definition).resolve(model.info)
    if not 1 <= rows <= MOST_ROWS:
        raise InvalidArgument("rows", f"is {rows}; 1 to {MOST_ROWS} documents are coded in step")
    kept, lossy = _tokenize(model, documents)
    if lossy and not leave_out_lossy:
        named = ", ".join(lossy[:_NAMED]) + (", ..." if len(lossy) > _NAMED else "")
        raise ModelUnusable(
            f"the tokenizer of {model.info.name} cannot reproduce {len(lossy):,} of "
            f"{len(lossy) + len(kept):,} documents ({named}), or produces tokens that the model "
            "does not have, so no code decodes to their bytes; leave them out (the proof lists "
            "them), or use a model with a lossless tokenizer"
        )
    if not kept:
        raise InvalidArgument(
            "selection", f"no document in it can be proved ({len(lossy):,} are lossy)"
        )
    records = [
        record
        for batch in _batches(kept, rows)
        for record in _encode(model, resolved, batch, progress)
    ]
    header = Header(
        model=model.info.name,
        model_digest=model.info.digest,
        tokenizer=model.tokenizer,
        vocabulary=model.info.vocabulary,
        definition=resolved,
        pins=model.pins,
        rows=rows,
        left_out=tuple(lossy),
    )
    return header, records


def provable(definition: Definition) -> Definition:
    """Return a definition that scores every token once, by a distribution over tokens.

    Raises InvalidArgument for one that does not.
    """
    if definition.preset not in {Preset.LM_EVAL, Preset.PILE_PAPER}:
        raise InvalidArgument(
            "definition.preset",
            f"{definition.preset.value} leaves tokens unscored or has windows of another kind, so "
            "no proof has its figure; choose lm_eval or pile_paper",
        )
    if definition.special_tokens:
        raise InvalidArgument(
            "definition.special_tokens",
            "scores tokens that are no part of the text; leave it out for a proof",
        )
    if definition.prefix_everywhere:
        raise InvalidArgument(
            "definition.prefix_everywhere", "is in no proof's format; leave it out for a proof"
        )
    if definition.prefix is Prefix.NONE:
        raise InvalidArgument(
            "definition.prefix",
            "none leaves a document's first token unscored, and what is not scored cannot be "
            "decoded; choose a prefix token",
        )
    return definition


def _tokenize(
    model: ProvingModel, documents: Iterable[Document]
) -> tuple[list[_Tokenized], list[str]]:
    kept, lossy = [], []
    for document in documents:
        tokens = lossless_tokens(model, document.text)
        if tokens is None:
            lossy.append(document.id)
        else:
            kept.append(_Tokenized(document, tokens))
    return kept, lossy


def lossless_tokens(model: ProvingModel, data: bytes) -> list[int] | None:
    """Return the tokens of a text, None if they do not decode to it.

    Nor do those that the model does not have: it gives them no probability.
    """
    text = data.decode("utf-8", "surrogatepass")
    tokens = model.encode(text)
    known = max(tokens, default=0) < model.vocabulary
    return tokens if known and model.decode(tokens) == text else None


def _batches(items: Sequence[_Tokenized], rows: int) -> Iterator[list[_Tokenized]]:
    every = iter(items)
    while pool := list(islice(every, _POOL_BATCHES * rows)):
        pool.sort(key=lambda item: len(item.tokens))
        for start in range(0, len(pool), rows):
            yield pool[start : start + rows]


def _encode(
    model: ProvingModel,
    definition: Definition,
    batch: Sequence[_Tokenized],
    progress: Callable[[int], None],
) -> Iterator[Record]:
    coding = [EncodedRow(item.tokens) for item in batch]
    code_batch(model.stepper, definition, coding, progress)
    for item, row in zip(batch, coding, strict=True):
        code, bits = row.finish()
        yield Record(
            id=item.document.id,
            subset=item.document.subset,
            sha256=hashlib.sha256(item.document.text).digest(),
            text_bytes=len(item.document.text),
            tokens=len(item.tokens),
            nats=math.fsum(row.nats),
            bits=bits,
            code=code,
        )
