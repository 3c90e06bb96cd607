"""Describes a corpus: its counts by subset beside the figures that were published."""

from __future__ import annotations

from dataclasses import dataclass

from services.corpus.catalog.corpus import Corpus
from services.corpus.catalog.counts import CorpusCounts, Count, Stored
from services.corpus.catalog.distance import Distance, total_variation
from services.corpus.catalog.published import SUBSETS, PublishedSubset
from services.corpus.catalog.rights import RIGHTS, Rights


@dataclass(frozen=True)
class Subset:
    """A subset: counts here, its share of all text bytes in [0, 1], and the published figures.

    `stored` is None where a shard has no index, `rights` for a subset that is not of the Pile.
    """

    name: str
    documents: int
    text_bytes: int
    share: float
    published: PublishedSubset | None
    stored: Stored | None
    rights: Rights | None


@dataclass(frozen=True)
class Description:
    """The counts of a corpus, and its subsets by name: with one of the Pile's, all of its table.

    `distance` is between its shares and the published weights; None without published ones.
    """

    counts: CorpusCounts
    subsets: tuple[Subset, ...]
    documents_without_subset: int
    distance: Distance | None


def describe(corpus: Corpus) -> Description:
    """Describe a corpus. Blocks while the documents are counted.

    Raises DataLoss when a shard is damaged.
    """
    counts = corpus.counts()
    if counts.damage is not None:
        raise counts.damage
    total = counts.text_bytes
    # A corpus with subsets of the Pile is shown beside the Pile's table under any name.
    published = SUBSETS if SUBSETS.keys() & counts.subsets.keys() else {}
    names = sorted((counts.subsets.keys() | published.keys()) - {""})
    nothing = Count(0, 0, 0)
    subsets = []
    for name in names:
        count = counts.subsets.get(name, nothing)
        share = count.text_bytes / total if total else 0.0
        stored = None if counts.stored is None else counts.stored.get(name, Stored(0, 0))
        subsets.append(
            Subset(
                name,
                count.documents,
                count.text_bytes,
                share,
                published.get(name),
                stored,
                RIGHTS.get(name),
            )
        )
    weights = {name: row.weight for name, row in published.items()}
    return Description(
        counts,
        tuple(subsets),
        counts.subsets.get("", nothing).documents,
        total_variation(counts.subsets, weights),
    )
