"""Reads a manifest: a mapping as YAML gives it becomes an `Artifact` or a `Page`.

Pure. Every problem is a `ManifestError` that names the manifest, the field and what to write
instead. Unknown fields are refused: a misspelt `tolerence` must not silently become exactness.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TypeVar

from services.ranker.model import (
    Artifact,
    ArtifactType,
    Aspect,
    Boolean,
    Bound,
    Capability,
    Claim,
    Cost,
    Equals,
    License,
    Page,
    PublishedScore,
    Range,
    Ratio,
    Text,
    Undecidable,
    Verdict,
)

SCHEMA = 1
_COMPONENTS = ("adoption", "quality", "ecosystem", "match_graph")
_BOUNDS = ("equals", "range", "ratio", "text", "boolean")
_CAPABILITY_LISTS = (
    "intents", "best_for", "limitations", "requires", "inputs", "outputs", "categories", "tags",
)  # fmt: skip
_LEFT_OPEN = (Verdict.NOT_TESTABLE_HERE, Verdict.UNDERSPECIFIED)

T = TypeVar("T")


class ManifestError(ValueError):
    """A manifest that cannot be used; the message says where, what and what to do."""


def parse(document: object, name: str) -> Artifact | Page:
    """Turn one YAML document into an artifact or a page. `name` is for messages.

    Raises `ManifestError`.
    """
    fields = _Fields(document, name)
    kind = fields.one_of("kind", ("artifact", "page"))
    if fields.number("schema") != SCHEMA:
        raise fields.error("schema", f"this ranker reads manifests of schema {SCHEMA}")
    entry = _artifact(fields) if kind == "artifact" else _page(fields)
    return replace(entry, digest=_digest(document))


def _digest(document: object) -> str:
    """Digest of the manifest's content: comments and layout do not count."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _artifact(fields: _Fields) -> Artifact:
    fields.only(
        "kind", "schema", "id", "name", "type", "description", "license", "pricing", "released",
        "published", "subject", "capabilities", "claims",
    )  # fmt: skip
    identifier = fields.text("id")
    return Artifact(
        id=identifier,
        name=fields.text("name"),
        type=ArtifactType(fields.one_of("type", tuple(ArtifactType))),
        description=fields.text("description"),
        license=_license(fields.nested("license")),
        pricing=fields.text("pricing"),
        capabilities=_unique(fields, "capabilities", _capability),
        claims=_unique(fields, "claims", lambda nested: _claim(nested, identifier)),
        published=_published(fields.nested("published")) if fields.has("published") else None,
        digest="",
        subject=fields.text("subject", ""),
        released=_day(fields, "released") if fields.has("released") else None,
    )


def _page(fields: _Fields) -> Page:
    fields.only("kind", "schema", "id", "name", "description", "compares", "printed", "claims")
    identifier = fields.text("id")
    printed = fields.nested("printed")
    rows = {artifact: printed.nested(artifact) for artifact in printed}
    return Page(
        id=identifier,
        name=fields.text("name"),
        description=fields.text("description"),
        compares=fields.texts("compares"),
        printed={artifact: {row: cells.number(row) for row in cells} for artifact, cells in
                 rows.items()},
        claims=_unique(fields, "claims", lambda nested: _claim(nested, identifier)),
        digest="",
    )  # fmt: skip


def _day(fields: _Fields, name: str) -> date:
    try:
        return date.fromisoformat(fields.text(name))
    except ValueError as error:
        raise fields.error(name, 'expected a day in quotes, like "2020-12-31"') from error


def _license(fields: _Fields) -> License:
    fields.only("id", "name", "url", "research_only")
    return License(
        id=fields.text("id"),
        name=fields.text("name"),
        url=fields.text("url", ""),
        research_only=fields.truth("research_only", default=False),
    )


def _capability(fields: _Fields) -> Capability:
    fields.only("id", "name", "description", *_CAPABILITY_LISTS)
    return Capability(
        fields.text("id"),
        fields.text("name"),
        fields.text("description"),
        **{name: fields.texts(name) for name in _CAPABILITY_LISTS},
    )


def _published(fields: _Fields) -> PublishedScore:
    fields.only("value", "source", "components")
    parts = fields.nested("components")
    parts.only(*_COMPONENTS)
    bits = {name: int(parts.number(name)) for name in parts}
    for name, bit in bits.items():
        if bit not in (0, 1):
            raise parts.error(name, f"a printed component is 0 or 1, not {bit}")
    return PublishedScore(fields.number("value"), fields.text("source"), bits)


def _claim(fields: _Fields, artifact: str) -> Claim:
    fields.only(
        "id", "statement", "aspect", "group", "bound", "method", "scope", "comparator",
        "contradicts", "undecidable", "needs", "cost",
    )  # fmt: skip
    claim = Claim(
        id=fields.text("id"),
        artifact=artifact,
        statement=fields.text("statement"),
        aspect=Aspect(fields.one_of("aspect", tuple(Aspect))),
        group=fields.text("group"),
        bound=_bound(fields.nested("bound")) if fields.has("bound") else None,
        method=fields.text("method", ""),
        scope=fields.text("scope", ""),
        comparator=fields.text("comparator", ""),
        contradicts=fields.texts("contradicts"),
        undecidable=_undecidable(fields.nested("undecidable")) if fields.has("undecidable")
        else None,
        needs=fields.text("needs", ""),
        cost=_cost(fields.nested("cost")) if fields.has("cost") else Cost(),
    )  # fmt: skip
    if claim.undecidable is None and (claim.bound is None or not claim.method):
        raise fields.error(
            "bound" if claim.bound is None else "method",
            "a claim has a bound and a method, or says under `undecidable` why it cannot",
        )
    return claim


