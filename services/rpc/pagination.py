"""Pages of a list, with tokens that stay valid while the list changes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from services.errors import InvalidArgument

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
_MAX_TOKEN_CHARACTERS = 10_000

T = TypeVar("T")
Key = tuple[str, ...]


def page(
    items: Iterable[T], page_size: int, page_token: str, key: Callable[[T], str | Key]
) -> tuple[list[T], str]:
    """One page of `items` in the order of `key`, and the token of the next; "" after the last.

    `key` is unique: a name, or a tuple such as (name, version). The token holds the key of the last
    item returned, so items that appear or vanish between two pages shift no others. A size of 0
    means 100; sizes above 1000 mean 1000. Raises InvalidArgument for a token that no page returned.
    """
    size = min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    ordered = sorted(((_tuple(key(item)), item) for item in items), key=lambda pair: pair[0])
    if page_token:
        after = _decode(page_token)
        ordered = [pair for pair in ordered if pair[0] > after]
    shown = ordered[:size]
    token = _encode(shown[-1][0]) if len(ordered) > size else ""
    return [item for _, item in shown], token


def _tuple(key: str | Key) -> Key:
    return (key,) if isinstance(key, str) else key


def _encode(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _decode(token: str) -> Key:
    # Tokens hold names of the listed items; reading one of megabytes takes a tenth of a second.
    if len(token) > _MAX_TOKEN_CHARACTERS:
        raise InvalidArgument("page_token", "is not a page token of this list")
    try:
        key = json.loads(base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        key = None
    if not isinstance(key, list) or not key or not all(isinstance(part, str) for part in key):
        raise InvalidArgument("page_token", "is not a page token of this list")
    return tuple(key)
