import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import InvalidArgument
from services.rpc.pagination import MAX_PAGE_SIZE, page

NAMES = st.sets(st.text(max_size=8), max_size=30)


def walk(items: set[str], size: int) -> list[list[str]]:
    """Every page of `items`, in order."""
    pages: list[list[str]] = []
    token = ""
    while True:
        shown, token = page(items, size, token, lambda item: item)
        pages.append(shown)
        if not token:
            return pages


@given(names=NAMES, size=st.integers(1, 12))
def test_the_pages_are_the_sorted_list(names: set[str], size: int) -> None:
    pages = walk(names, size)
    assert [name for shown in pages for name in shown] == sorted(names)
    assert all(len(shown) == size for shown in pages[:-1])
    assert pages == [[]] or pages[-1]


@given(names=st.sets(st.text(max_size=4), min_size=2, max_size=20), data=st.data())
def test_what_comes_and_goes_between_two_pages_moves_nothing_else(
    names: set[str], data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, len(names) - 1))
    first, token = page(names, size, "", lambda item: item)
    gone = data.draw(st.sampled_from(sorted(names)))
    come = data.draw(st.text(max_size=4))
    rest, _ = page((names - {gone}) | {come}, 1000, token, lambda item: item)
    assert rest == sorted(n for n in (names - {gone}) | {come} if n > first[-1])


def test_a_size_of_0_is_100_and_1000_the_limit() -> None:
    items = [f"{i:05}" for i in range(2000)]
    assert len(page(items, 0, "", str)[0]) == 100
    assert len(page(items, 5000, "", str)[0]) == MAX_PAGE_SIZE


def test_a_key_may_have_parts() -> None:
    items = [("b", "1"), ("a", "2"), ("a", "10")]
    shown, token = page(items, 2, "", lambda item: item)
    assert shown == [("a", "10"), ("a", "2")]
    assert page(items, 2, token, lambda item: item) == ([("b", "1")], "")


@given(st.one_of(st.text(min_size=1), st.binary(min_size=1).map(lambda b: b.hex())))
def test_a_made_up_token_is_refused_or_harmless(token: str) -> None:
    with contextlib.suppress(InvalidArgument):
        shown, _ = page(["a", "b"], 1, token, str)
        assert shown in ([], ["a"], ["b"])


@pytest.mark.parametrize("content", [[], {}, "a", 1, None, [1], [["a"]], ["a", None]])
def test_a_token_of_another_form_is_refused(content: Any) -> None:
    token = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
    with pytest.raises(InvalidArgument, match="page_token"):
        page(["a"], 1, token, str)


def test_a_token_longer_than_any_is_refused_unread() -> None:
    long = base64.urlsafe_b64encode(json.dumps(["a" * 100_000]).encode()).decode()
    with pytest.raises(InvalidArgument, match="not a page token"):
        page(["a", "b"], 1, long, str)
