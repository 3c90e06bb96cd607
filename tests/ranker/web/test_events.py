"""Events are framed so that no text of others can make one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from assay_rpc.ranker.v1 import evidence_pb2, verification_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.web import events as web_events
from services.ranker.web import rendering
from services.ranker.web.events import event, events
from services.ranker.web.links import Served


@given(st.text(max_size=50), st.integers(0, 99))
def test_an_event_is_one_event(data: str, identifier: int) -> None:
    lines = event("claim", data, identifier).split("\n")
    assert lines[:2] == ["event: claim", f"id: {identifier}"]
    assert lines[-2:] == ["", ""]
    assert all(line.startswith("data: ") for line in lines[2:-2])
    assert "\r" not in "".join(lines)


async def test_a_verdict_is_drawn_once_however_many_follow_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[str] = []
    draw = rendering.fragment

    def counted(template: str, links: Served, **context: object) -> str:
        drawn.append(template)
        return draw(template, links, **context)

    async def updates() -> AsyncGenerator[verification_pb2.WatchJobResponse, None]:
        verdict = evidence_pb2.ClaimVerdict(reason="only here")
        yield verification_pb2.WatchJobResponse(result=verdict)

    monkeypatch.setattr(web_events, "fragment", counted)
    links, closing = Served(), asyncio.Event()
    seen = [[one async for one in events(updates(), links, closing, 0)] for _ in range(3)]
    assert seen[0] == seen[1] == seen[2]
    assert len(drawn) == 1
