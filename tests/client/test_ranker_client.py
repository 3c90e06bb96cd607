"""What the ranker's clients read, blocking and with asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from assay_rpc.client import AsyncRankerClient, RankerClient
from assay_rpc.ranker.v1 import artifact_pb2, compare_pb2, rank_pb2

from tests.client.small_server import Small, serving

OPTIONS: list[tuple[dict[str, Any], rank_pb2.ListRanksRequest]] = [
    (
        {"type": "dataset", "profile": "core"},
        rank_pb2.ListRanksRequest(type=artifact_pb2.ARTIFACT_TYPE_DATASET, profile="core"),
    ),
    (
        {"intent": "read", "as_of": "2026-11-01", "hardware": "h"},
        rank_pb2.ListRanksRequest(intent="read", as_of="2026-11-01", hardware="h"),
    ),
    (
        {"artifacts": ["a", "b"]},
        rank_pb2.ListRanksRequest(artifacts=rank_pb2.ArtifactSet(artifacts=["a", "b"])),
    ),
]


async def listed(items: AsyncIterator[Any]) -> list[Any]:
    return [one async for one in items]


@pytest.mark.parametrize(("options", "request_"), OPTIONS)
async def test_ranks_and_their_profiles(
    options: dict[str, Any], request_: rank_pb2.ListRanksRequest
) -> None:
    small = Small()
    with serving(small) as address:
        with RankerClient(address) as ranker:
            ranks, profiles = list(ranker.ranks(**options)), ranker.profiles(**options)
        assert small.requests[0] == request_
        async with AsyncRankerClient(address) as later:
            assert await listed(later.ranks(**options)) == ranks
            assert await later.profiles(**options) == profiles
    assert [one.artifact for one in ranks] == ["a", "a2"]
    # One a list, however many pages it has.
    assert [(one.profile, one.level) for one in profiles] == [("core", 0.95), ("latency", 0.95)]


@pytest.mark.parametrize("options", [{}, {"intent": "read", "artifacts": ["a", "b"]}])
def test_ranks_are_of_one_of_three(options: dict[str, Any]) -> None:
    with serving(Small()) as address, RankerClient(address) as ranker:
        for method in (ranker.ranks, ranker.profiles):
            with pytest.raises(ValueError, match="one of the three"):
                method(**options)


async def test_verdicts_the_methodology_and_the_pages_of_a_comparison() -> None:
    small = Small()
    with serving(small) as address:
        with RankerClient(address) as ranker:
            verdicts = [one.reason for one in ranker.verdicts("the-pile")]
            methodology = ranker.methodology("v1")
            summary = ranker.compare("a", "b", pages=["p", "q"]).summary
        assert small.requests[-1] == compare_pb2.CompareRequest(
            left="a", right="b", pages=["p", "q"]
        )
        async with AsyncRankerClient(address) as later:
            assert [one.reason for one in await listed(later.verdicts("the-pile"))] == verdicts
            assert await later.methodology("v1") == methodology
            assert (await later.compare("a", "b", pages=["p", "q"])).summary == summary
    assert verdicts == ["page 1", "page 2"]
    assert (methodology.methodology.version, methodology.content) == ("v1", b"a: 1")
