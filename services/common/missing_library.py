"""A library that is not installed, as an error of the command line and not of the contract."""

from __future__ import annotations

from services.errors import Unavailable


class MissingLibrary(Unavailable):
    """A library that comes with an extra is not installed."""
