"""Values and bounds in words, for the reasons of verdicts. Pure."""

from __future__ import annotations

import math

from services.common.counts import with_unit
from services.ranker.claims.bounds import Boolean, Bound, Equals, Interval, Text, Value, ends

_NOTHING = 1e-300
"""Numbers nearer to 0 than this are only said to differ from 0."""


def allowed(bound: Bound) -> str:
    """What a bound allows, in words."""
    if isinstance(bound, Text):
        return f'"{bound.value}"'
    if isinstance(bound, Boolean):
        return "as claimed" if bound.value else "not as claimed"
    if isinstance(bound, Equals):
        give = f" ± {figure(bound.tolerance)}" if bound.tolerance else ""
        return with_unit(f"{figure(bound.value)}{give}", bound.unit)
    low, high = ends(bound)
    if math.isinf(low):
        return f"at most {with_unit(figure(high), bound.unit)}"
    if math.isinf(high):
        return f"at least {with_unit(figure(low), bound.unit)}"
    return with_unit(f"{figure(low)} to {figure(high)}", bound.unit)


def show(value: Value, interval: Interval | None = None) -> str:
    """Show a value to a reader, with its interval if that is wider than a point."""
    content = value.content
    if isinstance(content, bool):
        return "yes" if content else "no"
    if isinstance(content, str):
        return f'"{content}"'
    text = figure(content)
    if value.unit == "1":  # the sign follows the number, whatever its interval
        text = with_unit(text, value.unit)
    if interval is not None and interval.low <= 0 and math.isinf(interval.high):
        text += " (no bounds)"
    elif interval is not None and math.isinf(interval.low) != math.isinf(interval.high):
        end = f"most {figure(interval.high)}"
        if math.isinf(interval.high):
            end = f"least {figure(interval.low)}"
        text += f" (at {end})"
    elif interval is not None and interval.low < interval.high:
        text += f" (from {figure(interval.low)} to {figure(interval.high)})"
    return text if value.unit == "1" else with_unit(text, value.unit)


def figure(value: float) -> str:
    """A number for readers: whole numbers in full, others to four significant figures."""
    if math.isinf(value):
        return "any"
    if abs(value) < _NOTHING:
        return "0"
    whole = float(value).is_integer() or 1e4 <= abs(value) < 1e15
    return f"{value:,.0f}" if whole else f"{value:,.4g}"
