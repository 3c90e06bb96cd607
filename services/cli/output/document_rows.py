"""Writes the figures of each document, for one model or two, to a file.

The format is JSON lines, or Parquet if pyarrow is installed.
"""

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


def write(
    path: Path,
    corpus: str,
    documents: Sequence[scoring_pb2.DocumentScore] | Sequence[scoring_pb2.DocumentComparison],
    *,
    compared: bool = False,
) -> None:
    """Write a row for each document; the file is complete or absent. Raises OSError.

    Documents are DocumentComparisons if two models are `compared`, which adds columns.
    """
    rows = [_row(corpus, one) for one in documents]
    partial = path.with_name(f"{path.name}.partial")
    try:
        if path.suffix.lower() == ".jsonl":
            with partial.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        else:
            _write_parquet(partial, rows, compared=compared)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _row(
    corpus: str, one: scoring_pb2.DocumentScore | scoring_pb2.DocumentComparison
) -> dict[str, Any]:
    """A document; figures that an excluded document lacks are null, with the reason."""
    if isinstance(one, scoring_pb2.DocumentScore):
        return _beginning(corpus, one, one.score) | _figures(one.score, one, "excluded")
    theirs = _figures(one.against, one, "against_excluded")
    return {
        **_beginning(corpus, one, one.model),
        **_figures(one.model, one, "model_excluded"),
        **{f"against_{name}": value for name, value in theirs.items()},
        "difference": one.bits_per_byte if one.HasField("bits_per_byte") else None,
    }


def _beginning(corpus: str, one: Any, score: scoring_pb2.BitsPerByte) -> dict[str, Any]:
    return {"id": one.id, "corpus": corpus, "subset": one.subset, "bytes": score.text_bytes}


def _figures(score: scoring_pb2.BitsPerByte, one: Any, field: str) -> dict[str, Any]:
    """One model's figures for a document, or why there are none; `field` has the reason."""
    kept = not getattr(one, field)
    return {
        "tokens": score.tokens if kept else None,
        "nats": score.nats if kept else None,
        "bits_per_byte": score.bits_per_byte if kept and score.HasField("bits_per_byte") else None,
        "excluded": None if kept else enum_name(one, field),
    }


def _write_parquet(path: Path, rows: list[dict[str, Any]], *, compared: bool) -> None:
    import pyarrow as pa  # noqa: PLC0415  an extra, see `check`
    from pyarrow import parquet  # noqa: PLC0415

    figures = {
        "tokens": pa.int64(),
        "nats": pa.float64(),
        "bits_per_byte": pa.float64(),
        "excluded": pa.string(),
    }
    kinds = {
        "id": pa.string(),
        "corpus": pa.string(),
        "subset": pa.string(),
        "bytes": pa.int64(),
        **figures,
    }
    if compared:
        kinds |= {f"against_{name}": kind for name, kind in figures.items()}
        kinds["difference"] = pa.float64()
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))
    parquet.write_table(table, path)
