"""URLs of objects: recognised, joined, and shown without the secrets in them."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def is_url(location: str) -> bool:
    """Whether `location` is a URL of any protocol and not a path."""
    return "://" in location


def join(url: str, *names: str) -> str:
    """Name an object below a folder; a query (a token, say) stays at the end."""
    parts = urlsplit(url)
    path = "/".join((parts.path.rstrip("/"), *names))
    return urlunsplit(parts._replace(path=path, fragment=""))


def sibling(url: str, name: str) -> str:
    """Name the object `name` in the folder of the object at `url`."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rpartition('/')[0]}/{name}", fragment=""))


def names(url: str) -> list[str]:
    """Return the parts of a URL's path: folders, then the object."""
    return [part for part in urlsplit(url).path.split("/") if part]


def shown(url: str) -> str:
    """Return a URL for messages and logs: without user, password and query."""
    parts = urlsplit(url)
    host, query = parts.netloc.rpartition("@")[2], "..." if parts.query else ""
    return urlunsplit(parts._replace(netloc=host, query=query, fragment=""))
