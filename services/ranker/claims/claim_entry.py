"""A claim as written in a manifest: with its bound, its comparator and its citations.

Pure. Checks the claim alone; `services.ranker.claims.fitting` checks whether it fits its method.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BeforeValidator

from services.errors import Violation
from services.ranker.claims import bounds, model
from services.ranker.claims.fields import (
    AspectName,
    ClaimId,
    Date,
    Digest,
    Id,
    Number,
    Part,
    Says,
    String,
    Strings,
)
from services.ranker.claims.model import Source
from services.ranker.claims.sourcing import CITES, says
from services.ranker.claims.units import factor


class _Equals(Part):
    value: Number
    tolerance: Number

    def problems(self) -> Iterator[Violation]:
        if self.tolerance < 0:
            yield "tolerance", f"is {self.tolerance}; a half-width is 0 or more"


class _Range(Part):
    low: Number | None = None
    high: Number | None = None

    def problems(self) -> Iterator[Violation]:
        if self.low is None and self.high is None:
            yield "low", "give `low`, `high` or both; without an end it allows anything"
        if self.low is not None and self.high is not None and self.low > self.high:
            yield "low", f"{self.low} is above `high`, {self.high}"


class _Bound(Part):
    equals: _Equals | None = None
    range: _Range | None = None
    ratio: _Range | None = None
    text: String | None = None
    boolean: bool | None = None
    unit: String | None = None

    def problems(self) -> Iterator[Violation]:
        kinds = [name for name in type(self).model_fields if name != "unit"]
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) != 1:
            yield (
                given[-1] if given else kinds[0],
                f"write exactly one of {', '.join(kinds)}",
            )
        elif given[0] in ("text", "boolean"):
            if self.unit is not None:
                yield "unit", f"a {given[0]} has no unit; take it out"
        elif self.unit is None:
            yield "unit", 'a number and its tolerance need a unit; "1" for a pure number'

    def bound(self) -> bounds.Bound:
        unit = self.unit or ""
        if self.equals is not None:
            return bounds.Equals(self.equals.value, self.equals.tolerance, unit)
        if self.range is not None:
            return bounds.Range(self.range.low, self.range.high, unit)
        if self.ratio is not None:
            return bounds.Ratio(self.ratio.low, self.ratio.high, unit)
        return bounds.Boolean(bool(self.boolean)) if self.text is None else bounds.Text(self.text)


class _Undecidable(Part):
    verdict: Literal["NOT_TESTABLE_HERE", "UNDERSPECIFIED"]
    reason: String


class _Cost(Part):
    quick: Number
    full: Number

    def problems(self) -> Iterator[Violation]:
        if not 0 <= self.quick <= self.full:
            yield "quick", "costs are seconds, 0 or more, and `full` is not below `quick`"


class _Comparator(Part):
    artifact: Id | None = None
    name: String = ""

    def problems(self) -> Iterator[Violation]:
        if not self.artifact and not self.name:
            yield "name", "name what it compares with, or the registered `artifact`"


class SourceEntry(Part):
    """A citation: where it is printed, and what it says, or that it is silent on the claim."""

    title: String
    locator: String = ""
    url: String = ""
    quote: String = ""
    date: Date | None = None
    digest: Digest | None = None
    says: Says = None
    unit: String = ""
    silent: bool = False

    def problems(self) -> Iterator[Violation]:
        """Yield errors: a unit without a value, or silence of a source with a value."""
        if self.silent and self.says is not None:
            yield (
                "silent",
                "means that the source does not say it, but `says` is given; remove one of the two",
            )
        if self.unit and not isinstance(self.says, tuple):
            yield "unit", "belongs to a number, but `says` is not a number"

    def source(self) -> model.Source:
        """Return the entry as the value that claims have."""
        says = self.says
        return model.Source(
            **{
                **dict(self),
                "date": self.date or "",
                "digest": self.digest or "",
                "values": says if isinstance(says, tuple) else (),
                "says": says if isinstance(says, bool | str) else None,
            }
        )


def _mapped(key: str) -> BeforeValidator:
    """Accept a text in place of a mapping that has the text under one key."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class _Dataset(Part):
    name: String
    digest: Digest | None = None


