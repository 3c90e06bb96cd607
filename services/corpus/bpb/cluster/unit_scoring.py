"""Scores units of work; needs only the shards and the model's directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import cached_property
from importlib import metadata
from pathlib import Path

from services.common.license import License
from services.corpus.bpb.cluster.unit_results import UnitResult
from services.corpus.bpb.cluster.units import WorkUnit, cut_units
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models.compute import Compute
from services.corpus.bpb.models.engines.threads import threads_for
from services.corpus.bpb.models.registry import REFERENCE, Registry
from services.corpus.bpb.sampling import Chooser, Sample
from services.corpus.catalog.catalog import Catalog, Registration
from services.corpus.catalog.corpus import Kind, Shard
from services.corpus.catalog.locate import Location
from services.corpus.shards.documents import Document
from services.corpus.stream.selection import Selection
from services.errors import InvalidArgument, PreconditionFailed

_CORPUS = "corpus"
_ENGINE_PACKAGES = {"openvino-cpu": "openvino", "onnxruntime-cpu": "onnxruntime"}


@dataclass(frozen=True)
class UnitJob:
    """A scoring job: corpus, selection and model. Paths must be the same on every machine.

    `cache` is a folder for cached parts of a corpus in object storage, `model` a language model's
    directory, None for the packaged reference model. Each machine that scores units of a `sample`
    reads the selection once, to draw it.
    """

    shards: Location
    cache: Path
    model: Path | None = None
    selection: Selection = field(default_factory=Selection)
    definition: Definition = field(default_factory=Definition)
    compute: Compute = field(default_factory=Compute)
    unit_frames: int = 16
    sample: Sample | None = None


class UnitScorer:
    """A job's units. The model is loaded when the first unit is scored, and kept."""

    def __init__(self, job: UnitJob) -> None:
        """Open the indexes of the corpus.

        Raises PreconditionFailed for a shard without an index, InvalidArgument for a selection by
        anything except splits, subsets and sizes, or for a directory without a model, and NotFound,
        LayoutError and OSError for missing files.
        """
        selection = job.selection
        if selection.ordered or selection.max_documents or selection.max_bytes:
            raise InvalidArgument(
                "selection",
                "has a limit or an order, and units know nothing of each other; select by split, "
                "subset and size",
            )
        catalog = Catalog(job.cache)
        catalog.load({_CORPUS: Registration(job.shards, Kind.SAMPLE, "", License(""))})
        self._job = job
        self._corpus = catalog.open(_CORPUS)
        self._selection = self._corpus.resolve(selection)
        missing = self._corpus.unindexed(self._selection)
        if missing:
            raise PreconditionFailed(
                f"{missing} has no index, which units of work need; make one with `assay corpus "
                "index` and score what it writes"
            )
        self._shards = {shard.path: shard for shard in self._corpus.shards_of(self._selection)}
        counts = {path: _frames(shard) for path, shard in self._shards.items()}
        self.units: tuple[WorkUnit, ...] = cut_units(counts, job.unit_frames)
        self._name = REFERENCE if job.model is None else job.model.name
        self._registry = Registry({} if job.model is None else {self._name: job.model})
        self._info = self._registry.describe(self._name)
        self._definition = job.definition.resolve(self._info)
        if job.sample is not None:
            self._definition.require_whole_texts("a sample")

    @property
    def threads(self) -> int:
        """The number of threads of the model."""
        return threads_for(self._info.parameters)

    def facts(self) -> dict[str, object]:
        """Return the facts that all results of a job share, as JSON; a merge compares them."""
        sample = self._job.sample
        drawn = {} if sample is None else {"sample": _values(sample)}
        return drawn | {
            "corpus": self._corpus.ref.digest,
            "selection": self._selection.digests(),
            "model": {"name": self._name, "digest": self._info.digest},
            "definition": _values(self._definition),
            "precision": self._job.compute.precision.value,
            "unit_frames": self._job.unit_frames,
            "units": len(self.units),
        }

    def score(self, unit: WorkUnit) -> UnitResult:
        """Score the documents of a unit. The same unit gives the same result, bit by bit.

        Raises as `score_document`, reading frames and loading the model do; nothing is written.
        """
        loaded = self._registry.start(self._name, self._job.compute)
        chooser = self._chooser
        scores = [
            score_document(loaded.model, self._definition, document, spans=chooser.spans(document))
            for document in self._documents(unit)
            if chooser.chosen(document)
        ]
        package = _ENGINE_PACKAGES.get(loaded.engine, "torch")
        engine = f"{loaded.engine} {metadata.version(package)}, {self.threads} threads"
        # The sample is the same for every unit; the first unit's result stores it.
        drawn = chooser.drawn if unit.number == 0 else None
        return UnitResult(self.facts(), unit, engine, tuple(scores), drawn, loaded.doubts)

    @cached_property
    def _chooser(self) -> Chooser:
        """The sample over all units; without a sample everything, and nothing is read."""
        chooser = Chooser(self._job.sample)
        if self._job.sample is not None:
            for unit in self.units:
                for document in self._documents(unit):
                    chooser.see(document)
            chooser.choose()
        return chooser

    def _documents(self, unit: WorkUnit) -> Iterator[Document]:
        """Read the selection's documents in a unit."""
        with closing(self._shards[unit.shard].open_frames()) as frames:
            index = frames.index
            wants = [self._selection.wants(name) for name in index.header.subsets]
            for number in range(unit.first, unit.end):
                if wants[int(index.frames["subset"][number])]:
                    for document in frames.documents(number):
                        if self._selection.wants_text(len(document.text)):
                            yield document


def _values(facts: Definition | Sample) -> dict[str, object]:
    return {
        name: value.value if isinstance(value, Enum) else value
        for name, value in asdict(facts).items()
    }


def _frames(shard: Shard) -> int:
    return len(shard.index.frames) if shard.index else 0