def _undecidable(fields: _Fields) -> Undecidable:
    fields.only("verdict", "reason")
    return Undecidable(Verdict(fields.one_of("verdict", _LEFT_OPEN)), fields.text("reason"))


def _cost(fields: _Fields) -> Cost:
    fields.only("quick", "full")
    cost = Cost(fields.number("quick"), fields.number("full"))
    if not 0 <= cost.quick <= cost.full:
        raise fields.error("quick", "costs are seconds, 0 or more, and `full` is not below `quick`")
    return cost


def _bound(fields: _Fields) -> Bound:
    fields.only(*_BOUNDS, "unit")
    given = [kind for kind in _BOUNDS if fields.has(kind)]
    if len(given) != 1:
        raise fields.error(", ".join(given) or "(empty)", f"write exactly one of {list(_BOUNDS)}")
    kind = given[0]
    if kind in ("text", "boolean"):
        if fields.has("unit"):
            raise fields.error("unit", f"a {kind} has no unit; take it out")
        return Text(fields.text(kind)) if kind == "text" else Boolean(fields.truth(kind))
    if not fields.has("unit"):
        raise fields.error("unit", 'a number and its tolerance need a unit; "1" for a pure number')
    unit = fields.text("unit")
    return _equals(fields.nested(kind), unit) if kind == "equals" else _range(fields, kind, unit)


def _equals(fields: _Fields, unit: str) -> Equals:
    fields.only("value", "tolerance")
    tolerance = fields.number("tolerance")
    if tolerance < 0:
        raise fields.error("tolerance", "a half-width is 0 or more")
    return Equals(fields.number("value"), tolerance, unit)


def _range(outer: _Fields, kind: str, unit: str) -> Range | Ratio:
    fields = outer.nested(kind)
    fields.only("low", "high")
    low = fields.number("low") if fields.has("low") else None
    high = fields.number("high") if fields.has("high") else None
    if low is None and high is None:
        raise fields.error("low", "give `low`, `high` or both; without an end it allows anything")
    if low is not None and high is not None and low > high:
        raise fields.error("low", f"{low} is above `high`, {high}")
    return Range(low, high, unit) if kind == "range" else Ratio(low, high, unit)


def _unique(fields: _Fields, name: str, parse_one: Callable[[_Fields], T]) -> tuple[T, ...]:
    """Parse a list of mappings that each have an `id`; an id that comes twice is refused."""
    seen: set[str] = set()
    items = []
    for nested in fields.list_of(name):
        identifier = nested.text("id")
        if identifier in seen:
            raise nested.error("id", f"{identifier!r} is there twice; ids are unique")
        seen.add(identifier)
        items.append(parse_one(nested.named(identifier)))
    return tuple(items)


class _Fields:
    """Typed access to one mapping of a manifest, with errors that say where in it."""

    def __init__(self, document: object, where: str) -> None:
        if not isinstance(document, Mapping):
            raise ManifestError(f"{where}: expected a mapping, got {_describe(document)}")
        for key in document:
            if not isinstance(key, str):
                raise ManifestError(f"{where}: the key {key!r} is no text; put it in quotes")
        self._document: Mapping[str, object] = document
        self._where = where

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def named(self, name: str) -> _Fields:
        """The same mapping, named in messages by its id instead of its place in a list."""
        return _Fields(self._document, self._where.rsplit("[", 1)[0] + f"[{name}]")

    def error(self, name: str, problem: str) -> ManifestError:
        return ManifestError(f"{self._where}.{name}: {problem}")

    def only(self, *known: str) -> None:
        """Refuse fields that are not in `known`."""
        for name in self._document:
            if name not in known:
                raise self.error(name, f"unknown field; known: {', '.join(known)}")

    def has(self, name: str) -> bool:
        return name in self._document

    def _get(self, name: str) -> object:
        if name not in self._document:
            raise self.error(name, "missing; it is required")
        return self._document[name]

    def text(self, name: str, default: str | None = None) -> str:
        if default is not None and name not in self._document:
            return default
        value = self._get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.error(name, f"expected a text that is not empty, got {_describe(value)}")
        return value.strip()

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._document.get(name, [])
        if not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
            raise self.error(name, f"expected a list of texts, got {_describe(value)}")
        return tuple(value)

    def number(self, name: str) -> float:
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(name, f"expected a number, got {_describe(value)}")
        if not -1e300 < value < 1e300:
            raise self.error(name, f"expected a finite number, got {value}")
        return value

    def truth(self, name: str, *, default: bool | None = None) -> bool:
        if default is not None and name not in self._document:
            return default
        value = self._get(name)
        if not isinstance(value, bool):
            raise self.error(name, f"expected true or false, got {_describe(value)}")
        return value

    def one_of(self, name: str, known: Iterable[str]) -> str:
        value = self._get(name)
        names = [str(one) for one in known]
        if value not in names:
            raise self.error(name, f"{value!r} is not one of {', '.join(names)}")
        return str(value)

    def nested(self, name: str) -> _Fields:
        return _Fields(self._get(name), f"{self._where}.{name}")

    def list_of(self, name: str) -> list[_Fields]:
        value = self._get(name)
        if not isinstance(value, list):
            raise self.error(name, f"expected a list, got {_describe(value)}")
        return [_Fields(one, f"{self._where}.{name}[{place}]") for place, one in enumerate(value)]


def _describe(value: object) -> str:
    """A value for a message, cut short."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
