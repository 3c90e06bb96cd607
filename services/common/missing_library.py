"""The error of a library that is not installed; belongs to the command line, not the contract."""

from __future__ import annotations

from services.errors import Unavailable


class MissingLibrary(Unavailable):
    """A library that comes with an extra is not installed."""
