"""Shares as percentages, always written "64 %", with a blank before the sign."""

from __future__ import annotations


def percent(share: float, digits: int = 0, *, sign: str = "") -> str:
    """A share of 1 in percent: 0.6423 with 1 digit is "64.2 %". `sign` "+" shows a plus as well."""
    return f"{share:{sign}.{digits}%}".replace("%", " %")
