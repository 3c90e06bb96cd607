"""Texts that an audit can measure: published ones, and ones that are known by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from services.corpus.audit.record import PublishedDocument, Record
from services.corpus.audit.tokenizer import Cut, Cutter

# Bytes of text that are tokenized to recognise a mistake: a second or two of work. The effect of a
# mistake is then computed over all documents.
_SAMPLE_BYTES = 2_000_000


class Evidence:
    """Texts, bytes and tokens of a record's documents, measured when they are requested."""

    def __init__(
        self, record: Record, cutter: Cutter | None, known_texts: Mapping[str, bytes]
    ) -> None:
        """Take a record, its tokenizer, and texts of the evaluation set by SHA-256 in hex."""
        self.record = record
        self.cutter = cutter
        self.texts = [_text(document, known_texts) for document in record.documents]
        self.sources = [
            document.source_bytes if text is None else len(text.encode("utf-8", "surrogatepass"))
            for text, document in zip(self.texts, record.documents, strict=True)
        ]
        self._cuts: dict[int, Cut] = {}

    @property
    def documents(self) -> Sequence[PublishedDocument]:
        """The record's documents."""
        return self.record.documents

    @property
    def with_text(self) -> list[int]:
        """Places of documents whose text is known."""
        return [i for i, text in enumerate(self.texts) if text is not None]

    @property
    def all_texts(self) -> bool:
        """Whether there are documents, and the text of each is known."""
        return bool(self.texts) and all(text is not None for text in self.texts)

    def text(self, place: int) -> str:
        """Return a known text."""
        text = self.texts[place]
        assert text is not None, "callers ask for texts that are known"  # noqa: S101
        return text

    def cuts(self, places: Iterable[int]) -> dict[int, Cut]:
        """Tokenize the texts of documents; needs a tokenizer."""
        assert self.cutter is not None, "callers look for a tokenizer first"  # noqa: S101
        wanted = list(places)
        new = [place for place in wanted if place not in self._cuts]
        self._cuts.update(
            zip(new, self.cutter.cut([self.text(place) for place in new]), strict=True)
        )
        return {place: self._cuts[place] for place in wanted}

    def sample(self, first: Iterable[int]) -> list[int]:
        """Choose documents with text, up to 2 MB of it, beginning with those in `first`."""
        chosen: dict[int, None] = {}
        room = _SAMPLE_BYTES
        for group in (first, self.with_text):
            left = room if group is not first else room // 2
            for place in group:
                size = self.sources[place] or 0
                known = self.texts[place] is not None
                if not known or place in chosen or (size > left and chosen):
                    continue
                chosen[place] = None
                left -= size
                room -= size
        return sorted(chosen)


def _text(document: PublishedDocument, known: Mapping[str, bytes]) -> str | None:
    if document.text is not None:
        return document.text
    found = known.get(document.sha256)
    return None if found is None else found.decode("utf-8", "surrogatepass")


def wrong_digest(document: PublishedDocument) -> bool:
    """Whether a document's text does not match its digest."""
    if document.text is None or not document.sha256:
        return False
    data = document.text.encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest() != document.sha256
