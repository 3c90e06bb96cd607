"""A licence, as data."""

from __future__ import annotations

from dataclasses import dataclass

UNSTATED = "unstated"
"""Id used if nobody has stated a licence."""
UNSTATED_WEIGHTS = "LicenseRef-Unknown"
"""Id used if nobody has stated a licence of weights."""
UNREAD_WEIGHTS = "LicenseRef-Checkpoint"
"""Id of weights whose licence text is not recognised."""


@dataclass(frozen=True)
class License:
    """A licence: an SPDX id or a short name, the full name, and the URL of the text.

    `research_only` means that it allows only research and evaluation.
    """

    id: str
    name: str = ""
    url: str = ""
    research_only: bool = False
