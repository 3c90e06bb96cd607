"""Words and values as HTML; what comes from elsewhere is escaped."""

from __future__ import annotations

from html import escape


def words(name: str) -> str:
    """An enum's or a component's name as words."""
    return escape(name.replace("_", " ").lower())


def lines(text: str) -> str:
    """A text of several lines."""
    return escape(text).replace("\n", "<br>")
