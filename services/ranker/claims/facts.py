"""What publications say of the claims, with their citations: `facts.yaml`, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import yaml

from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Basis, Interval, SubjectRelation, Value


class FactsError(ValueError):
    """`facts.yaml` cannot be used; the message says which entry and why."""


@dataclass(frozen=True)
class Figure:
    """A cited number."""

    value: float
    unit: str
    source: str


class Facts:
    """Cited figures by name, and what is published of each claim as an observation."""

    def __init__(self, document: Mapping[str, Mapping[str, object]]) -> None:
        """Raise `FactsError` for an entry that cites nothing known, or has no value."""
        self._sources = {name: str(text) for name, text in document["sources"].items()}
        self._figures = {name: self._read_figure(name, document) for name in document["figures"]}
        self._facts = {
            claim: self._read_fact(claim, entry) for claim, entry in document["facts"].items()
        }

    @property
    def claims(self) -> frozenset[str]:
        """Ids of the claims that something is published of."""
        return frozenset(self._facts)

    def of(self, claim: str) -> Observation | None:
        """Return what is published of a claim, or None."""
        return self._facts.get(claim)

    def figure(self, name: str) -> Figure:
        """Return a cited number; raise `FactsError` when there is none of that name."""
        if name not in self._figures:
            raise FactsError(f"no figure {name!r}; known: {', '.join(sorted(self._figures))}")
        return self._figures[name]

    def _read_figure(self, name: str, document: Mapping[str, Mapping[str, object]]) -> Figure:
        entry = document["figures"][name]
        if not isinstance(entry, dict):
            raise FactsError(f"figures.{name}: expected a mapping with value, unit and source")
        source = self._cite(f"figures.{name}", str(entry.get("source")))
        return Figure(float(entry["value"]), str(entry["unit"]), source)

    def _read_fact(self, claim: str, entry: object) -> Observation:
        where = f"facts.{claim}"
        if not isinstance(entry, dict):
            raise FactsError(f"{where}: expected a mapping")
        note = str(entry.get("note", ""))
        relation = SubjectRelation(entry.get("relation", SubjectRelation.EXACT))
        if "ratio" in entry:
            above, below = (self.figure(str(name)) for name in entry["ratio"])
            return Observation(
                value=Value(above.value / below.value, str(entry.get("unit", "1"))),
                relation=relation,
                basis=Basis.DERIVED,
                sources=tuple(dict.fromkeys((above.source, below.source))),
                note=note,
            )
        if "value" not in entry or not entry.get("sources"):
            raise FactsError(f"{where}: needs `value` and `sources`, or `ratio`")
        content = entry["value"]
        if not isinstance(content, bool | str):
            content = float(content)
        interval = Interval(entry["low"], entry["high"]) if "low" in entry else None
        return Observation(
            value=Value(content, str(entry.get("unit", ""))),
            relation=relation,
            basis=Basis(entry.get("basis", Basis.SOURCED)),
            interval=interval,
            sources=tuple(self._cite(where, str(name)) for name in entry["sources"]),
            note=note,
        )

    def _cite(self, where: str, name: str) -> str:
        if name not in self._sources:
            raise FactsError(
                f"{where}: no source {name!r}; known: {', '.join(sorted(self._sources))}"
            )
        return self._sources[name]


def packaged() -> Facts:
    """The facts that come with the ranker."""
    return Facts(yaml.safe_load((files(__package__) / "facts.yaml").read_bytes()))
