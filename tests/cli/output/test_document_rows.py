"""The figures of each document in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from assay_rpc.corpus.v1 import scoring_pb2

from services.cli.output import document_rows
from services.errors import InvalidArgument

DOCUMENTS = [
    scoring_pb2.DocumentScore(
        id="test.jsonl.zst:0",
        subset="Github",
        score=scoring_pb2.BitsPerByte(nats=0.1, text_bytes=10, tokens=4, bits_per_byte=0.3),
    ),
    scoring_pb2.DocumentScore(
        id="test.jsonl.zst:1\u2028",
        score=scoring_pb2.BitsPerByte(nats=3, text_bytes=9, tokens=2, bits_per_byte=1),
        excluded=scoring_pb2.EXCLUSION_REASON_NOT_ROUND_TRIPPING,
    ),
    scoring_pb2.DocumentScore(
        id="e", score=scoring_pb2.BitsPerByte(), excluded=scoring_pb2.EXCLUSION_REASON_EMPTY
    ),
]
ROWS = [
    {
        "id": "test.jsonl.zst:0",
        "corpus": "pile",
        "subset": "Github",
        "bytes": 10,
        "tokens": 4,
        "nats": 0.1,
        "bits_per_byte": 0.3,
        "excluded": None,
    },
    {
        "id": "test.jsonl.zst:1\u2028",
        "corpus": "pile",
        "subset": "",
        "bytes": 9,
        "tokens": None,
        "nats": None,
        "bits_per_byte": None,
        "excluded": "NOT_ROUND_TRIPPING",
    },
    {
        "id": "e",
        "corpus": "pile",
        "subset": "",
        "bytes": 0,
        "tokens": None,
        "nats": None,
        "bits_per_byte": None,
        "excluded": "EMPTY",
    },
]


def test_json_lines_have_nulls_and_the_reason(tmp_path: Path) -> None:
    path = document_rows.check(str(tmp_path / "d.jsonl"))
    document_rows.write(path, "pile", DOCUMENTS)
    assert [json.loads(line) for line in path.read_text().split("\n")[:-1]] == ROWS
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_parquet_has_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    path = document_rows.check(str(tmp_path / "d.parquet"))
    document_rows.write(path, "pile", DOCUMENTS)
    assert parquet.read_table(path).to_pylist() == ROWS
    document_rows.write(path, "pile", [])
    assert parquet.read_table(path).num_rows == 0


COMPARED = [
    scoring_pb2.DocumentComparison(
        id="a",
        subset="Github",
        model=scoring_pb2.BitsPerByte(nats=0.1, text_bytes=10, tokens=4, bits_per_byte=0.5),
        against=scoring_pb2.BitsPerByte(nats=0.2, text_bytes=10, tokens=5, bits_per_byte=0.75),
        bits_per_byte=-0.25,
    ),
    scoring_pb2.DocumentComparison(
        id="b",
        model=scoring_pb2.BitsPerByte(nats=3, text_bytes=9, tokens=2, bits_per_byte=1),
        against=scoring_pb2.BitsPerByte(text_bytes=9),
        against_excluded=scoring_pb2.EXCLUSION_REASON_TOKEN_OUT_OF_RANGE,
    ),
]
COMPARED_ROWS = [
    {
        "id": "a",
        "corpus": "pile",
        "subset": "Github",
        "bytes": 10,
        "tokens": 4,
        "nats": 0.1,
        "bits_per_byte": 0.5,
        "excluded": None,
        "against_tokens": 5,
        "against_nats": 0.2,
        "against_bits_per_byte": 0.75,
        "against_excluded": None,
        "difference": -0.25,
    },
    {
        "id": "b",
        "corpus": "pile",
        "subset": "",
        "bytes": 9,
        "tokens": 2,
        "nats": 3.0,
        "bits_per_byte": 1.0,
        "excluded": None,
        "against_tokens": None,
        "against_nats": None,
        "against_bits_per_byte": None,
        "against_excluded": "TOKEN_OUT_OF_RANGE",
        "difference": None,
    },
]


def test_two_models_stand_in_one_row(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    document_rows.write(path, "pile", COMPARED, compared=True)
    assert [json.loads(line) for line in path.read_text().splitlines()] == COMPARED_ROWS
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    path = tmp_path / "d.parquet"
    document_rows.write(path, "pile", COMPARED, compared=True)
    assert parquet.read_table(path).to_pylist() == COMPARED_ROWS
    document_rows.write(path, "pile", [], compared=True)
    assert parquet.read_table(path).column_names == list(COMPARED_ROWS[0])


def test_what_cannot_be_written_is_refused_before_anything_is_scored(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"ends in neither .jsonl nor .parquet"):
        document_rows.check(str(tmp_path / "d.csv"))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        document_rows.check(str(tmp_path / "nowhere" / "d.jsonl"))


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = document_rows.check(str(tmp_path / "d.jsonl"))
    path.write_text("before")
    bad = scoring_pb2.DocumentScore(score=scoring_pb2.BitsPerByte(nats=float("nan")))
    with pytest.raises(ValueError, match="JSON"):
        document_rows.write(path, "pile", [bad])
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
