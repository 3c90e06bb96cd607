"""Sets what a corpus holds beside what was published of it."""

from __future__ import annotations

from dataclasses import dataclass

from services.corpus.catalog.census import Census, Count, Stored
from services.corpus.catalog.corpus import Corpus
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
    """A census and its subsets by name: those found, and if one is the Pile's all of its table.

    `distance` is that of the shares from the published weights; None where none were published.
    """

    census: Census
    subsets: tuple[Subset, ...]
    documents_without_subset: int
    distance: Distance | None


def describe(corpus: Corpus) -> Description:
    """Describe a corpus. Blocks while the census is taken.

    Raises DataLoss when a shard is damaged.
    """
    census = corpus.census()
    if census.damage is not None:
        raise census.damage
    total = census.text_bytes
    # Whoever has subsets of the Pile wants to see them beside it, whatever the corpus is called.
    published = SUBSETS if SUBSETS.keys() & census.subsets.keys() else {}
    names = sorted((census.subsets.keys() | published.keys()) - {""})
    nothing = Count(0, 0, 0)
    subsets = []
    for name in names:
        count = census.subsets.get(name, nothing)
        share = count.text_bytes / total if total else 0.0
        stored = None if census.stored is None else census.stored.get(name, Stored(0, 0))
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
        census,
        tuple(subsets),
        census.subsets.get("", nothing).documents,
        total_variation(census.subsets, weights),
    )
