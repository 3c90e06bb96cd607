"""Proofs of real models: made here, decoded here and in another process."""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.corpus.bpb.definition import Definition, Prefix, Preset
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models.registry import Registry
from services.corpus.proof import file_format
from services.corpus.proof.engines.proving_model import ProvingModel, open_model
from services.corpus.proof.file_format import FIXED_BYTES, RECORD_BYTES, Proof
from services.corpus.proof.frequencies import largest_excess_bits
from services.corpus.proof.prove import prove
from services.corpus.proof.verify import verify
from services.corpus.shards.layout import find_shards
from services.corpus.stream import reader
from services.corpus.stream.selection import Selection
from services.errors import InvalidArgument, PreconditionFailed
from tests.corpus.bpb import tiny_models
from tests.corpus.bpb.fakes import document

TEXTS = [
    "",
    "a",
    "spam and eggs",
    "Grüße, 你好, \U0001f600!\r\n\ttabs",
    "lone \ud800 surrogate",
    "x" * 300,
    "def f(x):\n    return x\n" * 12,
    "Of all the things that a text may hold, this one holds words. " * 3,
]
DOCUMENTS = [
    document(text.encode("utf-8", "surrogatepass"), subset="ab"[i % 2], name=str(i))
    for i, text in enumerate(TEXTS)
]
# A Hugging Face tokenizer loses lone surrogates.
READABLE = [d for d in DOCUMENTS if d.id != "test.jsonl.zst:4"]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def reference() -> ProvingModel:
    pytest.importorskip("onnx", reason="needs the export extra")
    return open_model("byte-reference")


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.make("llama", tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def llama(llama_folder: Path) -> ProvingModel:
    return open_model("llama", llama_folder)


@pytest.fixture(scope="module")
def made(llama: ProvingModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Proof]:
    path = tmp_path_factory.mktemp("proofs") / "p"
    return path, prove(llama, Definition(), READABLE, path, rows=3)


def _sizes_add_up(proof: Proof) -> None:
    codes = -(-sum(record.bits for record in proof.records) // 8)
    ids = sum(len(record.id.encode()) + RECORD_BYTES for record in proof.records)
    header = proof.size - codes - ids - FIXED_BYTES
    assert 0 < header < 3000
    for record in proof.records:
        bound = record.nats / math.log(2) + largest_excess_bits(
            record.tokens, proof.header.vocabulary
        )
        assert record.bits <= bound < record.nats / math.log(2) + 2


@pytest.mark.slow
def test_the_byte_model_gives_every_text_back(reference: ProvingModel, tmp_path: Path) -> None:
    long = document("0123456789 abc\n" * 150, name="long")  # more than a window of 2,048
    proof = prove(reference, Definition(), [*DOCUMENTS, long], tmp_path / "p", rows=4)
    _sizes_add_up(proof)
    texts: dict[str, bytes] = {}
    again = file_format.read(tmp_path / "p")
    assert again == proof
    found = verify(again, reference, decoded=lambda record, text: texts.update({record.id: text}))
    assert found.holds
    assert texts == {d.id: d.text for d in [*DOCUMENTS, long]}


@pytest.mark.slow
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize(
    "definition",
    [Definition(), Definition(preset=Preset.PILE_PAPER), Definition(40, stride=7)],
    ids=["lm_eval", "paper", "stride"],
)
def test_families_and_windows(family: str, definition: Definition, tmp_path: Path) -> None:
    folder = tiny_models.make(family, tmp_path / family)
    model = open_model(family, folder)
    proof = prove(model, definition, READABLE, tmp_path / "p", rows=3)
    _sizes_add_up(proof)
    assert verify(file_format.read(tmp_path / "p"), model).holds
    # The figure is the one that scoring gives.
    registry = Registry({family: folder})
    whole = registry.load(family)
    resolved = definition.resolve(registry.describe(family))
    for record in proof.records:
        source = next(d for d in READABLE if d.id == record.id)
        score = score_document(whole, resolved, source)
        assert record.nats == pytest.approx(score.nats, rel=1e-5, abs=1e-4)
        assert (record.tokens, record.text_bytes) == (score.tokens, score.text_bytes)


@pytest.mark.slow
def test_the_same_documents_give_the_same_file(
    llama: ProvingModel, made: tuple[Path, Proof], tmp_path: Path
) -> None:
    prove(llama, Definition(), READABLE, tmp_path / "again", rows=3)
    assert (tmp_path / "again").read_bytes() == made[0].read_bytes()


def test_another_process_decodes_it(llama_folder: Path, made: tuple[Path, Proof]) -> None:
    done = _verify_elsewhere(llama_folder, made[0], {})
    assert done.stdout.strip() == f"True {len(READABLE)}", done.stderr


def test_other_instructions_are_refused_with_what_differs(
    llama_folder: Path, made: tuple[Path, Proof]
) -> None:
    done = _verify_elsewhere(llama_folder, made[0], {"ATEN_CPU_CAPABILITY": "default"})
    assert done.returncode
    assert "instructions" in done.stderr
    assert "ATEN_CPU_CAPABILITY=default" in done.stderr


def _verify_elsewhere(
    folder: Path, proof: Path, variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; from pathlib import Path\n"
        "from services.corpus.proof import file_format\n"
        "from services.corpus.proof.engines.proving_model import open_model\n"
        "from services.corpus.proof.verify import verify\n"
        "model = open_model('llama', Path(sys.argv[1]))\n"
        "found = verify(file_format.read(Path(sys.argv[2])), model)\n"
        "print(found.holds, found.documents)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(folder), str(proof)],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.data
def test_real_documents_come_back(data_dir: Path, tmp_path: Path) -> None:
    """A trained model's tokenizer gives back some of them; the benchmark takes all."""
    model = open_model("stories", data_dir / "lm" / "tinystories-656k")
    selection = Selection(("val",), max_documents=60, max_text_bytes=2000)
    documents = list(reader.documents(find_shards(data_dir / "pile"), selection))
    proof = prove(model, Definition(), documents, tmp_path / "p", leave_out_lossy=True)
    _sizes_add_up(proof)
    assert 0 < len(proof.records) < len(documents)
    assert verify(file_format.read(tmp_path / "p"), model, expected=documents).holds


@pytest.mark.slow
def test_lossy_documents_are_refused_or_listed(llama: ProvingModel, tmp_path: Path) -> None:
    with pytest.raises(PreconditionFailed, match=r"1 of 8 documents \(test.jsonl.zst:4\)"):
        prove(llama, Definition(), DOCUMENTS, tmp_path / "p")
    assert not (tmp_path / "p").exists()
    proof = prove(llama, Definition(), DOCUMENTS, tmp_path / "p", leave_out_lossy=True)
    assert proof.header.left_out == ("test.jsonl.zst:4",)
    assert verify(proof, llama, expected=DOCUMENTS).holds


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        (Definition(preset=Preset.HUGGINGFACE_GUIDE), "preset"),
        (Definition(special_tokens=True), "special_tokens"),
        (Definition(prefix=Prefix.NONE), "prefix"),
    ],
)
def test_a_figure_that_no_code_has_is_refused(
    llama: ProvingModel, definition: Definition, field: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        prove(llama, definition, READABLE, tmp_path / "p")
    assert caught.value.field == f"definition.{field}"


def test_no_documents_are_no_proof(llama: ProvingModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no document"):
        prove(llama, Definition(), [], tmp_path / "p")


def test_another_model_is_refused(
    made: tuple[Path, Proof], reference: ProvingModel, tmp_path: Path
) -> None:
    with pytest.raises(PreconditionFailed, match=r"another model: model sha256:.*tokenizer"):
        verify(made[1], reference)
    other = open_model("llama", tiny_models.make("llama", tmp_path / "llama", seed=1))
    with pytest.raises(PreconditionFailed, match="another model: model sha256:"):
        verify(made[1], other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"engine": "numpy-steps"}, "engine"),
        ({"threads": 7}, r"threads 7 \(here 1\)"),
        ({"precision": "bf16"}, "precision"),
        ({"processor": "another"}, "processor another"),
        ({"versions": {"torch": "1.0"}}, r"torch 1.0 \(here 2"),
    ],
)
def test_another_engine_is_refused_unless_it_is_to_be_tried(
    made: tuple[Path, Proof], llama: ProvingModel, change: dict[str, Any], named: str
) -> None:
    proof = made[1]
    pins = replace(proof.header.pins, **change)
    other = replace(proof, header=replace(proof.header, pins=pins))
    with pytest.raises(PreconditionFailed, match=named):
        verify(other, llama)
    assert verify(other, llama, elsewhere=True).holds


