"""Addresses are found fast and are the same as those that a slow look at every place finds."""

from __future__ import annotations

import ipaddress
import itertools
import string

from hypothesis import example, given
from hypothesis import strategies as st

from services.corpus.personal_data import ip_addresses

_BESIDE = frozenset(string.ascii_letters + string.digits + "._%+-")


def _ends(text: str, start: int) -> int:
    """Where an address that begins at `start` ends; -1 where none does."""
    at = start
    for number in range(4):
        digits = "".join(itertools.takewhile(lambda one: one in string.digits, text[at:]))
        if not 1 <= len(digits) <= 3:
            return -1
        at += len(digits) + 1
        if number < 3 and text[at - 1 : at] != ".":
            return -1
    end = at - 1
    after, behind = text[end : end + 1], text[end + 1 : end + 2]
    joined = after.isalnum() or after == "_" or (after == "." and behind.isdigit())
    return -1 if joined else end


def slowly(text: str) -> list[tuple[int, int]]:
    """Look at every place, by what the module's docstring says and no pattern."""
    found = []
    for start in range(len(text)):
        end = -1 if start and text[start - 1] in _BESIDE else _ends(text, start)
        try:
            public = end >= 0 and ipaddress.IPv4Address(text[start:end]).is_global
        except ValueError:
            public = False
        if public:
            found.append((start, end))
    return found


_ADDRESSES = ("8.8.8.8", "4.4.4.4", "127.0.0.1", "10.0.0.1", "256.1.1.1", "01.2.3.4", "1.2.3")
_BETWEEN = (".", "..", "1", "25", "999", "v", "a.b", "-", "_", "@", ",", "(", " ", "\n")
_PIECES = st.sampled_from((*_ADDRESSES, *_BETWEEN))


@given(st.lists(_PIECES, max_size=12).map("".join))
@example("8.8.8.8")
@example("1.2.3.4.5 at 8.8.4.4. And v8.8.8.8, 8.8.8.8-9, 8.8.8.8.")
@example("8.8.8." + "8" * 4)
def test_the_fast_search_finds_what_a_slow_one_finds(text: str) -> None:
    assert list(ip_addresses(text.encode())) == slowly(text)


def test_an_address_far_behind_a_text_that_has_none_is_found() -> None:
    text = "3.14 is no address, 1.2.3 a version. " * 10_000 + "8.8.8.8"
    assert list(ip_addresses(text.encode())) == [(len(text) - 7, len(text))]
