"""Results of units as files, and all of a job's as figures.

A file is JSON: what the whole job has in common, the unit, and a row for each document. It names no
time and no machine, so the same unit gives the same bytes; floats are spelled so that they are read
back exactly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from services.common.statistics.samples.sampling import Drawn
from services.corpus.bpb.cluster.units import WorkUnit
from services.corpus.bpb.estimates import Scope
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.report import Drawing, Report
from services.corpus.bpb.sampling import Unit, drawn_json, drawn_of
from services.errors import PreconditionFailed

FORMAT = "assay-unit/3"
_MAX_NUMBERS_SHOWN = 5


@dataclass(frozen=True)
class UnitResult:
    """Scores of a unit's documents, in their order, by what `engine` says.

    `drawn` is the sample of the whole job, in the result of the first unit; None without one.
    `doubts` are reasons to doubt the figures.
    """

    job: dict[str, object]
    unit: WorkUnit
    engine: str
    documents: tuple[DocumentScore, ...]
    drawn: Mapping[str, Drawn] | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Merged:
    """The figures of a whole job, with reasons to doubt them.

    More than one of `engines`: their last digits may differ.
    """

    job: dict[str, object]
    engines: tuple[str, ...]
    figures: Report
    doubts: tuple[str, ...] = ()


def result_path(directory: Path, unit: WorkUnit) -> Path:
    """Name the file of a unit's result."""
    return directory / f"unit-{unit.number:06d}.json"


def write_result(directory: Path, result: UnitResult) -> Path:
    """Write a result and return its file, which is complete or absent.

    Raises OSError, for example on a full disk.
    """
    path = result_path(directory, result.unit)
    directory.mkdir(parents=True, exist_ok=True)
    sample = {} if result.drawn is None else {"drawn": drawn_json(result.drawn)}
    content = {
        "format": FORMAT,
        "job": result.job,
        "unit": astuple(result.unit),
        "engine": result.engine,
        "documents": [document.row() for document in result.documents],
        **sample,
        **({"doubts": result.doubts} if result.doubts else {}),
    }
    # Of this process: two may write the same result at once.
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            json.dump(content, file, separators=(",", ":"), allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_result(path: Path) -> UnitResult:
    """Read a result. Raises PreconditionFailed when the file is none, OSError."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise PreconditionFailed(
                f"{path} is of format {content.get('format')!r}, not {FORMAT!r}"
            )
        documents = tuple(DocumentScore.of(row) for row in content["documents"])
        drawn = drawn_of(content["drawn"]) if "drawn" in content else None
        result = UnitResult(
            content["job"],
            WorkUnit(*content["unit"]),
            content["engine"],
            documents,
            drawn,
            tuple(content.get("doubts", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PreconditionFailed(
            f"{path} is not a result of a unit ({type(error).__name__}: {error}); remove it and "
            "score its unit again"
        ) from error
    return result


def is_done(directory: Path, unit: WorkUnit, job: dict[str, object]) -> bool:
    """Whether the unit's result is there.

    Raises PreconditionFailed when it is a result of another job.
    """
    path = result_path(directory, unit)
    if not path.exists():
        return False
    _require_same(path, read_result(path).job, job)
    return True


def merge(directory: Path, scope: Scope = Scope.DOCUMENTS) -> Merged:
    """Add the results of a job up; `scope` is what intervals speak of.

    The sums are exact, so which machine scored a unit, and the order, change no bit. Raises
    PreconditionFailed when there is no result, one is of another job, or one is missing.
    """
    paths = sorted(directory.glob("unit-*.json"))
    if not paths:
        raise PreconditionFailed(f"{directory} holds no result of a unit")
    engines, doubts, numbers = set[str](), set[str](), set[int]()
    first = read_result(paths[0])
    job, drawing = first.job, None
    if first.drawn is not None:
        unit = Unit.SPANS if first.job["sample"]["spans"] else Unit.DOCUMENTS  # type: ignore[index]
        drawing = Drawing(unit, first.drawn)
        if unit is Unit.SPANS and scope is Scope.CORPUS:
            raise PreconditionFailed(
                "intervals about the corpus behind the documents need whole documents, but this "
                "job sampled spans; score again with --sample-documents"
            )

    def documents() -> Iterator[DocumentScore]:
        for path in paths:
            result = read_result(path)
            _require_same(path, result.job, job)
            numbers.add(result.unit.number)
            engines.add(result.engine)
            doubts.update(result.doubts)
            yield from result.documents

    figures = Report(documents(), drawing, scope)
    missing = sorted(set(range(int(str(job["units"])))) - numbers)
    if missing:
        raise PreconditionFailed(
            f"{directory} lacks {len(missing)} of {job['units']} units: {_some(missing)}; score "
            "them, with the same command"
        )
    return Merged(job, tuple(sorted(engines)), figures, tuple(sorted(doubts)))


def _require_same(path: Path, found: dict[str, object], wanted: dict[str, object]) -> None:
    names = [*wanted, *(name for name in found if name not in wanted)]
    differs = [
        name for name in names if json.dumps(found.get(name)) != json.dumps(wanted.get(name))
    ]
    if differs:
        raise PreconditionFailed(
            f"{path} belongs to another job: it differs in {', '.join(differs)}; give another "
            "directory"
        )


def _some(numbers: Sequence[int]) -> str:
    more = "..." if len(numbers) > _MAX_NUMBERS_SHOWN else ""
    return ", ".join(map(str, numbers[:_MAX_NUMBERS_SHOWN])) + more
