"""A registered corpus: what it is, where its shards are, and its documents."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.common.license import License
from services.corpus.catalog import published
from services.corpus.catalog.counts import CorpusCounts, CountProgress
from services.corpus.shards.documents import Document
from services.corpus.shards.formats import READING, WINDOW_LOG, Keys, Reading
from services.corpus.shards.frames import FrameReader
from services.corpus.shards.index.format import Index
from services.corpus.storage.files import StoredFile, size_and_version
from services.corpus.storage.remote import changed
from services.corpus.stream import reader, unit_reader
from services.corpus.stream.plan import StreamPlan
from services.corpus.stream.selection import Selection, resolve
from services.errors import IndexRequired

# A plan of the whole Pile takes about a hundred megabytes.
_KEPT_PLANS = 8


class Kind(Enum):
    """How a corpus relates to the one that it is named after."""

    COMPLETE = "complete"
    SAMPLE = "sample"
    REFERENCE = "reference"


@dataclass(frozen=True)
class CorpusRef:
    """A corpus by registered name. `digest` is "sha256:<hex>" over names, sizes and contents."""

    name: str
    digest: str = ""


@dataclass(frozen=True)
class Shard:
    """A shard: `path` is below the corpus's root, `digest` is "sha256:<hex>" of the file.

    `version` is that of the file when it was digested; a file that replaces it has another.
    `corpus` is the name of its corpus where several are mixed.
    """

    split: str
    path: str
    file: StoredFile
    compressed_bytes: int
    digest: str
    version: str
    index: Index | None = None
    text_file: StoredFile | None = None
    reading: Reading = READING
    corpus: str = ""

    def open_frames(self) -> FrameReader:
        """Open the frames of an indexed shard."""
        if self.index is None:
            raise LookupError(f"{self.path} has no index")
        return FrameReader(self.path, self.file, self.text_file, self.index)


_NEED_INDEX = (
    "seed, mixture, epochs, ranks, frames, `resume` and `skip_damaged` need; make one with `assay "
    "corpus index` and serve what it writes"
)


class Corpus:
    """A corpus whose shards have been found and digested. Safe to share between threads."""

    def __init__(
        self,
        ref: CorpusRef,
        *,
        kind: Kind,
        source: str,
        license: License,  # noqa: A002  the field's name
        shards: tuple[Shard, ...],
        count: Callable[[Corpus], CorpusCounts],
        left_out: tuple[str, ...] = (),
    ) -> None:
        self.ref = ref
        self.kind = kind
        self.source = source
        self.license = license
        self.shards = shards
        self.left_out = left_out
        """Paths of files beside the shards that look like some and are not read."""
        self._count = count
        self._counts: CorpusCounts | None = None
        self.count_progress = CountProgress()
        """How far the first call of `counts` is."""
        self._lock = threading.Lock()
        self._plans: OrderedDict[str, StreamPlan] = OrderedDict()
        self._plan_lock = threading.Lock()

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have a shard, in their canonical order."""
        return tuple(dict.fromkeys(shard.split for shard in self.shards))

    @property
    def keys(self) -> Keys:
        """Where its records have their texts and subsets."""
        return self.shards[0].reading.keys

    @property
    def large_window_bytes(self) -> int:
        """The largest zstd window that its shards may have, where that was raised; else 0."""
        log = self.shards[0].reading.window_log
        return 1 << log if log > WINDOW_LOG else 0

    @property
    def compressed_bytes(self) -> int:
        """Size of the shards in bytes."""
        return sum(shard.compressed_bytes for shard in self.shards)

    @property
    def indexed(self) -> bool:
        """Whether every shard has an index."""
        return all(shard.index is not None for shard in self.shards)

    @property
    def counted(self) -> bool:
        """Whether the documents have been counted, so that `counts` returns at once."""
        return self._counts is not None

    def counts(self) -> CorpusCounts:
        """Count what the shards hold. The first call reads every shard; it blocks."""
        with self._lock:
            if self._counts is None:
                self._counts = self._count(self)
            return self._counts

    def resolve(self, selection: Selection) -> Selection:
        """Check a selection against this corpus and spell out its splits.

        Counts the documents, and so may block, when the selection names a subset. Raises NotFound
        and InvalidArgument as `selection.resolve` does.
        """
        return resolve(selection, self.splits, self._subsets, published.NAMES)

    def _subsets(self) -> Collection[str]:
        return self.counts().subsets.keys()

    def unindexed(self, selection: Selection) -> str:
        """Name a shard of a resolved selection that has no index; empty when every one has."""
        shards = self.shards_of(selection)
        return next((shard.path for shard in shards if shard.index is None), "")

    def shards_of(self, selection: Selection) -> tuple[Shard, ...]:
        """Return the shards of a resolved selection, in its order."""
        return tuple(s for split in selection.splits for s in self.shards if s.split == split)

    def plan(
        self, selection: Selection, tokens: Sequence[npt.NDArray[np.integer]] = ()
    ) -> StreamPlan:
        """Order the documents of a resolved selection; blocks for milliseconds the first time.

        `tokens` has those of each document of each shard, where weights are shares of tokens.

        Raises IndexRequired when a shard has no index.
        """
        self.check_indexed(selection)
        key = json.dumps([selection.digests(), [int(one.sum()) for one in tokens]])
        with self._plan_lock:
            plan = self._plans.pop(key, None)
            if plan is None:
                indexes = [s.index for s in self.shards_of(selection) if s.index is not None]
                named = [shard.corpus for shard in self.shards_of(selection)]
                plan = StreamPlan(indexes, selection, corpora=named, tokens=tokens)
            self._plans[key] = plan
            while len(self._plans) > _KEPT_PLANS:
                self._plans.popitem(last=False)
            return plan

    def documents(self, selection: Selection) -> Iterator[Document]:
        """Read the documents of a resolved selection, in streaming order. Blocks on the disk.

        Closing the iterator closes the shard. Raises DataLoss at a damaged shard and at a line
        that is not a document, after every document before it; IndexRequired as
        `check_unchanged` does.
        """
        self.check_unchanged(selection)
        if self.unindexed(selection) and not selection.ordered:
            return reader.documents(self.shards, selection)
        return unit_reader.documents(self.shards_of(selection), self.plan(selection))

    def check_indexed(self, selection: Selection, needed: str = _NEED_INDEX) -> None:
        """Raise IndexRequired when a shard of a resolved selection has no index.

        `needed` ends the sentence that says what an index is needed for.
        """
        missing = self.unindexed(selection)
        if missing:
            raise IndexRequired(f"{missing} has no index, which {needed}")

    def check_unchanged(self, selection: Selection) -> None:
        """Look whether the shards of a resolved selection are still those that were digested.

        Raises IndexRequired when one is not: it would be other data under the same digest.
        """
        for shard in self.shards:
            # Objects are checked when a frame of one has the wrong digest: asking the store about
            # each before every stream would take longer than the first document.
            if shard.split not in selection.splits or not isinstance(shard.file, Path):
                continue
            try:
                now = size_and_version(shard.file)
            except OSError:
                continue  # reading it will say what is wrong
            if now != (shard.compressed_bytes, shard.version):
                raise changed(shard.path)
