"""Events are framed so that no text of others can make one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ranker.web.events import event


@given(st.text(max_size=50), st.integers(0, 99))
def test_an_event_is_one_event(data: str, identifier: int) -> None:
    lines = event("claim", data, identifier).split("\n")
    assert lines[:2] == ["event: claim", f"id: {identifier}"]
    assert lines[-2:] == ["", ""]
    assert all(line.startswith("data: ") for line in lines[2:-2])
    assert "\r" not in "".join(lines)
