"""What an inspection finds. Pure: loads no numerical library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.corpus.catalog.counts import Count
from services.corpus.contamination.hit import Hit
from services.corpus.inspection.repeats import Repeats
from services.corpus.personal_data import PersonalData


@dataclass(frozen=True, slots=True)
class Place:
    """A hit, and where it is: a document, and a text of a test set by its number from 0."""

    document: str
    subset: str
    split: str
    test_set: str
    number: int
    hit: Hit
    excerpt: str


@dataclass(frozen=True, slots=True)
class SetFound:
    """What was found of a test set: `found` of its texts share an n-gram with a document.

    `too_short` of them have fewer than n words, and can't be found. `longest` is in words.
    """

    name: str
    texts: int
    too_short: int
    found: int
    longest: int


@dataclass(slots=True)
class Share:
    """Documents that share an n-gram with a test text, and bytes of their texts in hits."""

    documents: int = 0
    text_bytes: int = 0


@dataclass(frozen=True)
class Contamination:
    """What was found in all. `places` are the longest hits, by length; `hits` counts all."""

    n: int
    hits: int
    sets: tuple[SetFound, ...]
    by_subset: Mapping[str, Share]
    places: tuple[Place, ...]
    documents: frozenset[str] = field(repr=False)
    """Ids of all documents with a hit."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Sizes of documents in UTF-8 bytes: the least, the median, the 90th and 99th percentile."""

    least: int
    median: int
    p90: int
    p99: int
    most: int


@dataclass(frozen=True)
class Part:
    """What the documents of a subset, or all of them, are made of.

    `words` are those of `contamination.words`, `distinct_words` how many are different; `lengths`
    is None without a document.
    """

    count: Count
    words: int
    distinct_words: int
    lengths: Lengths | None
    personal: PersonalData


@dataclass(frozen=True)
class Inspection:
    """What was found. `subsets` has "" for documents that name none.

    `near` is None unless it was requested; it is of the first `near_documents`. `languages` has
    documents of a sample by language, `languages_of` the documents that were sampled.
    """

    whole: Part
    subsets: Mapping[str, Part]
    exact: Repeats
    near: Repeats | None
    near_documents: int
    languages: Mapping[str, int]
    contamination: Contamination | None

    @property
    def languages_of(self) -> int:
        """Documents whose language was told."""
        return sum(self.languages.values())
