"""The corpus and the selection of a request: found, checked and resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from assay_rpc.corpus.v1 import selection_pb2

from services.corpus.api import corpora
from services.corpus.api.single_flight import SingleFlight
from services.corpus.catalog import published
from services.corpus.catalog.catalog import Catalog
from services.corpus.catalog.corpus import Corpus
from services.corpus.shards.documents import Document
from services.corpus.stream.mixture import Mixture, WeightUnit, mixture
from services.corpus.stream.selection import Selection
from services.errors import InvalidArgument

_MAX_COUNTINGS = 16


@dataclass(frozen=True)
class Source:
    """The documents of a resolved selection, identified by `digests`, by the request's field names.

    `documents` is called twice, in a thread.
    """

    corpus: selection_pb2.CorpusRef
    digests: Mapping[str, str]
    documents: Callable[[], Iterator[Document]]


class Selections:
    """Opens registered corpora and resolves selections of them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        # Counting takes as long as reading a corpus: it has its own threads, one a corpus.
        self._counters = ThreadPoolExecutor(_MAX_COUNTINGS, "corpus-counter")
        self._countings = SingleFlight(self._counters)

    def close(self) -> None:
        """End the threads. Call once no call is left."""
        self._catalog.close()
        self._counters.shutdown(wait=False, cancel_futures=True)

    def corpora(self) -> list[Corpus]:
        """The registered corpora, by name."""
        return self._catalog.list()

    def open(
        self, ref: selection_pb2.CorpusRef, selection: selection_pb2.Selection | None = None
    ) -> Corpus:
        """Return the corpus of a request, or the several that its selection mixes, as one.

        Raises NotFound, DigestMismatch, InvalidArgument and IndexRequired.
        """
        if selection is None or not selection.corpora:
            return self._catalog.open(ref.name, ref.digest)
        if ref.name:
            raise InvalidArgument("corpus.name", "and `selection.corpora` both name corpora")
        named = [(one.corpus.name, one.corpus.digest) for one in selection.corpora]
        if len({name for name, _ in named}) < len(named):
            raise InvalidArgument("selection.corpora", "names a corpus twice; name each once")
        return self._catalog.mixed(named, ref.digest)

    async def source(
        self, ref: selection_pb2.CorpusRef, message: selection_pb2.Selection
    ) -> Source:
        """Return what a request selects. Raises what `open` and `resolve` raise."""
        corpus = self.open(ref, message)
        selection = await self.resolve(corpus, message)
        documents = partial(corpus.documents, selection)
        return Source(corpora.corpus_ref(corpus), selection.digests(), documents)

    async def resolve(self, corpus: Corpus, message: selection_pb2.Selection) -> Selection:
        """Check and resolve a selection; if it names a subset, the corpus is counted first."""
        wanted = _selection_of(message)
        if wanted.filters:
            await self.count(corpus)
        return corpus.resolve(wanted)

    async def count(self, corpus: Corpus) -> None:
        """Count the documents, if they are not counted; afterwards `corpus.counts` is quick."""
        if not corpus.counted:
            await self._countings.run(corpus.ref.name, corpus.counts)


def _selection_of(message: selection_pb2.Selection) -> Selection:
    """Read a request's selection without its sample."""
    if message.preset not in set(selection_pb2.SubsetPreset.values()):
        raise InvalidArgument("selection.preset", f"{message.preset} is not a preset")
    return Selection(
        splits=tuple(message.splits),
        subsets=frozenset(message.subsets),
        exclude_subsets=frozenset(message.exclude_subsets),
        max_documents=message.max_documents,
        max_bytes=message.max_bytes,
        min_text_bytes=message.min_text_bytes,
        max_text_bytes=message.max_text_bytes,
        uncopyrighted=message.preset == selection_pb2.SUBSET_PRESET_UNCOPYRIGHTED,
        seed=message.seed if message.HasField("seed") else None,
        mixture=_mixture_of(message.mixture) if message.HasField("mixture") else None,
        epochs=message.epochs or 1,
        corpora=_corpora_of(message),
        unit=_unit_of(message),
    )


_UNITS = {
    selection_pb2.MIXTURE_UNIT_UNSPECIFIED: WeightUnit.BYTES,
    selection_pb2.MIXTURE_UNIT_BYTES: WeightUnit.BYTES,
    selection_pb2.MIXTURE_UNIT_DOCUMENTS: WeightUnit.DOCUMENTS,
    selection_pb2.MIXTURE_UNIT_TOKENS: WeightUnit.TOKENS,
}


def _unit_of(message: selection_pb2.Selection) -> WeightUnit:
    if message.unit not in _UNITS:
        raise InvalidArgument("selection.unit", f"{message.unit} is not a unit")
    return _UNITS[message.unit]


def _corpora_of(message: selection_pb2.Selection) -> tuple[tuple[str, float], ...]:
    if not message.corpora:
        return ()
    if message.HasField("mixture"):
        raise InvalidArgument("selection.corpora", "and `mixture` both mix; give one of them")
    weights = {one.corpus.name: one.weight for one in message.corpora}
    checked = mixture("weights", weights, field="selection.corpora")
    # In the order of the names, as the shards are; the order in the request has no effect.
    return tuple((name, dict(checked.by_subset).get(name, 0.0)) for name in sorted(weights))


def _mixture_of(message: selection_pb2.Mixture) -> Mixture:
    shares = message.WhichOneof("shares")
    if shares == "weights":
        return mixture("weights", message.weights.by_subset)
    if shares == "passes":
        return mixture("passes", message.passes.by_subset)
    rows = published.SUBSETS.items()
    if message.preset == selection_pb2.MIXTURE_PRESET_PILE_WEIGHTS:
        return mixture("weights", {name: row.weight for name, row in rows}, published=True)
    if message.preset == selection_pb2.MIXTURE_PRESET_PILE_EPOCHS:
        return mixture("passes", {name: row.epochs for name, row in rows}, published=True)
    raise InvalidArgument("selection.mixture", "names neither a preset, weights nor passes")
