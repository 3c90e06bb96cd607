"""A picture or a text of the reader's own: labels with shares, bits per byte in colours."""

from __future__ import annotations

from starlette.routing import BaseRoute

from services.ranker.web.links import Links

TEXT_PATH = "/try/text"


class Trying:
    """Placeholder until the form is built."""

    def routes(self, links: Links) -> list[BaseRoute]:  # noqa: ARG002
        """Routes of the forms."""
        return []