@pytest.mark.slow
def test_other_documents_than_expected_are_named(
    made: tuple[Path, Proof], llama: ProvingModel
) -> None:
    assert verify(made[1], llama, expected=iter(READABLE)).holds
    other = [
        replace(d, text=b"b") if d.id == "test.jsonl.zst:1" else d
        for d in READABLE
        if d.id != "test.jsonl.zst:2"
    ]
    found = verify(made[1], llama, expected=[*other, document(b"", name="more")]).failures
    failures = {f.id: f.reason for f in found}
    assert "another text" in failures["test.jsonl.zst:1"]
    assert "not among" in failures["test.jsonl.zst:2"]
    assert "not in the proof" in failures["test.jsonl.zst:more"]
    assert [f.id for f in found] == sorted(failures)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        ("test.jsonl.zst:1", "the tokenizer reproduces its text"),
        ("test.jsonl.zst:9", "not among the documents of the selection"),
    ],
)
def test_what_is_left_out_must_be_lossy_and_of_the_selection(
    llama: ProvingModel, left_out: str, reason: str, tmp_path: Path
) -> None:
    picked = [d for d in READABLE if d.id != left_out]
    proof = prove(llama, Definition(), picked, tmp_path / "p")
    forged = replace(proof, header=replace(proof.header, left_out=(left_out,)))
    (failure,) = verify(forged, llama, expected=READABLE).failures
    assert failure.id == left_out
    assert reason in failure.reason
    # Without the selection neither can be told.
    assert verify(forged, llama).holds


