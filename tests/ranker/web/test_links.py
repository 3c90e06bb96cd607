"""Which addresses of others become links, and where pages of a folder find each other."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.web.links import Files, outside


@given(st.text(max_size=60) | st.from_regex(r"[a-z]{1,10}:(//)?[ -~]{0,30}", fullmatch=True))
def test_only_the_web_is_linked_to(address: str) -> None:
    found = outside(address)
    assert found in ("", address)
    if found:
        assert urlsplit(found).scheme in ("http", "https")
        assert urlsplit(found).hostname
        assert not any(one.isspace() or ord(one) < 32 for one in found)


@pytest.mark.parametrize(
    "address", ["https://arxiv.org/abs/2105.15203", "http://example.org:80/a?b=c#d"]
)
def test_the_web_is_linked_to(address: str) -> None:
    assert outside(address) == address


def test_files_link_to_files_that_there_are() -> None:
    paths = frozenset({"index.html", "artifacts/a.html", "comparisons/a/b.html"})
    links = Files(2, paths)
    assert links.artifact("a") == "../../artifacts/a.html"
    assert links.artifact("b") == ""
    assert links.comparison("b", "a") == links.comparison("a", "b") == "../../comparisons/a/b.html"
    assert links.index() == "../../index.html"
    assert links.search() == ""
