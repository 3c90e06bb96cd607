"""Which documents of a corpus are streamed or scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from services.corpus.stream.mixture import Mixture, WeightUnit
from services.errors import InvalidArgument, NotFound

MAX_EPOCHS = 1_000_000
# Taken down by its publisher (2023), so it is delivered only when a selection names it.
WITHDRAWN = frozenset({"Books3"})
# Copyrighted texts, collected without permission: what "uncopyrighted" editions of the Pile lack.
COPYRIGHTED = frozenset(
    {"Books3", "BookCorpus2", "OpenSubtitles", "YoutubeSubtitles", "OpenWebText2"}
)


@dataclass(frozen=True)
class Selection:
    """Documents of `splits`, in that order, that are of a wanted subset and size.

    Empty `splits` mean all, empty `subsets` all that have not been withdrawn; a limit of 0 means
    none. `corpora` are weights of the corpora that are mixed, shares of `unit` as those of
    `mixture` are. `max_bytes` counts the text's UTF-8 bytes: the selection ends before the document
    that would bring it over. Limits hold over all epochs. `seed`, `mixture`, `corpora` and more
    than one of `epochs` need an index.
    """

    splits: tuple[str, ...] = ()
    subsets: frozenset[str] = frozenset()
    exclude_subsets: frozenset[str] = frozenset()
    max_documents: int = 0
    max_bytes: int = 0
    min_text_bytes: int = 0
    max_text_bytes: int = 0
    uncopyrighted: bool = False
    seed: int | None = None
    mixture: Mixture | None = None
    epochs: int = 1
    corpora: tuple[tuple[str, float], ...] = ()
    unit: WeightUnit = WeightUnit.BYTES

    @property
    def filters(self) -> bool:
        """Whether the request names subsets, so that they have to be known."""
        return bool(self.subsets or self.exclude_subsets or self.mixture)

    @property
    def filters_text(self) -> bool:
        """Whether documents are selected by the size of their text."""
        return bool(self.min_text_bytes or self.max_text_bytes)

    @property
    def ordered(self) -> bool:
        """Whether it requests another order than that of the shards, which needs an index."""
        mixes = self.mixture is not None or bool(self.corpora)
        return self.seed is not None or mixes or self.epochs > 1

    def wants(self, subset: str) -> bool:
        """Whether documents of this subset are in it."""
        wanted = subset in self.subsets if self.subsets else subset not in WITHDRAWN
        if self.uncopyrighted and subset in COPYRIGHTED:
            wanted = False
        if self.mixture is not None:
            wanted = wanted and subset in dict(self.mixture.by_subset)
        return wanted and subset not in self.exclude_subsets

    def wants_text(self, text_bytes: int) -> bool:
        """Whether documents of this size of text are in it."""
        return self.min_text_bytes <= text_bytes <= (self.max_text_bytes or text_bytes)

    def digests(self) -> dict[str, str]:
        """Digest each part by the request's field names, so that a cursor can say which differs.

        Only meaningful for a resolved selection.
        """
        parts: dict[str, object] = {
            "splits": list(self.splits),
            "subsets": [sorted(self.subsets), sorted(self.exclude_subsets), self.uncopyrighted],
            "limits": [
                *(self.max_documents, self.max_bytes),
                *(self.min_text_bytes, self.max_text_bytes),
            ],
            "order": [
                self.seed,
                self.mixture and [self.mixture.kind, self.mixture.by_subset],
                self.epochs,
                # Left out where unset, so that earlier cursors stay what they are.
                *([self.corpora] if self.corpora else []),
                *([self.unit.value] if self.unit is not WeightUnit.BYTES else []),
            ],
        }
        return {
            name: hashlib.sha256(json.dumps(part).encode()).hexdigest()[:16]
            for name, part in parts.items()
        }


def resolve(
    selection: Selection,
    splits: Sequence[str],
    subsets: Callable[[], Collection[str]],
    published: Collection[str],
) -> Selection:
    """Check a selection against what a corpus has, and spell out its splits.

    `subsets` is only called when the selection names a subset, for finding them may take a while.
    `published` are the names that the publication lists, whether or not they are here.

    Raises NotFound for a split or subset that is not here, naming those that are;
    InvalidArgument for repeated splits and for subsets both wanted and excluded.
    """
    for split in selection.splits:
        if split not in splits:
            raise NotFound("split", split, splits)
    if len(set(selection.splits)) != len(selection.splits):
        raise InvalidArgument("selection.splits", "names a split twice; name each once")
    both = sorted(selection.subsets & selection.exclude_subsets)
    if both:
        raise InvalidArgument(
            "selection.exclude_subsets", f"excludes {both[0]!r}, which `subsets` includes"
        )
    if selection.max_text_bytes and selection.max_text_bytes < selection.min_text_bytes:
        raise InvalidArgument("selection.max_text_bytes", "is less than min_text_bytes")
    if selection.epochs > MAX_EPOCHS:
        raise InvalidArgument("selection.epochs", f"is over {MAX_EPOCHS:,}")
    if selection.filters:
        known = subsets()
        if selection.mixture is not None:
            selection = replace(selection, mixture=selection.mixture.present(known))
        mixed = [name for name, _ in selection.mixture.by_subset] if selection.mixture else []
        for name in sorted(selection.subsets | selection.exclude_subsets | set(mixed)):
            if name not in known:
                hint = "published with the Pile, but no document here is of it"
                named = [subset for subset in known if subset]
                raise NotFound("subset", name, named, hint if name in published else "")
    return replace(selection, splits=selection.splits or tuple(splits))
