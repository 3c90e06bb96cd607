"""A recipe: which sources a corpus is built from, the steps in their order, and what comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import Field

from services.common.strict_documents import Document
from services.corpus import languages
from services.corpus.shards.formats import MAX_WINDOW_LOG, WINDOW_LOG, Keys, Reading
from services.corpus.shards.index.writer import LEVEL
from services.corpus.shards.names import SPLITS
from services.errors import Violation

MIB = 1 << 20
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._()/+-]{0,99}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
MOST_EPOCHS = 1000


class Source(Document):
    """Documents of one place, and how much of them the corpus gets.

    `path` is a file or a folder of any layout that is read, or a pattern of such; with `files`,
    every file below the folder `path` that matches is a document. `subset` is the
    `pile_set_name` of all its documents; without it each keeps its own, or takes the source's name.
    """

    name: Name
    path: Annotated[str, Field(min_length=1)]
    files: str = ""
    exclude: tuple[str, ...] = ()
    subset: str = ""
    license: Annotated[str, Field(min_length=1)]
    weight: Annotated[float, Field(gt=0, le=1e12)] | None = None
    epochs: Annotated[float, Field(gt=0, le=MOST_EPOCHS)] | None = None
    splits: tuple[str, ...] = ()
    text_key: str = "text"
    id_key: str = ""
    subset_key: str = ""
    long: Annotated[int, Field(ge=10, le=MAX_WINDOW_LOG)] = WINDOW_LOG
    every_file: bool = False
    skip_bad_lines: bool = False
    extractor: str = "trafilatura"

    def problems(self) -> Iterator[Violation]:
        """What is wrong beyond types."""
        if self.weight is not None and self.epochs is not None:
            yield "weight", "is given together with epochs; give one of the two"
        if "://" in self.path:
            yield "path", f"{self.path!r} is a URL, and sources are files: copy them first"
        elif "\0" in self.path:
            yield "path", "contains U+0000, which no path can have; remove it"
        parts = PurePosixPath(self.files).parts
        if self.files.startswith("/") or ".." in parts or "\0" in self.files:
            yield "files", f"{self.files!r} must match files below `path`: write it as **/*.txt"
        if self.exclude and not self.files:
            yield "exclude", "is for sources with files alone"
        unknown = [split for split in self.splits if split not in SPLITS]
        if unknown:
            yield "splits", f"has {unknown[0]!r}, which is none of {', '.join(SPLITS)}"

    def reading(self) -> Reading:
        """How its shards are read."""
        return Reading(Keys(self.text_key, self.id_key, self.subset_key), self.long)


class ExactDuplicates(Document):
    """Of documents with the same text, the first stays. Sources count in the recipe's order."""


class NearDuplicates(Document):
    """Of documents that share most of their shingles of words, the first stays."""

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.8
    permutations: Annotated[int, Field(ge=16, le=1024)] = 128
    shingle_words: Annotated[int, Field(ge=1, le=50)] = 5


class Contamination(Document):
    """Take out what test sets hold: documents, or the places in them.

    `against` are files of any layout that is read, or patterns. `cut` takes `window` characters
    around each hit and splits the document there; a document with more than `max_hits` goes whole.
    """

    against: tuple[str, ...]
    text_key: str = "text"
    ngram: Annotated[int, Field(ge=2, le=100)] = 13
    action: Annotated[str, Field(pattern="^(drop|cut)$")] = "drop"
    window: Count = 200
    min_characters: Count = 200
    max_hits: Positive = 10

    def problems(self) -> Iterator[Violation]:
        """What is wrong beyond types."""
        if not self.against:
            yield "against", "names no test set"
        for number, path in enumerate(self.against):
            if "\0" in path:
                yield f"against[{number}]", "contains U+0000, which no path can have; remove it"


class Language(Document):
    """Keep the documents whose language, as `function` names it, is one of `keep`."""

    function: Annotated[str, Field(min_length=1)] = languages.NAME
    keep: tuple[str, ...]

    def problems(self) -> Iterator[Violation]:
        """What is wrong beyond types."""
        if not self.keep:
            yield "keep", "names no language"


class Filter(Document):
    """Keep the documents of which `function` says True."""

    function: Annotated[str, Field(min_length=1)]
    options: dict[str, Any] = Field(default_factory=dict)


class Mask(Document):
    """Put a mark in the place of e-mail addresses, and of public IP addresses."""

    email: bool = True
    ip: bool = True

    def problems(self) -> Iterator[Violation]:
        """What is wrong beyond types."""
        if not self.email and not self.ip:
            yield "email", "is false, and so is ip; nothing would be masked"


class Step(Document):
    """One step: exactly one of these is given."""

    exact_duplicates: ExactDuplicates | None = None
    near_duplicates: NearDuplicates | None = None
    contamination: Contamination | None = None
    language: Language | None = None
    filter: Filter | None = None
    mask: Mask | None = None

    def problems(self) -> Iterator[Violation]:
        """What is wrong beyond types."""
        if len(self.model_fields_set) != 1:
            yield STEP_KEY, f"names {len(self.model_fields_set)} steps; give one an entry"

    @property
    def kind(self) -> str:
        """Its name in the recipe."""
        return next(iter(self.model_fields_set))

    @property
    def options(self) -> Document:
        """What the recipe says of it."""
        options: Document = getattr(self, self.kind)
        return options

    @property
    def compares_documents(self) -> bool:
        """Whether it has to see all documents before it can decide on one."""
        return self.kind in {"exact_duplicates", "near_duplicates"}


STEP_KEY = "step"
STEPS = tuple(Step.model_fields)


class Splits(Document):
    """Shares of the documents that are held out, by the digest of their text."""

    val: Share = 0.0
    test: Share = 0.0

    def problems(self) -> Iterator[Violation]:
        """What is wrong beyond types."""
        if self.val + self.test >= 1:
            yield "val", "and test leave nothing to train on"


class Output(Document):
    """The shards that are written. `total_bytes` is the size that `weight`s share, in text."""

    shard_bytes: Annotated[int, Field(ge=MIB // 16, le=16 << 30)] = 256 * MIB
    splits: Splits = Splits()
    level: Annotated[int, Field(ge=1, le=22)] = LEVEL
    texts: bool = True
    total_bytes: Positive | None = None


class Recipe(Document):
    """A recipe. What describes the corpus goes into its card and its Croissant metadata."""

    name: Name
    description: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] = "1.0.0"
    license: str = ""
    url: str = ""
    creator: str = ""
    date: Annotated[str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$")] = ""
    citation: str = ""
    seed: Count = 0
    sources: tuple[Source, ...]
    steps: tuple[Step, ...] = ()
    output: Output = Output()

    def problems(self) -> Iterable[Violation]:
        """What is wrong beyond types."""
        if not self.sources:
            yield "sources", "has no source"
        names = [source.name for source in self.sources]
        for number, name in enumerate(names):
            if name in names[:number]:
                yield f"sources[{number}].name", f"{name!r} is the name of another source too"
        weighted = [source.weight is not None for source in self.sources]
        if any(weighted) and not all(weighted):
            missing = weighted.index(False)
            yield f"sources[{missing}].weight", "is missing, and other sources have one"
        if self.output.total_bytes is not None and not any(weighted):
            yield "output.total_bytes", "is shared by weights, and no source has one"
