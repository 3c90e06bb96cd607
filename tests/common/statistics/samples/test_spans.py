from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.common.statistics.samples.spans import NAT_UNITS, span_ends, span_nats, span_sizes

TEXTS = st.text(max_size=200)


@given(TEXTS, st.integers(4, 40))
@example("𝄞" * 9, 4)
@example("", 4)
def test_spans_are_whole_characters(text: str, size: int) -> None:
    data = text.encode()
    sizes = span_sizes(span_ends(data, size))
    assert sum(sizes) == len(data)
    start = 0
    for one in sizes:
        assert 1 <= one <= size + 3
        data[start : start + one].decode()
        start += one
    assert all(one >= size - 3 for one in sizes[:-1])


@given(TEXTS, st.integers(4, 40), st.data())
@pytest.mark.parametrize("pattern", [r"[\s\S]", r"\w+|\W", r"[\s\S]{1,7}"])
def test_a_documents_nats_are_its_spans(
    pattern: str, text: str, size: int, data: st.DataObject
) -> None:
    """For tokenizers of characters, of words, and of seven characters."""
    tokens = [token.encode() for token in re.findall(pattern, text)]
    starts = [sum(map(len, tokens[:place])) for place in range(len(tokens))]
    units = data.draw(st.lists(st.integers(0, 10**6), min_size=len(tokens), max_size=len(tokens)))
    nats = [unit / NAT_UNITS for unit in units]
    ends = span_ends(text.encode(), size)
    found = span_nats(ends, starts, nats)
    assert len(found) == len(ends)
    assert sum(found) == sum(units)
    for place, end in enumerate(ends):
        begin = ends[place - 1] if place else 0
        inside = [u for start, u in zip(starts, units, strict=True) if begin <= start < end]
        assert found[place] == sum(inside)


def test_a_token_belongs_to_the_span_of_its_first_byte() -> None:
    assert span_nats([4, 8, 10], [0, 3, 4, 9, 10], [1.0, 2.0, 4.0, 8.0, 16.0]) == [
        3 * NAT_UNITS, 4 * NAT_UNITS, 24 * NAT_UNITS,
    ]  # fmt: skip


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 bytes"):
        span_ends(b"abc", 3)
    with pytest.raises(ValueError, match="no tokens"):
        span_nats([], [0], [1.0])
    assert span_nats([], [], []) == []
