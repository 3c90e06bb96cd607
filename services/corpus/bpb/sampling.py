"""A sample of a selection, in one pass and without an index, and what is known of all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from enum import Enum
from typing import Any

from services.common.statistics.samples.sampling import Allocation, Drawn, Sampler, Span, Stratum
from services.common.statistics.samples.spans import span_ends, span_scripts, span_sizes
from services.corpus.shards.documents import Document
from services.errors import InvalidArgument

__all__ = ["Allocation", "Chooser", "Sample", "Unit", "drawn_json", "drawn_of"]


class Unit(Enum):
    """What a sample draws."""

    SPANS = "spans"
    DOCUMENTS = "documents"


@dataclass(frozen=True)
class Sample:
    """So many spans of 4,096 bytes, or whole documents, drawn by their bytes; one of the two is 0.

    `services.common.statistics.samples.sampling` says how.
    """

    spans: int = 0
    documents: int = 0
    seed: int = 0
    allocation: Allocation = Allocation.BYTES

    @property
    def unit(self) -> Unit:
        """What is drawn."""
        return Unit.SPANS if self.spans else Unit.DOCUMENTS


class Chooser:
    """Sees every document once, then says which are chosen; all of them without a sample.

    After `choose`, `documents` and `text_bytes` are how much will be scored, and `drawn` is the
    sample by subset, None where everything is scored anyway.
    """

    def __init__(self, sample: Sample | None) -> None:
        self._sample = sample
        self._sampler = Sampler(sample.spans or sample.documents, sample.seed) if sample else None
        self._spans: dict[str, set[int]] = {}
        self.drawn: Mapping[str, Drawn] | None = None
        self.documents = 0
        self.text_bytes = 0

    def see(self, document: Document) -> None:
        """Take a document into account."""
        if self._sampler is None or self._sample is None:
            self.documents += 1
            self.text_bytes += len(document.text)
        elif document.text:
            whole = self._sample.unit is Unit.DOCUMENTS
            ends = [len(document.text)] if whole else span_ends(document.text)
            kinds = span_scripts(document.text, ends)
            self._sampler.add(document.id, document.subset, span_sizes(ends), kinds)

    def choose(self) -> None:
        """Decide. Raises InvalidArgument when nothing that can be scored was seen."""
        if self._sampler is not None and self._sample is not None:
            self.drawn = self._sampler.draw(self._sample.allocation)
            for part in self.drawn.values():
                self.text_bytes += sum(span.text_bytes for span in part.spans)
                for span in part.spans:
                    self._spans.setdefault(span.document, set()).add(span.number)
            self.documents = len(self._spans)
        if not self.documents:
            what = "document" if self._sample is None else "document with a text"
            raise InvalidArgument("selection", f"no {what} is in it; select more")

    def chosen(self, document: Document) -> bool:
        """Whether something of a document that was seen is scored."""
        return self._sample is None or document.id in self._spans

    def spans(self, document: Document) -> frozenset[int] | None:
        """Return which spans of a chosen document are scored; None: all of it, in one."""
        if self._sample is None or self._sample.unit is Unit.DOCUMENTS:
            return None
        return frozenset(self._spans[document.id])


def drawn_json(drawn: Mapping[str, Drawn]) -> dict[str, Any]:
    """Return a sample as JSON that `drawn_of` reads."""
    return {
        name: {
            "strata": [
                {
                    "kind": stratum.kind,
                    "spans": [astuple(span) for span in stratum.spans],
                    "threshold": stratum.threshold and astuple(stratum.threshold),
                    "spans_in_all": stratum.spans_in_all,
                    "text_bytes": stratum.text_bytes,
                }
                for stratum in part.strata
            ],
            "documents": part.documents,
            "powers": part.powers,
        }
        for name, part in drawn.items()
    }


def drawn_of(content: Mapping[str, Any]) -> dict[str, Drawn]:
    """Read what `drawn_json` gave. Raises KeyError and TypeError for anything else."""
    return {
        name: Drawn(
            tuple(
                Stratum(
                    stratum["kind"],
                    tuple(Span(*span) for span in stratum["spans"]),
                    stratum["threshold"] and Span(*stratum["threshold"]),
                    stratum["spans_in_all"],
                    stratum["text_bytes"],
                )
                for stratum in part["strata"]
            ),
            part["documents"],
            tuple(part["powers"]),
        )
        for name, part in content.items()
    }
