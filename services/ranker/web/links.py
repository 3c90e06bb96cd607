"""Addresses of pages as seen from one page, and which foreign addresses become links."""

from __future__ import annotations

import re
from typing import Protocol
from urllib.parse import quote, urlsplit

_WITHOUT_SPACE = re.compile(r"[!-~]+")
_MAX_CHARACTERS = 2000


def outside(address: str) -> str:
    """An address that may be a link: http or https with a host; empty for any other."""
    if len(address) > _MAX_CHARACTERS or not _WITHOUT_SPACE.fullmatch(address):
        return ""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return ""
    return address if parts.scheme in {"http", "https"} and host else ""


class Links(Protocol):
    """Where pages are. An empty address: there is none, and its name is plain text."""

    def __hash__(self) -> int:
        """A hash, since drawn pages are cached by their links."""

    def index(self) -> str:
        """The first page."""

    def artifact(self, name: str) -> str:
        """An artifact's page."""

    def page(self, name: str) -> str:
        """A registered page's page."""

    def comparison(self, left: str, right: str) -> str:
        """The page of two artifacts."""

    def claim(self, reference: str) -> str:
        """The page of a claim, "OWNER/ID"."""

    def evidence(self, digest: str) -> str:
        """The page of a piece of evidence, "sha256:<hex>"."""

    def methodology(self) -> str:
        """The page of the methodology."""

    def search(self) -> str:
        """The page that searches."""

    def jobs(self) -> str:
        """The page of the verifications."""

    def job(self, name: str) -> str:
        """The page of a verification."""

    def trying(self) -> str:
        """The page that takes a picture or a text."""


class Nowhere:
    """A page that stands alone."""

    def index(self) -> str:
        """See `Links`."""
        return ""

    methodology = search = jobs = trying = index

    def artifact(self, name: str) -> str:  # noqa: ARG002  # as `Links` says
        """See `Links`."""
        return ""

    claim = evidence = job = page = artifact

    def comparison(self, left: str, right: str) -> str:  # noqa: ARG002  # as `Links` says
        """See `Links`."""
        return ""


class Served:
    """Pages of a server."""

    def __init__(self, *, trying: bool = False) -> None:
        """`trying`: whether it takes pictures and texts."""
        self._trying = trying

    def index(self) -> str:
        """See `Links`."""
        return "/"

    def artifact(self, name: str) -> str:
        """See `Links`."""
        return f"/artifacts/{quote(name, safe='')}"

    def page(self, name: str) -> str:
        """See `Links`."""
        return f"/pages/{quote(name, safe='')}"

    def comparison(self, left: str, right: str) -> str:
        """See `Links`."""
        return f"/comparisons/{quote(left, safe='')}/{quote(right, safe='')}"

    def claim(self, reference: str) -> str:
        """See `Links`."""
        return f"/claims/{quote(reference)}"

    def evidence(self, digest: str) -> str:
        """See `Links`."""
        return f"/evidence/{quote(digest, safe=':')}"

    def methodology(self) -> str:
        """See `Links`."""
        return "/methodology"

    def search(self) -> str:
        """See `Links`."""
        return "/search"

    def jobs(self) -> str:
        """See `Links`."""
        return "/verifications"

    def job(self, name: str) -> str:
        """See `Links`."""
        return f"/verifications/{quote(name, safe='')}"

    def trying(self) -> str:
        """See `Links`."""
        return "/try" if self._trying else ""


class Files:
    """Pages in a folder, as seen from one that lies `depth` folders down."""

    def __init__(self, depth: int, paths: frozenset[str]) -> None:
        """`paths` are those of the existing files: any other path is not a link."""
        self._up = "../" * depth
        self._paths = paths

    def _to(self, path: str) -> str:
        return self._up + quote(path) if path in self._paths else ""

    def index(self) -> str:
        """See `Links`."""
        return self._to("index.html")

    def artifact(self, name: str) -> str:
        """See `Links`."""
        return self._to(f"artifacts/{name}.html")

    def page(self, name: str) -> str:
        """See `Links`."""
        return self._to(f"pages/{name}.html")

    def comparison(self, left: str, right: str) -> str:
        """See `Links`. One file covers both orders."""
        first, second = sorted((left, right))
        return self._to(f"comparisons/{first}/{second}.html")

    def claim(self, reference: str) -> str:
        """See `Links`."""
        return self._to(f"claims/{reference}.html")

    def evidence(self, digest: str) -> str:
        """See `Links`."""
        return self._to(f"evidence/{digest.removeprefix('sha256:')}.html")

    def methodology(self) -> str:
        """See `Links`."""
        return self._to("methodology.html")

    def search(self) -> str:
        """See `Links`. There is no server to answer."""
        return ""

    jobs = trying = search

    def job(self, name: str) -> str:  # noqa: ARG002  # as `Links` says
        """See `Links`. There is no server to answer."""
        return ""
