"""A picture and a text of the reader's own: bounded, off by default, cut at whole characters."""

from __future__ import annotations

import io
import math
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ranker.conftest import Ranker
from tests.ranker.web.pages import Checked

for _module in ("starlette", "uvicorn", "connectrpc", "jinja2", "python_multipart"):
    pytest.importorskip(_module, reason="the extra `page` is not installed")

from services.ranker.web.trying import MAX_TEXT_BYTES, shaded  # noqa: E402


@given(st.text(min_size=1, max_size=20), st.data())
def test_a_text_is_shown_whole_however_it_is_cut(text: str, data: st.DataObject) -> None:
    content = text.encode("utf-8", "replace")
    starts = sorted(
        data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=len(content)))
    )
    nats = [data.draw(st.floats(0, 10)) for _ in starts]
    parts = shaded(content, starts, nats)
    assert "".join(one.text for one in parts) == content.decode()
    assert all(one.shade in ("", *(f"b{at}" for at in range(6))) for one in parts)


def test_tokens_of_one_character_are_one_part() -> None:
    parts = shaded("aß".encode(), [0, 1, 2], [0.0, math.log(2), 3 * math.log(2)])
    assert [(one.text, one.title) for one in parts] == [
        ("a", "0.00 bits, 0.00 a byte"),
        ("ß", "4.00 bits, 2.00 a byte"),
    ]
    assert shaded(b"ab", [1], [1.0])[0].title == "not scored"
    assert shaded(b"ab", [], []) == shaded(b"ab", (), ())


class Client:
    """Reads every answer whole."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, address: str) -> tuple[int, str]:
        async with self._session.get(address) as reply:
            return reply.status, await reply.text()

    async def post(self, address: str, **sent: Any) -> tuple[int, str]:
        async with self._session.post(address, **sent) as reply:
            return reply.status, await reply.text()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session)


async def address(ranker: Ranker, **settings: Any) -> str:
    await ranker.start(http_port=0, **settings)
    assert ranker.server is not None
    return f"http://127.0.0.1:{ranker.server.http_port}"


@pytest.mark.slow
async def test_it_is_off_by_default(ranker: Ranker, client: Client) -> None:
    at = await address(ranker)
    assert (await client.get(f"{at}/try"))[0] == 404
    assert (await client.post(f"{at}/try/text", data={"text": "a"}))[0] == 404
    assert "/try" not in (await client.get(at))[1]


async def test_what_cannot_be_tried_is_said(ranker: Ranker, client: Client) -> None:
    at = await address(ranker, try_page=True, max_request_bytes=1 << 16)
    for path, form, status, said in (
        ("text", {"text": "", "model": "m"}, 400, "is empty"),
        ("text", {"text": "a" * (MAX_TEXT_BYTES + 1), "model": "m"}, 400, "at most 8,192"),
        ("text", {"text": "a"}, 400, "choose a model"),
        ("picture", {"picture": "text", "model": "m"}, 400, "choose a file"),
        ("picture", {"picture": io.BytesIO(b"x" * (1 << 17)), "model": "m"}, 413, "65,536 bytes"),
    ):
        found, text = await client.post(f"{at}/try/{path}", data=form)
        assert (found, path) == (status, path)
        assert said in Checked(text).text
    headers = {"sec-fetch-site": "cross-site"}
    sent = {"text": "a", "model": "m"}
    assert (await client.post(f"{at}/try/text", data=sent, headers=headers))[0] == 403
    headers = {"content-type": "text/plain"}
    assert (await client.post(f"{at}/try/text", data=b"{}", headers=headers))[0] == 400


async def test_a_peer_that_does_not_answer_is_named(
    ranker: Ranker, client: Client, dead_address: str
) -> None:
    at = await address(ranker, try_page=True, segment_addr=dead_address, corpus_addr=dead_address)
    page = Checked((await client.get(f"{at}/try"))[1])
    assert "No segmentation model is served." in page.text
    assert "No language model is served." in page.text
    status, text = await client.post(f"{at}/try/text", data={"text": "a", "model": "m"})
    assert status == 503
    assert "corpus does not answer" in text
