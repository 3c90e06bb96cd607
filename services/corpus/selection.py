"""Which documents of a corpus: the same selection serves streaming and scoring."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from services.errors import InvalidArgument, NotFound


@dataclass(frozen=True)
class Selection:
    """Documents of `splits`, in that order, that are of a wanted subset.

    Empty `splits` and `subsets` mean all; a limit of 0 means none. `max_bytes` counts the text's
    UTF-8 bytes: the selection ends before the document that would bring it over.
    """

    splits: tuple[str, ...] = ()
    subsets: frozenset[str] = frozenset()
    exclude_subsets: frozenset[str] = frozenset()
    max_documents: int = 0
    max_bytes: int = 0

    @property
    def filters(self) -> bool:
        """Whether documents are told apart by subset."""
        return bool(self.subsets or self.exclude_subsets)

    def wants(self, subset: str) -> bool:
        """Whether documents of this subset are in it."""
        return (not self.subsets or subset in self.subsets) and subset not in self.exclude_subsets

    def digests(self) -> dict[str, str]:
        """Digest each part by the request's field names, so that a cursor can say which differs.

        Only meaningful for a resolved selection.
        """
        parts: dict[str, object] = {
            "splits": list(self.splits),
            "subsets": [sorted(self.subsets), sorted(self.exclude_subsets)],
            "limits": [self.max_documents, self.max_bytes],
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
    """Check a selection against what a corpus has, and put its splits in the place of "all".

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
            "selection.exclude_subsets", f"excludes {both[0]!r}, which `subsets` asks for"
        )
    if selection.filters:
        known = subsets()
        for name in sorted(selection.subsets | selection.exclude_subsets):
            if name not in known:
                hint = "published with the Pile, but no document here is of it"
                named = [subset for subset in known if subset]
                raise NotFound("subset", name, named, hint if name in published else "")
    return replace(selection, splits=selection.splits or tuple(splits))
