"""A licence, as data."""

from __future__ import annotations

from dataclasses import dataclass

UNSTATED = "unstated"
"""The id where nobody has stated a licence."""
UNSTATED_WEIGHTS = "LicenseRef-Unknown"
"""That of weights."""
UNREAD_WEIGHTS = "LicenseRef-Checkpoint"
"""The id of weights with a licence text that is none of those that are recognised."""


@dataclass(frozen=True)
class License:
    """An SPDX id or a short name, the full name, and the URL of the text.

    `research_only` says that it allows research and evaluation alone.
    """

    id: str
    name: str = ""
    url: str = ""
    research_only: bool = False
