"""What publications say about the claims, with citations: `facts.yaml`, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import cast

from services.common.yaml_text import parse_yaml
from services.ranker.claims.bounds import Boolean, Interval, Text, Value
from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Basis, Claim, Source, SourceRole, SubjectRelation
from services.ranker.claims.sourcing import alternatives, values_in


class FactsError(ValueError):
    """`facts.yaml` cannot be used; the message says which entry and why."""


@dataclass(frozen=True)
class Figure:
    """A cited number."""

    value: float
    unit: str
    source: Source


class Facts:
    """Cited figures by name, and published values of each claim as observations."""

    def __init__(self, document: Mapping[str, Mapping[str, object]]) -> None:
        """Raise `FactsError` for an entry that cites an unknown source, or has no value."""
        self._sources = {
            name: self._read_source(name, entry) for name, entry in document["sources"].items()
        }
        self._figures = {name: self._read_figure(name, document) for name in document["figures"]}
        self._facts = {
            claim: self._read_fact(claim, entry) for claim, entry in document["facts"].items()
        }

    @property
    def claims(self) -> frozenset[str]:
        """Ids of the claims with published values."""
        return frozenset(self._facts)

    def of(self, claim: str) -> Observation | None:
        """Return a claim's published value as an observation, or None."""
        return self._facts.get(claim)

    def sources(self, claim: str) -> tuple[Source, ...]:
        """Return the sources of a claim's published value."""
        found = self.of(claim)
        return found.sources if found is not None else ()

    def figure(self, name: str) -> Figure:
        """Return a cited number; raise `FactsError` if the name is unknown."""
        if name not in self._figures:
            raise FactsError(f"no figure {name!r}; known: {', '.join(sorted(self._figures))}")
        return self._figures[name]

    @staticmethod
    def _read_source(name: str, entry: object) -> Source:
        try:
            found = Source(**entry)  # type: ignore[arg-type]
            return replace(found, role=SourceRole(found.role))
        except (TypeError, ValueError) as error:
            problem = f"sources.{name}: needs title and role, and may have locator, url and date"
            raise FactsError(f"{problem}: {error}") from error

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
            ratio = above.value / below.value
            cited = tuple(dict.fromkeys((above.source, below.source)))
            return Observation(
                value=Value(ratio, str(entry.get("unit", "1"))),
                relation=relation,
                basis=Basis.DERIVED,
                sources=tuple(replace(one, values=(ratio,)) for one in cited),
                note=note,
            )
        says = self._says(where, entry)
        content = says[0][1][0]
        numbers = sorted({one for _, values in says for one in values if not isinstance(one, str)})
        return Observation(
            value=Value(content, str(entry.get("unit", ""))),
            relation=relation,
            basis=Basis(entry.get("basis", Basis.SOURCED)),
            interval=Interval(numbers[0], numbers[-1]) if len(numbers) > 1 else None,
            sources=tuple(_saying(source, values) for source, values in says),
            note=note,
        )

    def _says(
        self, where: str, entry: Mapping[str, object]
    ) -> list[tuple[Source, tuple[float | str | bool, ...]]]:
        """What each source says: one `value` for all `sources`, or each its own under `says`."""
        says = entry.get("says")
        if isinstance(says, dict) and says:
            return [
                (self._cite(where, name), tuple(map(_content, values)))
                for name, values in says.items()
            ]
        sources = entry.get("sources")
        if "value" not in entry or not isinstance(sources, list) or not sources:
            raise FactsError(f"{where}: needs `value` and `sources`, `says` or `ratio`")
        return [(self._cite(where, str(name)), (_content(entry["value"]),)) for name in sources]

    def _cite(self, where: str, name: str) -> Source:
        if name not in self._sources:
            raise FactsError(
                f"{where}: no source {name!r}; known: {', '.join(sorted(self._sources))}"
            )
        return self._sources[name]


def quoted(claim: Claim) -> Observation | None:
    """What the sources quoted in a claim's own manifest say, or None if it quotes none."""
    says = [one for one in claim.sources if one.values or one.says is not None]
    if not says:
        return None
    first = says[0]
    bound = claim.bound
    unit = first.unit if bound is None or isinstance(bound, Text | Boolean) else bound.unit
    numbers = alternatives(says, unit)
    values = values_in(first, unit) or first.values
    return Observation(
        value=Value(values[0] if first.says is None else first.says, unit),
        relation=SubjectRelation.EXACT,
        basis=Basis.SOURCED,
        interval=Interval(numbers[0], numbers[-1]) if numbers else None,
        sources=tuple(says),
        declared=True,
    )


def _content(value: object) -> float | str | bool:
    return value if isinstance(value, bool | str) else float(str(value))


def _saying(source: Source, values: tuple[float | str | bool, ...]) -> Source:
    first = values[0]
    if isinstance(first, bool | str):
        return replace(source, says=first)
    return replace(source, values=tuple(float(one) for one in values))


@cache
def packaged() -> Facts:
    """The facts that come with the ranker. Read once: they never change."""
    document = parse_yaml((files(__package__) / "facts.yaml").read_bytes())
    return Facts(cast("Mapping[str, Mapping[str, object]]", document))
