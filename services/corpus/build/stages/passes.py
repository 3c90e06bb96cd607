"""A pass: a unit's documents are read, duplicates are left out, and steps run on the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import xxhash

from services.corpus.build.job import Job
from services.corpus.build.listing import Part
from services.corpus.build.mixture import split_counts
from services.corpus.build.reading import Found, Missed, read_part, require_unchanged
from services.corpus.build.recipe import NearDuplicates
from services.corpus.build.stages.duplicates import removed_of_unit
from services.corpus.build.steps.chain import Chain, Piece, chain_of, size_of
from services.corpus.build.tally import READ, Count, Tally
from services.corpus.build.unit_files import Rows, UnitFiles, UnitWriter, finish
from services.corpus.contamination.words import words_of
from services.corpus.minhash import Signer
from services.corpus.shards.documents import parse_line
from services.corpus.shards.index.output import file_fact


def name_of(number: int) -> str:
    """Name a pass's folder."""
    return f"pass-{number}"


@dataclass
class PassRunner:
    """One pass of a job. Its steps are made ready once, in each process."""

    job: Job
    number: int

    @cached_property
    def _chain(self) -> Chain:
        job = self.job
        steps = job.steps(job.passes[self.number].local)
        return chain_of(steps, job.variables, job.folder)

    def _signer(self) -> Signer | None:
        comparing = self.job.passes[self.number].comparing
        options = None if comparing is None else self.job.recipe.steps[comparing].options
        if not isinstance(options, NearDuplicates):
            return None
        return Signer(options.permutations, options.shingle_words)

    def run(self, unit: int) -> None:
        """Do a unit. Raises what reading its source and running the steps do, and OSError."""
        if self.number == 0:
            self._read(unit)
        elif self.job.passes[self.number].local:
            self._rewrite(unit)
        else:
            self._select(unit)

    def _read(self, number: int) -> None:
        """Read the sources: the first pass."""
        unit = self.job.units[number]
        source = self.job.recipe.sources[unit.source]
        tally, missed, signer = Tally(), Missed(), self._signer()
        with UnitWriter(self._files(number)) as writer:
            for part in unit.parts:
                for found in read_part(part, source, missed):
                    _count_read(tally, unit.source, found)
                    key = f"{source.name}\0{part.path}\0{found.place['record']}"
                    document = _Document(
                        identity=xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogateescape")),
                        subset=found.subset,
                        place={"source": source.name, "file": part.path, **found.place},
                    )
                    pieces = self._run(Piece(found.text), document, unit.source, tally)
                    _write(writer, document, pieces, signer)
                require_unchanged(part, source)
            kept = _Kept(writer.rows(), writer.subsets, self.number)
        digests = {part.path: _digest(part) for part in unit.parts if part.first == 0}
        more = {"missed": missed.reasons, "bad": missed.bad, "files": digests}
        self._finish(number, kept, tally, signer, **more)

    def _rewrite(self, number: int) -> None:
        """Leave out duplicates, run the steps, and write what is left."""
        source = self.job.units[number].source
        tally, signer = Tally(), self._signer()
        before = self._kept(number, tally)
        with UnitWriter(self._files(number)) as writer:
            for row, line, note in self._lines(number, before):
                place = orjson.loads(note)
                piece = Piece(
                    _text(line), tuple(place.pop("piece", ())), tuple(place.pop("done", ()))
                )
                subset = before.subsets[int(row["subset"])]
                document = _Document(int(row["identity"]), subset, place, piece.cuts)
                pieces = self._run(piece, document, source, tally)
                _write(writer, document, pieces, signer)
            kept = _Kept(writer.rows(), writer.subsets, self.number)
        self._finish(number, kept, tally, signer)

    def _select(self, number: int) -> None:
        """Leave out duplicates; the texts stay where they are."""
        tally, signer = Tally(), self._signer()
        kept = self._kept(number, tally)
        if signer is not None:
            for _, line, _ in self._lines(number, kept):
                signer.add(words_of(_text(line)))
        self._finish(number, kept, tally, signer)

    def _run(self, piece: Piece, document: _Document, source: int, tally: Tally) -> list[Piece]:
        place = document.place
        where = f"{place['file']}:{place['record']} of {place['source']}"
        return self._chain.run(piece, source, document.subset, tally, where)

    def _kept(self, number: int, tally: Tally) -> _Kept:
        """Return the documents of the pass before that duplicate no other."""
        before = self.job.unit_files(name_of(self.number - 1), number)
        facts, rows = before.facts(), before.rows()
        step = self.job.passes[self.number - 1].comparing
        if step is None:
            raise ValueError("only the last pass compares nothing")
        keep = np.ones(len(rows), bool)
        keep[removed_of_unit(self.job, self.number - 1, number)] = False
        kept = rows[keep]
        source = self.job.units[number].source
        for place, subset in enumerate(facts["subsets"]):
            sizes_in, sizes_out = (
                chosen["text_bytes"][chosen["subset"] == place] for chosen in (rows, kept)
            )
            tally.of(step, source, subset).add(
                Count(len(sizes_in), int(sizes_in.sum()), len(sizes_out), int(sizes_out.sum()))
            )
        return _Kept(kept, facts["subsets"], facts["lines_from"])

    def _lines(self, number: int, kept: _Kept) -> Iterator[tuple[np.void, bytes, bytes]]:
        files = self.job.unit_files(name_of(kept.lines_from), number)
        for row, (line, note) in zip(kept.rows, files.lines(kept.rows["line"]), strict=True):
            yield row, line, note

    def _files(self, number: int) -> UnitFiles:
        return self.job.unit_files(name_of(self.number), number)

    def _finish(
        self, number: int, kept: _Kept, tally: Tally, signer: Signer | None, **more: Any
    ) -> None:
        facts = {
            "documents": len(kept.rows),
            "lines_from": kept.lines_from,
            "subsets": kept.subsets,
            "splits": split_counts(kept.rows, self.job.recipe),
            "tally": tally.rows(),
            **more,
        }
        signatures = None if signer is None else signer.signatures()
        finish(self._files(number), kept.rows, signatures, facts)