@pytest.mark.slow
def test_a_document_is_listed_once(made: tuple[Path, Proof], llama: ProvingModel) -> None:
    proof = made[1]
    header = replace(proof.header, left_out=("test.jsonl.zst:4",) * 2 + ("test.jsonl.zst:2",))
    records = (*proof.records, proof.records[0], proof.records[0])
    found = verify(replace(proof, header=header, records=records), llama).failures
    assert {(f.id, f.reason) for f in found} == {
        ("test.jsonl.zst:4", "is listed as left out 2 times"),
        ("test.jsonl.zst:2", "is in the proof, which lists it as left out too"),
        (proof.records[0].id, "is in the proof 3 times"),
    }


def test_a_proof_of_no_document_never_holds(
    made: tuple[Path, Proof], llama: ProvingModel, tmp_path: Path
) -> None:
    proof = made[1]
    empty = file_format.write(tmp_path / "p", proof.header, [])
    assert not verify(empty, llama).holds
    assert not verify(empty, llama, expected=[]).holds
    lossy = DOCUMENTS[4]
    header = replace(proof.header, left_out=(lossy.id,))
    found = verify(replace(empty, header=header), llama, expected=[lossy])
    assert not found.failures
    assert not found.holds


@pytest.mark.parametrize("left_out", ["abc", [["a"]], [1], None])
def test_ids_left_out_are_a_list_of_ids(
    made: tuple[Path, Proof], left_out: Any, tmp_path: Path
) -> None:
    header = replace(made[1].header, left_out=left_out)
    file_format.write(tmp_path / "p", header, made[1].records)
    with pytest.raises(InvalidArgument, match="left_out is not a list of ids"):
        file_format.read(tmp_path / "p")


# Damage. Every part of a file has a checksum, so any flipped bit is found before decoding.


def _parts(data: bytes | bytearray) -> dict[str, range]:
    head, table, codes = struct.unpack_from("<IQQ", data, 12)
    start = file_format._PREFIX.size + 4
    parts = {"magic": range(8), "version": range(8, 10), "lengths": range(12, start - 4)}
    for name, length in (("header", head), ("records", table), ("codes", codes)):
        parts[name] = range(start, start + length)
        start += length + 4
    parts["trailer"] = range(start, len(data))
    return parts


@pytest.mark.slow
def test_every_flipped_bit_of_every_part_is_found(made: tuple[Path, Proof], tmp_path: Path) -> None:
    data = made[0].read_bytes()
    found: dict[str, set[str]] = {}
    random = np.random.default_rng(0)
    for name, places in _parts(data).items():
        chosen = places if len(places) < 80 else random.choice(np.array(places), 80, replace=False)
        for place in chosen:
            for bit in range(8):
                damaged = bytearray(data)
                damaged[place] ^= 1 << bit
                (tmp_path / "p").write_bytes(damaged)
                with pytest.raises(InvalidArgument) as caught:
                    file_format.read(tmp_path / "p")
                found.setdefault(name, set()).add(caught.value.problem.split(";")[0])
    assert found["magic"] == {"is not a proof of bits per byte: it does not begin as one"}
    for name in ("header", "records", "codes"):
        assert found[name] == {f"is damaged: the checksum of its {name} differs"}
    assert all(problems for problems in found.values())