class ClaimEntry(Part):
    """A claim of an artifact's manifest."""

    id: ClaimId
    statement: String
    aspect: AspectName | None = None
    group: String = ""
    bound: _Bound | None = None
    method: String = ""
    scope: String = ""
    hardware: String = ""
    engine: String = ""
    dataset: Annotated[_Dataset, _mapped("name")] | None = None
    comparator: Annotated[_Comparator, _mapped("name")] | None = None
    quote: String = ""
    source: SourceEntry | None = None
    sources: tuple[SourceEntry, ...] = ()
    subset: String = ""
    contradicts: Strings = ()
    undecidable: _Undecidable | None = None
    needs: String = ""
    cost: _Cost | None = None

    def problems(self) -> Iterator[Violation]:
        """Yield what is missing, or of another kind than the claim's bound."""
        if not self.method or self.method.startswith(CITES):
            for key in ("aspect", "group"):
                if not getattr(self, key):
                    yield key, "is missing; only a method that measures says it itself"
        for index, one in enumerate(self.sources):
            if problem := _unlike(self.bound, one.says):
                yield f"sources[{index}].says", problem
            elif problem := _other_unit(self.bound, one):
                yield f"sources[{index}].unit", problem
        if self.undecidable is None and (self.bound is None or not self.method):
            yield (
                "bound" if self.bound is None else "method",
                "a claim has a bound and a method, or says under `undecidable` why it cannot",
            )

    def claim(self, *, artifact: str = "", page: str = "") -> model.Claim:
        """Return the claim, of an artifact or a page, as its author wrote it."""
        undecidable = self.undecidable
        changed = {
            "aspect": self.aspect or model.Aspect.PUBLICATION,
            "stated_aspect": self.aspect,
            "stated_group": self.group,
            "bound": self.bound.bound() if self.bound else None,
            "undecidable": model.Undecidable(model.Verdict(undecidable.verdict), undecidable.reason)
            if undecidable
            else None,
            "cost": model.Cost(**dict(self.cost)) if self.cost else model.Cost(),
            "comparator": self.comparator.name or self.comparator.artifact or ""
            if self.comparator
            else "",
            "rival": (self.comparator.artifact or "") if self.comparator else "",
            "dataset": self.dataset.name if self.dataset else "",
            "dataset_digest": (self.dataset.digest or "") if self.dataset else "",
            "source": self.source.source() if self.source else None,
            "sources": tuple(one.source() for one in self.sources),
            "declared": bool(self.sources),
        }
        return model.Claim(**{**dict(self), **changed, "artifact": artifact, "page": page})


class PageClaimEntry(ClaimEntry):
    """A claim of a page: about one of its artifacts, or about the page itself."""

    artifact: Id | None = None


_CONFUSED = (
    *("B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"),
    *("share", "%", "s", "ms", "us", "min", "h", "bits per byte", "nats per byte"),
)
_TIMES = ("thousand", "million", "billion", "trillion")


def _other_unit(bound: _Bound | None, source: SourceEntry) -> str:
    """Why a source's unit does not compare with the bound's, or may be ambiguous."""
    if bound is None or not bound.unit or not isinstance(source.says, tuple):
        return ""
    if source.unit:
        if factor(source.unit, bound.unit) is None:
            return f"{source.unit!r} does not convert to the bound's unit, {bound.unit!r}"
        return ""
    cited = Source("", values=source.says)
    held = bound.bound()
    if says(held, cited):
        return ""
    alike = [one for one in _CONFUSED if factor(one, bound.unit)]
    many = [f"{one} {bound.unit}" for one in _TIMES]
    meant = [one for one in (*alike, *many) if says(held, replace(cited, unit=one))]
    if not meant or bound.unit in meant:
        return ""
    return (
        f"is missing, so {bound.unit!r} is assumed, in which the claim misquotes its source; "
        f"in {' or '.join(map(repr, meant))} it does not. Write the unit that the source prints"
    )


def _unlike(bound: _Bound | None, says: tuple[float, ...] | str | bool | None) -> str:
    """Why a source's value does not compare with a bound; empty if it does."""
    if bound is None or says is None:
        return ""
    for kind, given, written in (
        (bool, bound.boolean, "true or false"),
        (str, bound.text, "a text"),
    ):
        if (given is not None) != isinstance(says, kind):
            wanted = written if given is not None else "a number or a list of numbers"
            return f"{says!r:.60} is of another kind than the bound; write {wanted}"
    return ""
