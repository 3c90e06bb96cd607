"""Units that express the same thing by other numbers: bytes, times, shares, thousands, millions.

Pure. A unit that no factor converts is of another kind, and is refused where it is stated.
"""

from __future__ import annotations

import math
import re

_EXACT: dict[str, tuple[str, float]] = {
    "": ("1", 1.0),
    "1": ("1", 1.0),
    "share": ("1", 1.0),
    "%": ("1", 0.01),
    "percent": ("1", 0.01),
    "s": ("s", 1.0),
    "ms": ("s", 1e-3),
    "us": ("s", 1e-6),
    "\u00b5s": ("s", 1e-6),  # the sign of micro, and the Greek letter
    "\u03bcs": ("s", 1e-6),
    "min": ("s", 60.0),
    "h": ("s", 3600.0),
    "bit": ("byte", 0.125),
    "bits per byte": ("bits per byte", 1.0),
    "nats per byte": ("bits per byte", 1 / math.log(2)),
    "fps": ("pictures/s", 1.0),
    "images/s": ("pictures/s", 1.0),
}
_EXACT |= dict.fromkeys(("B", "byte", "bytes"), ("byte", 1.0))
_EXACT |= {
    f"{prefix}{binary}B": ("byte", float((1024 if binary else 1000) ** power))
    for power, prefixes in enumerate(("kK", "M", "G", "T", "P"), 1)
    for prefix in prefixes
    for binary in ("", "i")
}
_MANY = {
    "thousand": 1e3, "k": 1e3, "K": 1e3,
    "million": 1e6, "M": 1e6,
    "billion": 1e9, "B": 1e9, "G": 1e9,
    "trillion": 1e12, "T": 1e12,
}  # fmt: skip
_COUNTED = re.compile(r"(thousand|million|billion|trillion|[kKMBGT])s? (?:of )?(\S.*)")


def _read(unit: str) -> tuple[str, float]:
    """What a unit measures, and its size."""
    plain = " ".join(unit.split())
    if plain in _EXACT:
        return _EXACT[plain]
    if many := _COUNTED.fullmatch(plain):
        base, factor = _read(many[2])
        return base, factor * _MANY[many[1]]
    if over := re.fullmatch(r"(\S.*)/(ms|s|min|h)", plain):
        base, factor = _read(over[1])
        kind = _EXACT.get(f"{base}/s", (f"{base}/s", 1.0))
        return kind[0], factor * kind[1] / _EXACT[over[2]][1]
    return plain, 1.0


def factor(unit: str, into: str) -> float | None:
    """Return the factor from one unit to another; None if there is none."""
    measures, one = _read(unit)
    wanted, other = _read(into)
    if measures != wanted:
        return None
    # Powers of ten are exact as numbers but not as reciprocals.
    return 1.0 if one == other else one / other


def half_a_digit(number: float) -> float:
    """Return half a step of a number's last printed digit: 0.05 for 3.2."""
    if isinstance(number, int):
        return 0.5
    digits = repr(float(number)).partition("e")
    decimals = len(digits[0].partition(".")[2]) - int(digits[2] or 0)
    return float(0.5 * 10.0**-decimals)
