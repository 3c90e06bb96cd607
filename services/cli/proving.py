"""Writes and verifies proofs of bits per byte for the command line.

Separate from the command, which is loaded with every other one: this loads numerical libraries.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from assay_rpc.corpus.v1 import corpus_pb2_grpc, stream_pb2

from services.cli.arguments import output_file, selection
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import existing_folder, names_a_folder
from services.cli.exits import Exit
from services.cli.output.console import OUT, note, print_json
from services.cli.output.progress import working
from services.cli.shards import corpus_ref, shards_inventory
from services.common.counts import plural
from services.corpus.bpb.definition import Definition, Prefix, Preset
from services.corpus.bpb.models.registry import REFERENCE
from services.corpus.proof import file_format
from services.corpus.proof.engines.proving_model import ProvingModel, open_model
from services.corpus.proof.file_format import Proof, Record
from services.corpus.proof.prove import provable, prove
from services.corpus.proof.verify import require_same, verify
from services.corpus.shards.documents import Document
from services.errors import InvalidArgument, SourceChanged

TIMEOUT_SECONDS = 24 * 3600.0
_SHOWN = 10
_MOST_IN_JSON = 1000


def check_options(arguments: argparse.Namespace) -> None:
    """Refuses options that rule out a proof, before hours of scoring."""
    if arguments.against:
        raise InvalidArgument("--prove", "is for one model; leave --against out")
    if arguments.sample or arguments.sample_documents:
        raise InvalidArgument("--prove", "is for a whole selection; leave --sample out")
    if arguments.engine or arguments.precision != "fp32":
        raise InvalidArgument(
            "--prove", "chooses its own engine, in fp32; leave --engine and --precision out"
        )
    provable(_definition(arguments))
    _folder(arguments.model)
    output_file("--prove", arguments.prove)


async def write(arguments: argparse.Namespace, digest: str) -> None:
    """Writes the proof of a selection and describes it.

    `digest` is that of the scored model. Raises SourceChanged if the folder has another by now.
    """
    model = await asyncio.to_thread(_open, arguments.model)
    if model.info.digest != digest:
        raise SourceChanged(
            f"the model {model.info.name} was scored as {digest}, and its folder has "
            f"{model.info.digest} now, so the proof would be of another figure and is not written; "
            "score it again when its files are whole"
        )
    documents = await _documents(arguments)
    path = output_file("--prove", arguments.prove)
    with working("proving: scoring each document and coding it") as status:
        count = _Count(status)
        proof = await asyncio.to_thread(
            prove,
            model,
            _definition(arguments),
            documents,
            path,
            leave_out_lossy=arguments.leave_out_lossy,
            progress=count,
        )
    show = note if arguments.json else lambda text: OUT.print(text, markup=False, soft_wrap=True)
    show(f"proof written to {path}\n{_summary(proof)}")


async def run_verify(arguments: argparse.Namespace) -> Exit:
    """Verifies a proof."""
    proof = file_format.read(Path(arguments.proof))
    model = await asyncio.to_thread(_open, arguments.model)
    require_same(proof.header, model, elsewhere=arguments.elsewhere)  # before documents are read
    expected = None
    if arguments.shards or arguments.corpus:
        expected = await _documents(arguments)
    with ExitStack() as stack:
        status = stack.enter_context(working("decoding the documents"))
        out = None
        if arguments.texts:
            out = stack.enter_context(output_file("--texts", arguments.texts).open("wb"))
        found = await asyncio.to_thread(
            verify,
            proof,
            model,
            elsewhere=arguments.elsewhere,
            expected=expected,
            decoded=lambda record, text: _write_text(out, record, text),
            progress=_Count(status),
        )
    if arguments.json:
        failures = [{"id": one.id, "reason": one.reason} for one in found.failures[:_MOST_IN_JSON]]
        print_json(
            {
                "holds": found.holds,
                "selection_checked": expected is not None,
                "failures": failures,
                "failures_total": len(found.failures),
                **_facts(proof),
            }
        )
    else:
        for one in found.failures[:_SHOWN]:
            OUT.print(f"{one.id}: {one.reason}", markup=False, soft_wrap=True)
        if len(found.failures) > _SHOWN:
            OUT.print(f"and {len(found.failures) - _SHOWN:,} more")
        against = "" if expected is None else ", and they are those of the selection"
        refused = "" if found.documents else ": it proves no document"
        OUT.print(
            f"the proof holds: every document decodes to its bytes{against}"
            if found.holds
            else f"the proof does NOT hold{refused}",
            markup=False,
        )
        OUT.print(_summary(proof), markup=False, soft_wrap=True)
        if expected is None and proof.header.left_out:
            OUT.print(
                "the documents left out are claimed to be lossy, which is not checked without "
                "the selection: give --shards or --corpus",
                markup=False,
                soft_wrap=True,
            )
    return Exit.DONE if found.holds else Exit.BAD_INPUT


def _open(given: str | None) -> ProvingModel:
    folder = _folder(given)
    return open_model(REFERENCE) if folder is None else open_model(folder.name, folder)


def _folder(given: str | None) -> Path | None:
    """Find a model's folder; None for the reference model. Raises InvalidArgument for a name."""
    if given is None or given == REFERENCE:
        return None
    if not names_a_folder(given):
        raise InvalidArgument("--model", f"{given} is not a folder, and a proof needs the model's")
    return existing_folder("--model", given)


