"""The documents of a unit between two stages, as files.

    000012.lines.zst   lines of Pile's form, one a document
    000012.notes.zst   a line of JSON a document: where it is from and what was done to it
    000012.rows.npy    ROW records, one a document that is kept
    000012.near.npy    MinHash signatures, (documents, permutations), before near duplicates go
    000012.json        what the unit has, written last: with it the unit is done

A pass that changes no text writes no lines: its rows name lines of an earlier pass.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import orjson
import xxhash
import zstandard

from services.corpus.build.workspace import read_json, whole_file, write_json
from services.corpus.minhash import Signatures
from services.corpus.shards.formats import Keys
from services.corpus.shards.records import usual_line

ROW = np.dtype(
    [
        ("line", "<u8"),  # in the file of lines
        ("text_high", "<u8"),  # XXH3-128 of the text
        ("text_low", "<u8"),
        ("identity", "<u8"),  # XXH3-64 of where the document is from
        ("text_bytes", "<u8"),
        ("subset", "<u4"),  # index into the unit's subsets
    ]
)
Rows = npt.NDArray[np.void]
_LEVEL = 1
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class UnitFiles:
    """The files of one unit after one stage."""

    folder: Path
    number: int

    def path(self, what: str) -> Path:
        """Name one of them: lines.zst, notes.zst, rows.npy, near.npy, json."""
        return self.folder / f"{self.number:06d}.{what}"

    @property
    def done(self) -> bool:
        """Whether the unit is done."""
        return self.path("json").exists()

    def facts(self) -> dict[str, Any]:
        """Read what the unit has."""
        facts: dict[str, Any] = read_json(self.path("json"))
        return facts

    def rows(self) -> Rows:
        """Map the rows."""
        rows: Rows = np.load(self.path("rows.npy"), mmap_mode="r")
        return rows

    def signatures(self) -> Signatures:
        """Map the signatures."""
        found: Signatures = np.load(self.path("near.npy"), mmap_mode="r")
        return found

    def lines(self, wanted: npt.NDArray[np.uint64]) -> Iterator[tuple[bytes, bytes]]:
        """Read line and note of each document whose place is in `wanted`, which ascends."""
        with ExitStack() as stack:
            files = [
                stack.enter_context(self.path(name).open("rb"))
                for name in ("lines.zst", "notes.zst")
            ]
            decoders = [zstandard.ZstdDecompressor().stream_reader(file) for file in files]
            both = [io.BufferedReader(decoder, _READ_BYTES) for decoder in decoders]
            at = 0
            for place in wanted.tolist():
                while at < place:
                    both[0].readline()
                    both[1].readline()
                    at += 1
                yield both[0].readline(), both[1].readline()
                at += 1


class UnitWriter:
    """Writes the documents of a unit. Use as a context, then `finish`."""

    def __init__(self, files: UnitFiles) -> None:
        self._files = files
        self._stack = ExitStack()
        self._rows: list[tuple[int, ...]] = []
        self._subsets: dict[str, int] = {}

    def __enter__(self) -> Self:
        names = ("lines.zst", "notes.zst")
        opened = [self._stack.enter_context(whole_file(self._files.path(name))) for name in names]
        self._lines, self._notes = (
            self._stack.enter_context(
                zstandard.ZstdCompressor(level=_LEVEL).stream_writer(file, closefd=False)
            )
            for file in opened
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def add(self, text: str, subset: str, identity: int, note: bytes) -> bytes:
        """Add a document; `note` is a line of JSON without its end. Returns the text in UTF-8."""
        data = text.encode("utf-8", "surrogatepass")
        self._lines.write(_line(text, subset))
        self._notes.write(note + b"\n")
        number = self._subsets.setdefault(subset, len(self._subsets))
        self._rows.append((len(self._rows), *text_hash(data), identity, len(data), number))
        return data

    @property
    def subsets(self) -> list[str]:
        """The names of the subsets so far, in their order."""
        return list(self._subsets)

    def rows(self) -> Rows:
        """Return the rows so far."""
        return np.array(self._rows, ROW)


def _line(text: str, subset: str) -> bytes:
    """Write a line of The Pile's form, as `usual_line` does."""
    try:
        parts = (orjson.dumps(text), orjson.dumps(subset))
        return b'{"text": %b, "meta": {"pile_set_name": %b}}\n' % parts
    except TypeError:  # lone surrogates
        record = {"text": text, "meta": {"pile_set_name": subset}}
        return usual_line(record, Keys(), "") + b"\n"


def text_hash(data: bytes) -> tuple[int, int]:
    """Return the XXH3-128 of a text, as its high and its low half."""
    value = xxhash.xxh3_128_intdigest(data)
    return value >> 64, value & 0xFFFFFFFFFFFFFFFF


def finish(
    files: UnitFiles, rows: Rows, signatures: Signatures | None, facts: dict[str, Any]
) -> None:
    """Write a unit's arrays, and last of all its facts."""
    arrays = [("rows.npy", rows)] + ([] if signatures is None else [("near.npy", signatures)])
    for name, array in arrays:
        with whole_file(files.path(name)) as file:
            np.save(file, array, allow_pickle=False)
    write_json(files.path("json"), facts)
