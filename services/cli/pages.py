"""Whether pages can be made here: their template library comes with the extra `page`."""

from __future__ import annotations

from importlib.util import find_spec

from services.cli.extras import install
from services.common.missing_library import MissingLibrary


def templates(what: str) -> None:
    """Raises MissingLibrary, which says what needs the library, if it is not installed."""
    if find_spec("jinja2") is None:
        raise MissingLibrary(
            f"{what} needs jinja2, which comes with the extra page: {install('page')}"
        )
