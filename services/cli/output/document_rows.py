"""The figures of each document in a file: JSON lines, or Parquet where pyarrow is installed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay_rpc.corpus.v1 import scoring_pb2

from services.cli.arguments import output_file
from services.errors import InvalidArgument
from services.ranker.web.values import enum_name

_SUFFIXES = {".jsonl", ".parquet"}


def check(given: str) -> Path:
    """The file. Raises InvalidArgument unless its name ends in .jsonl or .parquet."""
    path = output_file("--per-document", given)
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidArgument("--per-document", f"{given} ends in neither .jsonl nor .parquet")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401, PLC0415  an extra
        except ImportError:
            raise InvalidArgument(
                "--per-document",
                "Parquet needs pyarrow: pip install pyarrow, or give a name in .jsonl",
            ) from None
    return path


def write(path: Path, corpus: str, documents: Sequence[scoring_pb2.DocumentScore]) -> None:
    """Write a row for each document; the file is there whole or not at all. Raises OSError."""
    rows = [_row(corpus, one) for one in documents]
    partial = path.with_name(f"{path.name}.partial")
    try:
        if path.suffix.lower() == ".jsonl":
            with partial.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        else:
            _write_parquet(partial, rows)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _row(corpus: str, one: scoring_pb2.DocumentScore) -> dict[str, Any]:
    """A document; what an excluded one has no figure of is null, with the reason."""
    score, kept = one.score, not one.excluded
    return {
        "id": one.id,
        "corpus": corpus,
        "subset": one.subset,
        "bytes": score.text_bytes,
        "tokens": score.tokens if kept else None,
        "nats": score.nats if kept else None,
        "bits_per_byte": score.bits_per_byte if kept and score.HasField("bits_per_byte") else None,
        "excluded": None if kept else enum_name(one, "excluded"),
    }


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa  # noqa: PLC0415  an extra, see `check`
    from pyarrow import parquet  # noqa: PLC0415

    kinds = {
        "id": pa.string(),
        "corpus": pa.string(),
        "subset": pa.string(),
        "bytes": pa.int64(),
        "tokens": pa.int64(),
        "nats": pa.float64(),
        "bits_per_byte": pa.float64(),
        "excluded": pa.string(),
    }
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))
    parquet.write_table(table, path)
