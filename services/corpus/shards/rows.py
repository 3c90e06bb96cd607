"""The rows of tables, the elements of JSON arrays, and whole texts, as records.

Each source yields (how far it is in the file in bytes, record), in order. A record is a mapping,
another JSON value, or a `Broken` one with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from services.corpus.shards.foreign import foreign, require_table
from services.corpus.shards.formats import Format, Reading, Unreadable
from services.corpus.shards.records import lookup
from services.corpus.shards.text_folder import text_files
from services.errors import DataLoss

_BATCH_ROWS = 256
_BEGUN_BYTES = 512
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Broken:
    """A record that cannot be read."""

    reason: str


def records(
    file: Path, name: str, content: Format, reading: Reading, max_bytes: int
) -> Iterator[tuple[int, object]]:
    """Read the records of a parquet or Arrow file or of a folder of texts.

    Raises DataLoss at damage and where no column has the text.
    """
    if content.content == "texts":
        return _texts(file, name, max_bytes)
    if content.content == "parquet":
        return _table(_parquet(file, name), name, reading)
    return _table(_arrow(file, name), name, reading)


def array_records(data: bytes, name: str) -> Iterator[tuple[int, object]]:
    """Read the elements of a JSON array. Raises DataLoss if it is none."""
    try:
        elements = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            elements = json.loads(data.decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError) as error:
            if other := foreign(data[:_BEGUN_BYTES], name):
                raise Unreadable(name, 0, f"{other},") from None
            raise DataLoss(name, 0, f"is not a JSON array ({str(error)[:120]}),") from None
    for element in elements:
        yield len(data), element


def _texts(folder: Path, name: str, max_bytes: int) -> Iterator[tuple[int, object]]:
    read = 0
    try:
        files = text_files(folder)
        for file in files:
            size = file.stat().st_size
            read += size
            if size > max_bytes:
                yield read, Broken(f"is a text of more than {max_bytes} bytes ({file.name})")
                continue
            try:
                data = file.read_bytes()
                text = data.removeprefix(BOM).decode()
            except UnicodeDecodeError as error:
                wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
                problem = "is text in UTF-16:" if wide else f"is not UTF-8 at byte {error.start} of"
                yield read, Broken(f"{problem} {file.name}")
            else:
                yield read, {"text": text, "file": file.name}
    except OSError as error:
        raise Unreadable(name, read, f"cannot be read ({error.strerror})") from None


def _table(
    batches: Iterator[tuple[int, Any]], name: str, reading: Reading
) -> Iterator[tuple[int, object]]:
    key = reading.keys.text
    checked = False
    for offset, batch in batches:
        if not checked:
            columns = dict.fromkeys(batch.schema.names)
            twice = batch.schema.names.count(key.split(".")[0]) > 1
            if twice:
                problem = f'has several columns "{key}": rename those that are not the text\'s,'
                raise Unreadable(name, 0, problem)
            if key.split(".")[0] not in columns and lookup(columns, key) is None:
                named = ", ".join(str(column)[:40] for column in list(columns)[:20])
                raise Unreadable(
                    name,
                    0,
                    f'has no column "{key}" for the text: its columns are {named}; --text-key '
                    "(in settings: text_key) names the one that has it,",
                )
            checked = True
        for row in _rows(batch):
            yield offset, row


def _rows(batch: Any) -> Iterator[object]:
    """Yield the rows of a batch.

    Times of nanoseconds are as Arrow spells them, whether or not pandas is here; those that are
    beyond the years of Python's dates are the numbers that they are stored as.
    """
    import pyarrow  # noqa: PLC0415  # an extra

    for number, column in enumerate(batch.schema):
        if pyarrow.types.is_timestamp(column.type) and column.type.unit == "ns":
            spelled = batch.column(number).cast(pyarrow.string())
            batch = batch.set_column(number, column.name, spelled)
    cannot = (OverflowError, ValueError, AttributeError, pyarrow.ArrowException)
    try:
        yield from batch.to_pylist()
    except cannot:
        for number in range(batch.num_rows):
            row: dict[str, object] = {}
            try:
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    try:
                        row[name] = column[number].as_py()
                    except cannot:
                        row[name] = column[number].value
            except cannot:
                yield Broken(f'has a "{name}" that cannot be read (a time beyond all dates)')
            else:
                yield row


def _parquet(file: Path, name: str) -> Iterator[tuple[int, Any]]:
    import pyarrow  # noqa: PLC0415  # an extra
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with parquet.ParquetFile(file, memory_map=True) as opened:
            offset = 0
            for group in range(opened.num_row_groups):
                row_group = opened.metadata.row_group(group)
                for batch in opened.iter_batches(_BATCH_ROWS, row_groups=[group]):
                    yield offset, batch
                offset += sum(
                    row_group.column(number).total_compressed_size
                    for number in range(row_group.num_columns)
                )
    except (pyarrow.ArrowException, OSError) as error:
        require_table(name, file, ".parquet")
        raise DataLoss(name, 0, f"is damaged, or no parquet file ({_short(error)}),") from None


def _arrow(file: Path, name: str) -> Iterator[tuple[int, Any]]:
    import pyarrow  # noqa: PLC0415  # an extra

    try:
        with pyarrow.memory_map(str(file)) as source:
            if source.read(6) == b"ARROW1":
                source.seek(0)
                opened = pyarrow.ipc.open_file(source)
                batches: Iterator[Any] = (
                    opened.get_batch(number) for number in range(opened.num_record_batches)
                )
            else:
                source.seek(0)
                batches = iter(pyarrow.ipc.open_stream(source))
            for batch in batches:
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    yield source.tell(), batch.slice(start, _BATCH_ROWS)
    except (pyarrow.ArrowException, OSError) as error:
        require_table(name, file, ".arrow")
        raise DataLoss(name, 0, f"is damaged, or no Arrow file ({_short(error)}),") from None


def _short(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:120] if lines else type(error).__name__
