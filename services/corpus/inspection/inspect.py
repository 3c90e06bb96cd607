"""Reads documents once and says what they are made of."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xxhash

from services.corpus import languages, personal_data
from services.corpus.catalog.counts import Count
from services.corpus.contamination.hit import N
from services.corpus.contamination.words import words_of
from services.corpus.inspection import near_duplicates
from services.corpus.inspection.contaminated import Contaminated
from services.corpus.inspection.findings import Inspection, Lengths, Part
from services.corpus.inspection.languages import Languages
from services.corpus.inspection.near_duplicates import NearDuplicates
from services.corpus.inspection.repeats import repeats
from services.corpus.inspection.vocabulary import Distinct
from services.corpus.shards.documents import Document

MOST_SUBSETS = 10_000
"""Subsets that are told apart; documents of further ones count as `OTHERS`."""
OTHERS = "(others)"
_QUANTILES = (0.0, 0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class Wanted:
    """What is looked for beside what costs little.

    `test_sets` are texts, as UTF-8, by the name of their set; empty looks for no contamination.
    """

    test_sets: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    n: int = N
    near_duplicates: bool = False
    languages: bool = False

    def require_libraries(self) -> None:
        """Raise Unsupported for what needs a library that is not installed."""
        if self.near_duplicates:
            near_duplicates.require_library()
        if self.languages:
            languages.require_library()


@dataclass
class Watch:
    """How far the work is; `check` raises where it is no longer wanted, once a document."""

    check: Callable[[], None] = lambda: None
    documents: int = 0
    text_bytes: int = 0
    hits: int = 0


class _Tally:
    """Running sums over documents. Memory: 8 bytes a document, and some 100 KiB."""

    def __init__(self) -> None:
        self.words = 0
        self.lengths = array("Q")
        self.distinct = Distinct()
        self.personal = personal_data.NONE

    def part(self) -> Part:
        sizes = np.array(self.lengths, dtype=np.uint64)
        lengths = None
        if sizes.size:
            found = np.quantile(sizes, _QUANTILES, method="inverted_cdf")
            lengths = Lengths(*(int(one) for one in found))
        # Squares of sizes are beyond 64 bits for texts of gigabytes.
        squared = sum(size * size for size in self.lengths)
        count = Count(len(self.lengths), int(sizes.sum()), squared)
        return Part(count, self.words, self.distinct.count(), lengths, self.personal)


def inspect(
    documents: Iterable[Document],
    splits: Mapping[str, str],
    wanted: Wanted,
    watch: Watch | None = None,
) -> Inspection:
    """Read documents and say what they are made of. `splits` are those of the shards, by path.

    Raises Unsupported if a library is missing, InvalidArgument and TooLarge as NgramIndex, and
    what reading raises.
    """
    wanted.require_libraries()
    watch = watch or Watch()
    contaminated = Contaminated(wanted.test_sets, wanted.n) if wanted.test_sets else None
    near = NearDuplicates() if wanted.near_duplicates else None
    language = Languages() if wanted.languages else None
    whole, tallies = _Tally(), dict[str, _Tally]()
    names = {name: number for number, name in enumerate(dict.fromkeys(splits.values()))}
    numbers: dict[str, int] = {}
    keys, split_of, subset_of = array("Q"), array("B"), array("I")
    for document in documents:
        watch.check()
        subset = document.subset
        if subset not in tallies and len(tallies) >= MOST_SUBSETS:
            subset = OTHERS
        words = words_of(document.text)
        personal = personal_data.count(document.text)
        for tally in (whole, tallies.setdefault(subset, _Tally())):
            tally.words += words.hashes.size
            tally.lengths.append(len(document.text))
            tally.distinct.add(words.hashes)
            tally.personal += personal
        keys.append(xxhash.xxh3_64_intdigest(document.text))
        split_of.append(names[splits[document.shard]])
        subset_of.append(numbers.setdefault(subset, len(numbers)))
        if contaminated is not None:
            contaminated.add(document, words, splits[document.shard])
            watch.hits = contaminated.hits
        if near is not None:
            near.add(words)
        if language is not None:
            language.add(document.id, document.text)
        watch.documents += 1
        watch.text_bytes += len(document.text)
    where = (np.array(split_of, np.uint8), np.array(subset_of, np.uint32))
    named = (list(names), list(numbers))
    close = None
    if near is not None:
        taken = near.documents
        close = repeats(near.groups(), where[0][:taken], where[1][:taken], *named)
    return Inspection(
        whole.part(),
        {name: tallies[name].part() for name in sorted(tallies)},
        repeats(np.array(keys, np.uint64), *where, *named),
        close,
        near.documents if near is not None else 0,
        Counter() if language is None else language.found(),
        None if contaminated is None else contaminated.result(),
    )