@dataclass(frozen=True)
class _Kept:
    """Documents of a unit, and the pass that has their lines."""

    rows: Rows
    subsets: list[str]
    lines_from: int


@dataclass(frozen=True)
class _Document:
    """A document before the steps of a pass; `cuts` are those of earlier passes."""

    identity: int
    subset: str
    place: dict[str, Any]
    cuts: tuple[int, ...] = ()


def _count_read(tally: Tally, source: int, found: Found) -> None:
    size = size_of(found.text)
    tally.of(READ, source, found.subset).add(Count(1, size, 1, size))


def _write(
    writer: UnitWriter, document: _Document, pieces: list[Piece], signer: Signer | None
) -> None:
    """Write what the steps left of a document."""
    for piece in pieces:
        identity = document.identity
        new = piece.cuts[len(document.cuts) :]
        if new:
            identity = xxhash.xxh3_64_intdigest(f"{identity} {new}".encode())
        note = dict(document.place)
        if piece.cuts:
            note["piece"] = piece.cuts
        if piece.done:
            note["done"] = piece.done
        data = writer.add(piece.text, document.subset, identity, _json(note))
        if signer is not None:
            signer.add(words_of(data))


def _json(note: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(note)
    except TypeError:  # lone surrogates, integers of more than 64 bits
        return json.dumps(note).encode()


def _text(line: bytes) -> str:
    return parse_line(line.rstrip(b"\n"), "", 0).text.decode("utf-8", "surrogatepass")


def _digest(part: Part) -> dict[str, Any]:
    fact = file_fact(Path(part.file))
    return {"bytes": fact.bytes, "digest": fact.digest}
