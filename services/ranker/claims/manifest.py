"""Reads a manifest: a mapping as YAML gives it becomes an `Artifact` or a `Page`.

Pure. Problems are a `ManifestError` that names each one's place and what to write instead. Unknown
fields are refused: a misspelt `tolerence` must not silently become exactness.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import TypeVar

from services.ranker.claims.fields import Fields, ManifestError, gather
from services.ranker.claims.model import (
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


def parse(document: object, name: str) -> Artifact | Page:
    """Turn one YAML document into an artifact or a page. `name` is for messages.

    Raises `ManifestError`.
    """
    fields = Fields(document, name)
    try:
        kind = fields.one_of("kind", ("artifact", "page"))
        if fields.number("schema") != SCHEMA:
            raise fields.error("schema", f"this ranker reads manifests of schema {SCHEMA}")
        entry = _artifact(fields) if kind == "artifact" else _page(fields)
    except ManifestError as error:
        raise gather(*fields.problems, error) from error
    if fields.problems:
        raise gather(*fields.problems)
    return replace(entry, digest=_digest(document))


def _digest(document: object) -> str:
    """Digest of the manifest's content: comments and layout do not count."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _artifact(fields: Fields) -> Artifact:
    fields.only(
        "kind", "schema", "id", "name", "type", "description", "license", "pricing", "released",
        "published", "subject", "version", "capabilities", "claims",
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
        version=_version(fields) if fields.has("version") else 1,
    )


def _page(fields: Fields) -> Page:
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


def _version(fields: Fields) -> int:
    version = fields.number("version")
    if version != int(version) or not 1 <= version < 1 << 31:
        raise fields.error("version", "a version is a whole number from 1")
    return int(version)


def _day(fields: Fields, name: str) -> date:
    try:
        return date.fromisoformat(fields.text(name))
    except ValueError as error:
        raise fields.error(name, 'expected a day in quotes, like "2020-12-31"') from error


def _license(fields: Fields) -> License:
    fields.only("id", "name", "url", "research_only")
    return License(
        id=fields.text("id"),
        name=fields.text("name"),
        url=fields.text("url", ""),
        research_only=fields.truth("research_only", default=False),
    )


def _capability(fields: Fields) -> Capability:
    fields.only("id", "name", "description", *_CAPABILITY_LISTS)
    return Capability(
        fields.text("id"),
        fields.text("name"),
        fields.text("description"),
        **{name: fields.texts(name) for name in _CAPABILITY_LISTS},
    )


def _published(fields: Fields) -> PublishedScore:
    fields.only("value", "source", "components")
    parts = fields.nested("components")
    parts.only(*_COMPONENTS)
    bits = {name: int(parts.number(name)) for name in parts}
    for name, bit in bits.items():
        if bit not in (0, 1):
            raise parts.error(name, f"a printed component is 0 or 1, not {bit}")
    return PublishedScore(fields.number("value"), fields.text("source"), bits)


def _claim(fields: Fields, artifact: str) -> Claim:
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


def _undecidable(fields: Fields) -> Undecidable:
    fields.only("verdict", "reason")
    return Undecidable(Verdict(fields.one_of("verdict", _LEFT_OPEN)), fields.text("reason"))


def _cost(fields: Fields) -> Cost:
    fields.only("quick", "full")
    cost = Cost(fields.number("quick"), fields.number("full"))
    if not 0 <= cost.quick <= cost.full:
        raise fields.error("quick", "costs are seconds, 0 or more, and `full` is not below `quick`")
    return cost


def _bound(fields: Fields) -> Bound:
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


def _equals(fields: Fields, unit: str) -> Equals:
    fields.only("value", "tolerance")
    tolerance = fields.number("tolerance")
    if tolerance < 0:
        raise fields.error("tolerance", "a half-width is 0 or more")
    return Equals(fields.number("value"), tolerance, unit)


def _range(outer: Fields, kind: str, unit: str) -> Range | Ratio:
    fields = outer.nested(kind)
    fields.only("low", "high")
    low = fields.number("low") if fields.has("low") else None
    high = fields.number("high") if fields.has("high") else None
    if low is None and high is None:
        raise fields.error("low", "give `low`, `high` or both; without an end it allows anything")
    if low is not None and high is not None and low > high:
        raise fields.error("low", f"{low} is above `high`, {high}")
    return Range(low, high, unit) if kind == "range" else Ratio(low, high, unit)


def _unique(fields: Fields, name: str, parse_one: Callable[[Fields], T]) -> tuple[T, ...]:
    """Parse a list of mappings that each have an `id`; an id that comes twice is refused.

    What is wrong with one item is noted, and the next is read, so that all is told at once.
    """
    seen: set[str] = set()
    items = []
    for nested in fields.list_of(name):
        try:
            identifier = nested.text("id")
            if identifier in seen:
                raise nested.error("id", f"{identifier!r} is there twice; ids are unique")
            seen.add(identifier)
            items.append(parse_one(nested.named(identifier)))
        except ManifestError as error:
            fields.problems.append(error)
    return tuple(items)
