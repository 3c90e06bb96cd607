"""Many callers of ranks at once keep the service from nothing else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from assay_rpc.ranker.v1 import artifact_pb2, rank_pb2, ranker_pb2_grpc

from services.ranker.comparing.records import Records
from services.ranker.methodology.ranking import of_registry
from tests.ranker.conftest import Ranker

B0 = "segformer-b0-finetuned-ade-512-512"
_CALLERS = 12


class Counted:
    """How many are inside at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self.most = 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1


async def test_a_caller_that_leaves_keeps_its_turn_until_its_ranking_ends(
    ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted()

    def places(*arguments: Any) -> Any:
        with counted.inside():
            time.sleep(0.05)
            return of_registry(*arguments)

    monkeypatch.setattr("services.ranker.comparing.ranks.of_registry", places)
    stub: Any = ranker_pb2_grpc.RankerServiceStub(await ranker.connect())
    request = rank_pb2.ListRanksRequest(type=artifact_pb2.ARTIFACT_TYPE_SEGMENTATION_MODEL)
    for _ in range(6):
        call = stub.ListRanks(request)
        await asyncio.sleep(0.02)
        call.cancel()
    await stub.ListRanks(request)
    assert counted.most == 1


@pytest.mark.parametrize("name", ["ListRanks", "GetRank", "ExplainRank"])
async def test_rankings_are_computed_one_after_the_other(
    name: str, ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds side by side kept health checks waiting for five seconds."""
    counted = Counted()
    read = Records.of

    async def reads(self: Any, artifacts: Any) -> Any:
        with counted.inside():
            await asyncio.sleep(0.01)
            return await read(self, artifacts)

    def places(*arguments: Any) -> Any:
        with counted.inside():
            time.sleep(0.01)
            return of_registry(*arguments)

    monkeypatch.setattr(Records, "of", reads)
    monkeypatch.setattr("services.ranker.comparing.ranks.of_registry", places)
    requests = {
        "ListRanks": rank_pb2.ListRanksRequest(type=artifact_pb2.ARTIFACT_TYPE_SEGMENTATION_MODEL),
        "GetRank": rank_pb2.GetRankRequest(artifact=B0),
        "ExplainRank": rank_pb2.ExplainRankRequest(artifact=B0),
    }
    call: Any = getattr(ranker_pb2_grpc.RankerServiceStub(await ranker.connect()), name)
    await asyncio.gather(*(call(requests[name]) for _ in range(_CALLERS)))
    assert counted.most == 1
