"""Restarts of several verifications, pooled into one time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import benchmark_pb2 as segment_benchmark_pb2

from services.ranker.claims import facts
from services.ranker.claims.bounds import Interval
from services.ranker.claims.choosing import choose
from services.ranker.claims.evidence import Observation, seal
from services.ranker.claims.findings import Evidence
from services.ranker.claims.model import Claim
from services.ranker.measuring.measurements import Budget, Measurements
from tests.ranker.measuring.observing import (
    CLAIMS,
    NOON,
    REGISTRY,
    content,
    observe,
)
from tests.ranker.peers_fake import (
    QUIET,
    FakeCorpus,
    FakeSegment,
    changed,
    restarts,
    times,
)


async def earlier_of(claim: str, *sessions: segment_benchmark_pb2.BenchmarkResult) -> Observation:
    """Observe a claim in several verifications, each with what the ones before kept."""
    kept: list[Evidence] = []
    observation: Observation | None = None

    async def earlier(of: Claim) -> Sequence[Evidence]:
        assert of is CLAIMS[claim]
        return kept

    for place, session in enumerate(sessions):
        asked = Measurements(
            REGISTRY,
            facts.packaged(),
            FakeSegment(figures=session),
            FakeCorpus(),
            Budget.QUICK,
            earlier=earlier,
        )
        observation = await observe(claim, asked)
        kept.append(
            seal(
                observation,
                claim=claim,
                method=CLAIMS[claim].method,
                command="c",
                time=NOON + timedelta(hours=place),
            )
        )
    assert observation is not None
    assert choose(CLAIMS[claim], kept) == kept[-1]
    return observation


def session(
    first: int, seconds: float, count: int = 8, **load: float
) -> segment_benchmark_pb2.BenchmarkResult:
    """A verification whose restarts are the first of their hours."""
    return changed(
        QUIET,
        samples=times(*[(seconds + 0.001 * place,) * 3 for place in range(count)]),
        restart_records=restarts(count, first=first, **load),
    )


async def test_verifications_of_one_environment_are_pooled_and_looked_at_at_8_and_16() -> None:
    first = await earlier_of("B4.5", session(0, 1.0))
    again = await earlier_of("B4.5", session(0, 1.0), session(100, 2.0, count=7))
    # 15 clean restarts: the look at 8 stands, whatever the later ones say.
    assert (again.interval, again.value) == (first.interval, first.value)
    assert (len(again.restarts), again.n) == (15, 8)
    more = await earlier_of("B4.5", session(0, 1.0), session(100, 2.0))
    assert more.n == 16
    assert more.interval is not None
    assert (more.interval.low, more.interval.high) == (1.001, 2.006)
    assert more.interval.level == pytest.approx(0.991943, abs=1e-6)


async def test_clean_restarts_of_several_busy_verifications_add_up() -> None:
    few = [session(100 * place, 1.0, count=3) for place in range(3)]
    assert (await earlier_of("B4.5", *few[:2])).interval == Interval(0.0, 1.002, 1 - 0.5**6)
    assert (await earlier_of("B4.5", *few)).interval == Interval(1.0, 1.002, 1 - 2 / 2**8)


async def test_another_engine_is_another_measurement() -> None:
    other = changed(session(100, 9.0), engine=common_pb2.Engine(id="openvino-cpu"))
    observation = await earlier_of("B4.5", session(0, 1.0), other)
    assert len(observation.restarts) == 8
    assert content(observation) == pytest.approx(9.0035)
