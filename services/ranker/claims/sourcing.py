"""Two separate questions about a source: does a claim repeat it, and is the claim right.

Pure. A figure never confirms itself: its own authors' print shows only that a claim repeats them.
The thing itself (a configuration, a licence) or somebody else's measurement can confirm. For a
claim about a publication, what was published is itself the fact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from services.ranker.claims.bounds import Boolean, Bound, Text, ends, is_said
from services.ranker.claims.model import Aspect, Claim, Source, SourceRole, SourceVerdict
from services.ranker.claims.units import factor, half_a_digit

CITES = "sources."
"""Beginning of the names of methods that cite."""


def sourcing(claim: Claim) -> SourceVerdict:
    """Return whether a claim repeats what it cites, or what its own record and authors print.

    It may repeat any of several alternatives. Somebody else's measurement is not a source of the
    claim, nor is the page that states it: agreeing with itself shows nothing. One source that says
    it is enough, even if others are silent.
    """
    page = {_plain(one) for one in _stated_in(claim)}
    cited = [
        one
        for one in claim.sources
        if _is_of_it(one) and page.isdisjoint({_plain(one.title), _plain(one.url)} - {""})
    ]
    answers = {says(claim.bound, one) for one in cited} - {None}
    if not answers:
        silent = any(one.silent for one in cited)
        return SourceVerdict.UNSOURCED if silent else SourceVerdict.UNSPECIFIED
    return SourceVerdict.FAITHFUL if True in answers else SourceVerdict.MISQUOTED


def confirms(claim: Claim) -> bool:
    """Whether a citation can show that a claim is right, and not only that the claim repeats it."""
    if claim.declared:
        return False
    if claim.aspect is Aspect.PUBLICATION:
        return True
    others = (one for one in claim.sources if one.role is not SourceRole.OWN)
    return any(says(claim.bound, one) for one in others)


def alternatives(sources: Iterable[Source], unit: str) -> tuple[float, ...]:
    """Return the numbers that sources print, in a unit and in order; none if they print only one.

    Numbers in a unit that does not convert are left out.
    """
    found = sorted({value for one in sources for value in values_in(one, unit)})
    return tuple(found) if len(found) > 1 else ()


def values_in(source: Source, unit: str) -> tuple[float, ...]:
    """Return the numbers that a source prints, in a unit; none if its own does not convert."""
    if not source.unit or source.unit == unit:
        return source.values
    by = factor(source.unit, unit)
    return () if by is None else tuple(by * one for one in source.values)


def printed(number: float, unit: str, into: str) -> tuple[float, float]:
    """Return the range of a printed number in another unit: printing rounds it."""
    by = factor(unit, into)
    if by is None:
        return math.nan, math.nan
    half = half_a_digit(number)
    return by * (number - half), by * (number + half)


def _stated_in(claim: Claim) -> tuple[str, ...]:
    """Titles and addresses of the page that states the claim."""
    own = (claim.source.title, claim.source.url) if claim.source else ()
    return tuple(one for one in (*own, *claim.stated_in) if one)


def _plain(name: str) -> str:
    """A title or an address without irrelevant parts: case, scheme, fragment."""
    text = " ".join(name.casefold().split())
    address = re.fullmatch(r"https?://(?:www\.)?([^#]*)(?:#.*)?", text)
    return address[1].rstrip("/") if address else text


def _is_of_it(source: Source) -> bool:
    return source.role is not SourceRole.INDEPENDENT


def says(bound: Bound | None, source: Source) -> bool | None:
    """Return whether a source's value is within a bound; None if it does not compare."""
    if bound is None:
        return None
    if isinstance(bound, Text | Boolean):
        alike = type(bound.value) is type(source.says)
        return is_said(bound, source.says) if alike else None
    low, high = ends(bound)
    if not values_in(source, bound.unit):
        return None
    if not source.unit or source.unit == bound.unit:
        return any(low <= one <= high for one in source.values)
    # In another unit, a figure means its print plus or minus half of its last digit; so does one
    # that repeats it in the bound's unit.
    low, high = (end + side * _rounding(end) for end, side in ((low, -1), (high, 1)))
    reaches = (printed(one, source.unit, bound.unit) for one in source.values)
    return any(first <= high and last >= low for first, last in reaches)


def _rounding(end: float) -> float:
    """How far floating point may move an end."""
    return 0.0 if math.isinf(end) else 1e-12 * abs(end)