def test_cut_short_anywhere_or_too_long(made: tuple[Path, Proof], tmp_path: Path) -> None:
    data = made[0].read_bytes()
    for length in {0, 5, 9, 60, len(data) // 2, len(data) - 1}:
        (tmp_path / "p").write_bytes(data[:length])
        with pytest.raises(InvalidArgument, match=r"cut short|does not begin"):
            file_format.read(tmp_path / "p")
    (tmp_path / "p").write_bytes(data + b"\0")
    with pytest.raises(InvalidArgument, match="longer than it says"):
        file_format.read(tmp_path / "p")


def _sealed(data: bytearray) -> bytes:
    """A file with the checksums that its parts have now, as a forger would write them."""
    sealed = bytearray(data)
    for name, places in _parts(data).items():
        if name in {"header", "records", "codes"}:
            part = sealed[places.start : places.stop]
            struct.pack_into("<I", sealed, places.stop, zlib.crc32(part))
    sealed[-32:] = hashlib.sha256(sealed[:-32]).digest()
    return bytes(sealed)


def _forged(
    made: tuple[Path, Proof], tmp_path: Path, change: Callable[[bytearray, dict[str, range]], None]
) -> Path:
    data = bytearray(made[0].read_bytes())
    change(data, _parts(data))
    path = tmp_path / "forged"
    path.write_bytes(_sealed(data))
    return path


@pytest.mark.slow
def test_a_flipped_bit_under_new_checksums_decodes_to_something_else(
    made: tuple[Path, Proof], llama: ProvingModel, tmp_path: Path
) -> None:
    def flip(data: bytearray, parts: dict[str, range]) -> None:
        data[(parts["codes"].start + parts["codes"].stop) // 2] ^= 0x10

    found = verify(file_format.read(_forged(made, tmp_path, flip)), llama)
    assert len(found.failures) == 1
    assert "another text" in found.failures[0].reason


@pytest.mark.slow
def test_a_claim_that_is_too_good_is_found(
    made: tuple[Path, Proof], llama: ProvingModel, tmp_path: Path
) -> None:
    proof = made[1]
    records = list(proof.records)
    records[-1] = replace(records[-1], nats=records[-1].nats * 0.9)
    claimed = file_format.write(tmp_path / "p", proof.header, records)
    (failure,) = verify(claimed, llama).failures
    assert failure.id == records[-1].id
    assert "the proof says" in failure.reason
    # And bytes that the text does not have.
    records = list(proof.records)
    records[-1] = replace(records[-1], text_bytes=records[-1].text_bytes + 5)
    claimed = file_format.write(tmp_path / "p", proof.header, records)
    (failure,) = verify(claimed, llama).failures
    assert "bytes, and the proof says" in failure.reason


@pytest.mark.parametrize(
    ("rows", "tokens", "problem"),
    [
        (0, None, "0 documents were coded"),
        (10**9, None, "1000000000 documents"),
        (3, 10**15, "tok"),
    ],
)
def test_sizes_that_would_take_for_ever_are_refused(
    made: tuple[Path, Proof], llama: ProvingModel, rows: int, tokens: int | None, problem: str
) -> None:
    proof = made[1]
    records = list(proof.records)
    if tokens is not None:
        records[-1] = replace(records[-1], tokens=tokens)
    header = replace(proof.header, rows=rows)
    with pytest.raises(InvalidArgument, match=problem):
        verify(replace(proof, header=header, records=tuple(records)), llama)


def test_a_definition_without_a_code_is_refused_in_a_file_too(
    made: tuple[Path, Proof], llama: ProvingModel
) -> None:
    definition = replace(made[1].header.definition, prefix=Prefix.NONE, prefix_token=None)
    forged = replace(made[1], header=replace(made[1].header, definition=definition))
    with pytest.raises(InvalidArgument, match="unscored"):
        verify(forged, llama)


def test_totals_that_do_not_add_up_are_refused(made: tuple[Path, Proof], tmp_path: Path) -> None:
    def change(data: bytearray, parts: dict[str, range]) -> None:
        data[parts["trailer"].start + 8] ^= 1  # bytes

    with pytest.raises(InvalidArgument, match="do not add up"):
        file_format.read(_forged(made, tmp_path, change))


def test_another_version_is_refused(made: tuple[Path, Proof], tmp_path: Path) -> None:
    data = bytearray(made[0].read_bytes())
    data[8] = 2
    size = file_format._PREFIX.size
    struct.pack_into("<I", data, size, zlib.crc32(data[:size]))
    (tmp_path / "p").write_bytes(data)
    with pytest.raises(InvalidArgument, match="has version 2; this program reads version 1"):
        file_format.read(tmp_path / "p")


def test_a_header_without_a_field_is_refused(made: tuple[Path, Proof], tmp_path: Path) -> None:
    def rename(data: bytearray, parts: dict[str, range]) -> None:
        head = bytes(data[parts["header"].start : parts["header"].stop])
        assert json.loads(head)["rows"] == 3
        data[parts["header"].start : parts["header"].stop] = head.replace(b'"rows"', b'"raws"')

    with pytest.raises(InvalidArgument, match="cannot be read"):
        file_format.read(_forged(made, tmp_path, rename))