def _definition(arguments: argparse.Namespace) -> Definition:
    prefix, token = Prefix.PRESET, None
    if isinstance(arguments.prefix, int):
        prefix, token = Prefix.GIVEN, arguments.prefix
    elif arguments.prefix:
        prefix = Prefix(arguments.prefix)
    return Definition(
        max_length=arguments.max_length,
        special_tokens=arguments.special_tokens,
        preset=Preset(arguments.definition or Preset.LM_EVAL.value),
        context_length=arguments.context_length,
        stride=arguments.stride,
        prefix=prefix,
        prefix_token=token,
        prefix_everywhere=arguments.prefix_everywhere,
    )


async def _documents(arguments: argparse.Namespace) -> list[Document]:
    """Reads the selection from the service."""
    request = stream_pb2.StreamCorpusRequest(selection=selection(arguments))
    found: list[Document] = []
    begun = bytearray()
    async with Connection(shards_inventory(arguments)) as connection:
        request.corpus.CopyFrom(await corpus_ref(connection, arguments))
        stub = corpus_pb2_grpc.CorpusServiceStub(await connection.channel("corpus"))
        async for chunk in stub.StreamCorpus(request, timeout=TIMEOUT_SECONDS):
            for one in chunk.documents.documents:
                begun += one.text
                if not one.continues:
                    found.append(
                        Document(one.id, one.subset, bytes(begun), b"", one.shard, one.line)
                    )
                    begun = bytearray()
    return found


def _write_text(out: BinaryIO | None, record: Record, text: bytes) -> None:
    if out is not None:
        line = {"id": record.id, "text": text.decode("utf-8", "surrogatepass")}
        out.write(json.dumps(line).encode() + b"\n")


class _Count:
    """Shows how many tokens are done."""

    def __init__(self, status: Any) -> None:
        self._status = status
        self._tokens = 0

    def __call__(self, tokens: int) -> None:
        before = self._tokens // 10_000
        self._tokens += tokens
        if self._tokens // 10_000 > before:
            self._status.update(f"{self._tokens:,} tokens")


def _facts(proof: Proof) -> Mapping[str, Any]:
    totals = proof.totals
    return {
        "model": proof.header.model,
        "model_digest": proof.header.model_digest,
        "documents": totals.documents,
        "left_out": list(proof.header.left_out),
        "bytes": totals.text_bytes,
        "tokens": totals.tokens,
        "nats": totals.nats,
        "code_bits": totals.bits,
        "file_bytes": proof.size,
        "bits_per_byte": _ratio(totals.nats / math.log(2), totals.text_bytes),
        "code_bits_per_byte": _ratio(totals.bits, totals.text_bytes),
        "file_bits_per_byte": _ratio(8 * proof.size, totals.text_bytes),
        "proof": proof.digest,
    }


def _ratio(bits: float, size: int) -> float | None:
    return bits / size if size else None


def _summary(proof: Proof) -> str:
    facts = _facts(proof)
    left_out = f", {len(facts['left_out']):,} left out as lossy" if facts["left_out"] else ""
    lines = [f"{plural(facts['documents'], 'document')} of {facts['bytes']:,} bytes{left_out}"]
    if facts["bytes"]:
        lines.append(
            f"{facts['bits_per_byte']:.6f} bits per byte by the model, "
            f"{facts['code_bits_per_byte']:.6f} in its codes, "
            f"{facts['file_bits_per_byte']:.6f} in the file with header and records"
        )
    return "\n".join([*lines, f"proof sha256:{facts['proof']}"])
