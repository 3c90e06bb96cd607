"""Reads objects through fsspec: what they are, ranges of them, and what a folder lists.

Every error raised here is one of `services.errors`, and names the object without the secrets in its
URL.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from services.corpus.storage.urls import join, shown
from services.errors import AssayError, NotFound, PreconditionFailed, Unavailable

T = TypeVar("T")

_PACKAGES = {
    "https": "the extra object-storage",
    "http": "the extra object-storage",
    "s3": "the package s3fs beside the extra object-storage",
    "gs": "the package gcsfs beside the extra object-storage",
}
# What stores call the version of an object, best first.
_VERSIONS = ("ETag", "etag", "generation", "Last-Modified", "LastModified", "updated", "mtime")
_CONNECT_TIMEOUT_SECONDS = 10
_READ_TIMEOUT_SECONDS = 30
_NOT_FOUND = 404
# At the level debug they log URLs, and some of them headers.
_LOG_SECRETS = ("fsspec", "s3fs", "gcsfs", "aiobotocore", "botocore")
# Client errors that a retry can cure: a request that timed out, and too many of them.
_RETRIED_STATUSES = frozenset({408, 429})


class ObjectNotFound(NotFound):
    """There is no object at a URL."""

    def __init__(self, url: str) -> None:
        super().__init__("object", shown(url), ())
        self.args = (f"{shown(url)}: there is no such object",)


@dataclass(frozen=True)
class ObjectState:
    """Size of an object in bytes, and its version as the store names it (an ETag, say)."""

    bytes: int
    version: str


@dataclass(frozen=True)
class Retries:
    """How often a request is tried, and the seconds before the second try, then twice that."""

    tries: int = 5
    first_wait: float = 0.2


RETRIES = Retries()


class Objects:
    """Objects by URL, of every protocol. Blocks; safe to share between threads.

    A request that the network or the store fails is tried again within `retries`; `stop` ends the
    waiting. Raises, all of them naming the URL: ObjectNotFound; PreconditionFailed where the store
    refuses or a package is missing; Unavailable where trying again later may help.
    """

    def __init__(self, retries: Retries = RETRIES) -> None:
        self._retries = retries
        self._stopped = threading.Event()
        self._systems: dict[str, Any] = {}
        self._lock = threading.Lock()

    def stop(self) -> None:
        """End every wait for another try."""
        self._stopped.set()

    def state(self, url: str) -> ObjectState:
        """Look what an object is now."""
        info = self._try(url, lambda system: system.info(url))
        if info.get("type") != "file":
            raise ObjectNotFound(url)
        if info.get("size") is None:
            raise PreconditionFailed(f"{shown(url)}: its server does not say how large it is")
        version = next((str(info[name]) for name in _VERSIONS if info.get(name)), "")
        return ObjectState(int(info["size"]), version)

    def read(self, url: str, offset: int, size: int, *, of: int) -> bytes:
        """Read a range of an object of `of` bytes; shorter where it has become shorter."""

        def request(system: Any) -> bytes:
            data: bytes
            if not _is_http(url):
                # By name: s3fs has another parameter in between.
                data = system.cat_file(url, start=offset, end=offset + size)
                return data
            # Unlike cat_file, it does not take a whole object for a range of it.
            with system.open(url, "rb", block_size=size, cache_type="none", size=of) as file:
                file.seek(offset)
                try:
                    data = file.read(size)
                except ValueError:
                    raise PreconditionFailed(
                        f"{shown(url)}: its server sends whole objects and no ranges of them; "
                        "serve it with one that does"
                    ) from None
            return data

        return self._try(url, request) if size else b""

    def names(self, folder: str) -> list[str]:
        """List what a folder holds by name; nothing where there is no folder."""
        url = join(folder, "")
        try:
            found = self._try(url, lambda system: system.ls(url, detail=False))
        except ObjectNotFound:
            return []
        return sorted({name.rstrip("/").rpartition("/")[2].partition("?")[0] for name in found})

    def below(self, folder: str) -> list[str]:
        """List all objects in and below a folder, by their names relative to it, in order.

        Raises ObjectNotFound if there is none.
        """
        url = join(folder, "")

        def request(system: Any) -> list[str]:
            start = system._strip_protocol(url).partition("?")[0].rstrip("/") + "/"
            names = (name.partition("?")[0] for name in system.find(url))
            return sorted({name.removeprefix(start) for name in names if name != start})

        found = self._try(url, request)
        if not found:
            raise ObjectNotFound(url)
        return found

    def _try(self, url: str, request: Callable[[Any], T]) -> T:
        system, wait = self._system(url), self._retries.first_wait
        for left in reversed(range(self._retries.tries)):
            try:
                return request(system)
            except AssayError:
                raise
            # The packages raise errors of any class, whose text may have the URL in it.
            except Exception as error:  # noqa: BLE001
                problem = _problem(url, error)
            if not left or not isinstance(problem, Unavailable):
                raise problem
            # Jitter, so that requests that failed together are not repeated together.
            if self._stopped.wait(wait * random.uniform(0.5, 1)):  # noqa: S311
                break
            wait *= 2
        raise Unavailable("the server is shutting down")

    def _system(self, url: str) -> Any:
        protocol = urlsplit(url).scheme
        with self._lock:
            if protocol not in self._systems:
                self._systems[protocol] = _open_system(protocol, url)
            return self._systems[protocol]


def _open_system(protocol: str, url: str) -> Any:
    if protocol not in _PACKAGES:
        known = ", ".join(f"{name}://" for name in _PACKAGES)
        raise PreconditionFailed(f"{shown(url)}: not a place that can be read; known: {known}")
    for name in _LOG_SECRETS:
        logging.getLogger(name).setLevel(logging.INFO)
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    try:
        import fsspec  # noqa: PLC0415  only where it is used, from its extra

        if _is_http(url):
            import aiohttp  # noqa: PLC0415

            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_TIMEOUT_SECONDS, sock_read=_READ_TIMEOUT_SECONDS
            )
            # A signed URL must arrive as it was signed.
            options |= {"encoded": True, "client_kwargs": {"timeout": timeout}}
        return fsspec.filesystem(protocol, **options)
    except ImportError:
        raise PreconditionFailed(
            f"{shown(url)}: {protocol}:// needs {_PACKAGES[protocol]}"
        ) from None


def _is_http(url: str) -> bool:
    return urlsplit(url).scheme in {"http", "https"}


def _problem(url: str, error: BaseException) -> AssayError:
    """Say what a package's error means, without its text."""
    if isinstance(error, FileNotFoundError):
        # Over HTTP fsspec calls every failure to look an object up by this name.
        if not (_is_http(url) and error.__cause__):
            return ObjectNotFound(url)
        error = error.__cause__
    status = getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(status, int):
        if status == _NOT_FOUND:
            return ObjectNotFound(url)
        if 400 <= status < 500 and status not in _RETRIED_STATUSES:
            return _refused(url, f"status {status}")
        return Unavailable(f"{shown(url)}: its store answers with status {status}")
    # botocore's errors of credentials have no class in common.
    if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
        return _refused(url, "no permission")
    return Unavailable(f"{shown(url)}: its store cannot be reached ({type(error).__name__})")


def _refused(url: str, why: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"{shown(url)}: its store refuses to read it ({why}); look at the server's credentials"
    )
