"""Counts with their nouns: one and many."""

from __future__ import annotations

import re
from typing import Final

# A plural noun that begins a unit: matches "bits per byte" and "pictures/s", but not "ms" or
# "loss".
_MANY: Final = re.compile(r"[a-z]{2,}(?<![isu])s(?![a-z])")


def plural(count: int, one: str, several: str = "") -> str:
    """A count with its noun: "1 claim", "2 claims"."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def with_unit(text: str, unit: str) -> str:
    """A number's text with its unit: "1 layer", "6 layers"; for the unit "1", a ratio: "1.09x"."""
    if not unit:
        return text
    if unit == "1":
        return f"{text}x"
    return f"{text} {_of_one(unit) if text == '1' else unit}"


def _of_one(unit: str) -> str:
    if unit.endswith(" that hold"):
        return f"{_of_one(unit.removesuffix(' that hold'))} that holds"
    many = _MANY.match(unit)
    if many is None:
        return unit
    word = many[0]
    ending = {"ies": "y", "sses": "ss"}
    one = next((word.removesuffix(e) + o for e, o in ending.items() if word.endswith(e)), word[:-1])
    return one + unit[many.end() :]
