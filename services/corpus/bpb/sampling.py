"""A random sample of documents, stratified by subset: exact in size, in one pass, without an index.

Every document has a number that its id and the seed decide. Of each subset those with the smallest
numbers are taken, as many as its share of the sample. So the sample is a function of the documents
and the seed, whatever their order, and a larger sample holds the smaller ones' documents of a
subset.
"""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass
from enum import Enum

from services.corpus.shards.documents import Document
from services.errors import InvalidArgument


class Allocation(Enum):
    """How a sample is shared out among the subsets."""

    PROPORTIONAL = "proportional"
    EQUAL = "equal"


@dataclass(frozen=True)
class Sample:
    """`documents` of them in all: in proportion to those of each subset, or as many of each.

    An equal share that a subset is too small for goes to the others.
    """

    documents: int
    seed: int = 0
    allocation: Allocation = Allocation.PROPORTIONAL


class Chooser:
    """Sees every document once, then says which are chosen; all of them without a sample."""

    def __init__(self, sample: Sample | None) -> None:
        self._sample = sample
        self._sizes: dict[str, int] = {}
        # By subset, a heap of (-number, bytes of text) of the smallest numbers.
        self._least: dict[str, list[tuple[int, int]]] = {}
        self._bounds: dict[str, int] = {}
        self.documents = 0
        self.text_bytes = 0

    def see(self, document: Document) -> None:
        """Take a document into account."""
        self._sizes[document.subset] = self._sizes.get(document.subset, 0) + 1
        if self._sample is None:
            self.documents += 1
            self.text_bytes += len(document.text)
            return
        least = self._least.setdefault(document.subset, [])
        entry = (-_number(document.id, self._sample.seed), len(document.text))
        if len(least) < self._sample.documents:
            heapq.heappush(least, entry)
        elif entry > least[0]:
            heapq.heapreplace(least, entry)

    def choose(self) -> None:
        """Decide; from now on `documents`, `text_bytes` and `chosen` speak of the sample.

        Raises InvalidArgument when it is larger than what was seen.
        """
        if self._sample is None:
            return
        whole = sum(self._sizes.values())
        if self._sample.documents > whole:
            raise InvalidArgument(
                "selection.sample.documents",
                f"is {self._sample.documents:,}, but the selection has {whole:,} documents",
            )
        for subset, share in allocate(self._sample, self._sizes).items():
            taken = heapq.nlargest(share, self._least[subset])
            self.documents += len(taken)
            self.text_bytes += sum(size for _, size in taken)
            self._bounds[subset] = -taken[-1][0] if taken else -1

    def chosen(self, document: Document) -> bool:
        """Whether a document that was seen is in the sample."""
        if self._sample is None:
            return True
        return _number(document.id, self._sample.seed) <= self._bounds[document.subset]


def _number(document_id: str, seed: int) -> int:
    """Return 128 bits that an id and a seed decide: no two documents have the same."""
    key = f"sample\0{seed}\0{document_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little")


def allocate(sample: Sample, sizes: dict[str, int]) -> dict[str, int]:
    """Share the sample out among subsets of these sizes: sums to it, and is within them.

    Shares are whole by the largest remainder; ties go to the name that comes first.
    """
    names = sorted(sizes)
    if sample.allocation is Allocation.PROPORTIONAL:
        whole = max(1, sum(sizes.values()))
        exact = {name: sample.documents * sizes[name] for name in names}
        shares = {name: exact[name] // whole for name in names}
        left = sample.documents - sum(shares.values())
        order = sorted(names, key=lambda name: -(exact[name] % whole))
        return {name: shares[name] + (name in order[:left]) for name in names}
    shares, left = {}, sample.documents
    # From the smallest on: what it is too small for goes to the larger ones.
    for place, name in enumerate(sorted(names, key=lambda name: sizes[name])):
        shares[name] = min(sizes[name], left // (len(names) - place))
        left -= shares[name]
    return shares
