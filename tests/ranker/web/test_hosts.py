"""The pages under a name that is not theirs, as a site sends it that gives itself this address."""

from __future__ import annotations

import aiohttp
import pytest

from services.ranker.settings import RankerSettings
from tests.ranker.conftest import Ranker

for _module in ("starlette", "uvicorn", "connectrpc", "jinja2"):
    pytest.importorskip(_module, reason="the extra `page` is not installed")

ARTIFACT = "/artifacts/the-pile"
RPC = "/assay.ranker.v1.RankerService/GetRank"


async def answers(ranker: Ranker, host: str) -> tuple[int, int, str]:
    """Status of a page and of an rpc under that name, and the page."""
    assert ranker.server is not None
    address = f"http://127.0.0.1:{ranker.server.http_port}"
    headers = {"host": host}
    async with aiohttp.ClientSession(address, headers=headers) as client:
        async with client.get(ARTIFACT) as page:
            text = await page.text()
        async with client.post(RPC, json={"artifact": "the-pile"}) as called:
            assert ("the-pile" in await called.text()) == (called.status == 200)
        return page.status, called.status, text


async def test_a_port_on_loopback_answers_to_this_machines_names_alone(ranker: Ranker) -> None:
    await ranker.start(http_port=0)
    for host in ("localhost", "LocalHost:8080", "127.0.0.1:1", "[::1]", "[::1]:50083"):
        assert (await answers(ranker, host))[:2] == (200, 200), host
    for host in (
        "evil.example",
        "evil.example:50083",
        "localhost.evil.example",
        "127.0.0.1.nip.io:50083",
        "0.0.0.0",  # noqa: S104
        "localhost:1:2",
        "localhost@evil.example",
        "::1",
        "",
    ):
        page, called, text = await answers(ranker, host)
        assert (page, called) == (400, 400), host
        assert "ASSAY_RANKER_HTTP_HOSTS" in text
        assert "the-pile" not in text
    assert "<b>" not in (await answers(ranker, "<b>"))[2]


async def test_a_setting_lists_more_names(ranker: Ranker) -> None:
    await ranker.start(http_port=0, http_hosts=("Assay.example.com",))
    for host, status in (("assay.example.com", 200), ("localhost", 200), ("evil.example", 400)):
        assert (await answers(ranker, host))[:2] == (status, status)


@pytest.mark.parametrize(
    ("listed", "host", "status"),
    [
        ((), "any.example", 200),
        (("a.example",), "any.example", 400),
        (("a.example",), "a.example:1", 200),
    ],
)
async def test_a_port_that_others_reach_answers_to_any_name_unless_some_are_listed(
    ranker: Ranker, listed: tuple[str, ...], host: str, status: int
) -> None:
    await ranker.start(http_port=0, host="0.0.0.0", http_hosts=listed)  # noqa: S104
    assert (await answers(ranker, host))[:2] == (status, status)


@pytest.mark.parametrize("name", ["http://a.example", "a.example:80", "a/b", "", "*"])
def test_what_is_no_name_stops_the_start(name: str) -> None:
    with pytest.raises(ValueError, match="without port or path"):
        RankerSettings(http_hosts=(name,))
