"""Times and rates of models: restarts, engines and the machine that they are of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import benchmark_pb2 as segment_benchmark_pb2

from services.common.statistics.ranking import family
from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.evidence import seal
from services.ranker.claims.model import Input, SubjectRelation, Verdict
from services.ranker.claims.verdict import judge
from services.ranker.measuring.measurements import Budget
from services.ranker.measuring.methods import method_named
from services.ranker.measuring.unobservable import UnobservableError
from tests.ranker.measuring.observing import (
    CLAIMS,
    NOON,
    RANDOM,
    content,
    measurements,
    observe,
)
from tests.ranker.peers_fake import (
    B0,
    B4_CUDA,
    B4_RANDOM,
    MACHINE,
    QUIET,
    FakeSegment,
    changed,
    restarts,
    times,
)


async def test_a_rate_in_batches_is_shown_where_none_is_claimed() -> None:
    observation = await observe("S0.5", measurements(FakeSegment((B0,))))
    assert observation.value is not None
    assert observation.value.unit == "pictures/s"
    assert observation.interval is not None
    assert observation.interval.low <= float(content(observation)) <= observation.interval.high  # type: ignore[arg-type]
    sealed = seal(observation, claim="S0.5", method="m.f@1", command="c", time=NOON)
    assert judge(CLAIMS["S0.5"], sealed).verdict is Verdict.UNDERSPECIFIED


@pytest.mark.parametrize(("engine", "size"), [("openvino-cpu", 2), ("onnxruntime-cuda", 32)])
async def test_a_rate_is_of_batches_that_the_hardware_gains_from(engine: str, size: int) -> None:
    segment = FakeSegment((changed(B4_RANDOM, engine=common_pb2.Engine(id=engine)),))
    observation = await observe("S4.1", measurements(segment))
    assert [plan.batch_size for plan in segment.timed] == [size]
    assert observation.note.startswith(f"In batches of {size}.")
    assert observation.relation is RANDOM


async def test_latency_is_the_median_of_restarts_that_had_the_machine_for_themselves() -> None:
    segment = FakeSegment()
    observation = await observe("B4.5", measurements(segment))
    assert content(observation) == pytest.approx(1.01)
    assert observation.interval == Interval(1.01, 1.03, 1 - 2 / 2**8)
    assert observation.n == 8
    assert len(observation.restarts) == 8
    assert observation.environment == MACHINE
    assert observation.engine["id"] == "onnxruntime-cpu"
    assert "8 restarts on an idle machine" in observation.conditions
    assert "shortest run 1 s" in observation.conditions
    plan = segment.timed[0]
    assert (plan.restarts, plan.runs, plan.batch_size, plan.engine) == (8, 3, 1, "")
    full = FakeSegment()
    await observe("B4.5", measurements(full, budget=Budget.FULL))
    assert full.timed[0].restarts > plan.restarts


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (
            restarts(8, others=0.9),
            "0 of 8 restarts ran on an idle machine, and 8 are needed; others used up",
        ),
        (restarts(8, kernel=None), "this machine's own speed is known after timings on two days"),
        ([], "this machine's own speed is known after timings on two days"),
    ],
)
async def test_a_busy_machine_gives_an_upper_bound_only(
    seen: list[segment_benchmark_pb2.Restart], why: str
) -> None:
    busy = changed(QUIET, noisy=True, restart_records=seen)
    observation = await observe("B4.5", measurements(FakeSegment(figures=busy)))
    assert observation.interval == Interval(0.0, 1.03, 1 - 0.5**8)
    assert f"an upper bound, since {why}" in observation.conditions


async def test_a_claim_that_names_no_engine_is_shown_each_one() -> None:
    slower = changed(QUIET, samples=times((6.0, 6.1, 6.2)), restart_records=restarts(1))
    segment = FakeSegment(engines={"torch-cpu": slower})
    observation = await observe("B4.5", measurements(segment))
    assert observation.breakdown == {"onnxruntime-cpu": pytest.approx(1.01), "torch-cpu": 6.1}
    assert [plan.engine for plan in segment.timed] == ["", "openvino-cpu", "torch-cpu"]
    sealed = seal(observation, claim="B4.5", method="m.f@1", command="c", time=NOON)
    verdict = judge(CLAIMS["B4.5"], sealed)
    assert verdict.verdict is Verdict.UNDERSPECIFIED
    assert "names neither" in verdict.reason
    assert "1.01 s with onnxruntime-cpu, 6.1 s with torch-cpu" in verdict.reason
    assert "on a processor x2" in verdict.reason


@pytest.mark.parametrize(
    ("named", "verdict"),
    [
        (("", "onnxruntime"), Verdict.REFUTED),
        (("", "openvino"), Verdict.NOT_TESTABLE_HERE),
        (("A Processor", ""), Verdict.UNDERSPECIFIED),  # which is any
        (("2 cores of a CPU", ""), Verdict.UNDERSPECIFIED),  # it has two
        (("a GPU", ""), Verdict.NOT_TESTABLE_HERE),
        (("Epyc", ""), Verdict.REFUTED),
        (("NVIDIA V100", ""), Verdict.NOT_TESTABLE_HERE),
        (("x", ""), Verdict.NOT_TESTABLE_HERE),  # a letter names no hardware
        (("", "o"), Verdict.NOT_TESTABLE_HERE),
        (("", "ONNXRuntime-CPU"), Verdict.REFUTED),
    ],
)
async def test_a_speed_is_judged_on_what_the_claim_names(
    named: tuple[str, str], verdict: Verdict
) -> None:
    hardware, engine = named
    claim = replace(CLAIMS["B4.5"], hardware=hardware, engine=engine)  # 2 to 3 s, and it takes 1
    observation = await method_named(claim.method).observe(
        replace(claim, engine=""), measurements()
    )
    on = {**observation.environment, "cpu": "AMD EPYC 7543"}
    observation = replace(observation, environment=on)
    sealed = seal(observation, claim="B4.5", method="m.f@1", command="c", time=NOON)
    found = judge(claim, sealed)
    assert found.verdict is verdict
    if verdict is Verdict.NOT_TESTABLE_HERE:
        assert (hardware or engine) in found.reason


async def test_the_engine_that_a_claim_names_is_the_one_that_is_timed() -> None:
    faster = changed(
        QUIET,
        samples=times(*[(0.5, 0.5, 0.5)] * 8),
        engine=common_pb2.Engine(id="openvino-cpu", version="2026.4"),
    )
    segment = FakeSegment(engines={"openvino-cpu": faster})
    claim = replace(CLAIMS["B4.5"], engine="OpenVINO")
    observation = await method_named(claim.method).observe(claim, measurements(segment))
    assert content(observation) == 0.5
    assert [plan.engine for plan in segment.timed] == ["openvino-cpu"]
    assert "with openvino-cpu 2026.4" in observation.conditions


async def test_a_gpu_claim_is_not_timed_on_a_cpu_nor_the_reverse() -> None:
    with pytest.raises(UnobservableError, match="served on a CPU"):
        await observe("B4.4")
    cuda = FakeSegment((B4_CUDA,))
    assert content(await observe("B4.4", measurements(cuda))) == pytest.approx(1.01)
    with pytest.raises(UnobservableError, match="on an accelerator"):
        await observe("B4.5", measurements(cuda))


async def test_another_size_is_not_timed() -> None:
    segment = FakeSegment((B0,))
    with pytest.raises(UnobservableError, match="no model of this architecture"):
        await observe("B4.5", measurements(segment))
    assert segment.timed == []


async def test_throughput_in_batches_is_orientation_on_a_cpu() -> None:
    with pytest.raises(UnobservableError, match="the claim is about GPUs"):
        await observe("B6.3")
    observation = await observe("B6.3", measurements(budget=Budget.FULL))
    assert observation.relation is SubjectRelation.PROXY
    cuda = FakeSegment((B4_CUDA,))
    observation = await observe("B6.3", measurements(cuda))
    assert observation.relation is RANDOM


def batches(*seconds: float, others: float = 0.0) -> FakeSegment:
    """A segment on an accelerator whose batches of 1, 16 and 32 take so long."""
    timings = {
        size: changed(
            QUIET,
            restart_records=restarts(10, others=others),
            samples=times(*((one * (0.9995 + 0.0001 * place),) * 3 for place in range(10))),
        )
        for size, one in zip((1, 16, 32), seconds, strict=True)
    }
    return FakeSegment((B4_CUDA,), by_batch=timings)


@pytest.mark.parametrize(
    ("seconds", "holding"),
    [
        ((1 / 4, 16 / 21.5, 32 / 40), 3),  # 4, 21.5 and 40 a second: on a line, 10 times
        ((1 / 4, 16 / 39, 32 / 40), 2),  # saturated at 16
        ((1 / 10, 16 / 55, 32 / 100), 2),  # faster than claimed
        ((1 / 30, 16 / 35, 32 / 40), 2),  # a third faster in batches, no more
        ((1 / 30, 16 / 39, 32 / 40), 1),
        ((1.0, 1.0, 1.0), 2),  # a batch takes as long as a picture: on a line, but 32 times
    ],
)
async def test_every_part_of_the_claim_on_batches_counts(
    seconds: tuple[float, ...], holding: int
) -> None:
    observation = await observe("B6.3", measurements(batches(*seconds)))
    assert content(observation) == holding
    assert observation.interval is not None
    surely = observation.interval
    assert surely.level == 0.99
    assert surely.low <= holding <= surely.high
    verdict = judge(
        replace(CLAIMS["B6.3"], engine="onnxruntime"),
        seal(observation, claim="B6.3", method="m.f@1", command="c", time=NOON),
    ).verdict
    assert verdict is (Verdict.CONFIRMED if holding == 3 else Verdict.REFUTED)


async def test_a_busy_machine_leaves_the_parts_on_batches_open() -> None:
    observation = await observe(
        "B6.3", measurements(batches(1 / 4, 16 / 21.5, 32 / 40, others=1.0))
    )
    assert observation.interval == Interval(0, 3, 0.99)


def beside(count: int, *, others: float = 0.0, kernel: float | None = 1.0) -> FakeSegment:
    """B4 and B0 in so many processes, B4 three times as slow, give or take a hundredth."""
    paired = segment_benchmark_pb2.PairedFigures(
        samples=times(*[(0.1, 0.1, 0.1)] * count),
    )
    slow = [(0.3 + 0.0001 * place,) * 3 for place in range(count)]
    figures = changed(
        QUIET,
        samples=times(*slow),
        restart_records=restarts(count, others=others, kernel=kernel),
        paired=paired,
    )
    return FakeSegment(served=(B4_RANDOM, B0), figures=figures)


RATIO = "S4.7"


@pytest.mark.parametrize(("count", "level"), [(8, 0.99), (16, 0.99), (17, family.LEVEL)])
async def test_a_time_beside_the_reference_is_at_the_level_that_its_restarts_give(
    count: int, level: float
) -> None:
    segment = beside(count)
    found = await observe(RATIO, measurements(segment, budget=Budget.FULL))
    assert segment.timed[0].against == B0.ref.name
    assert found.value is not None
    assert found.value.number == pytest.approx(3 + 0.0005 * (count - 1))
    assert found.interval is not None
    assert found.interval.level >= level
    assert (found.n, found.relation) == (count, RANDOM)
    assert found.inputs == (Input(B0.ref.digest, "model", B0.ref.name),)
    assert found.subject["architecture"] == "segformer-b4"


async def test_the_reference_is_one_by_definition() -> None:
    found = await observe("S0.7", measurements(beside(1)))
    assert found.value == Value(1.0, "1")
    assert found.interval is None
    assert found.engine


@pytest.mark.parametrize(
    ("segment", "budget", "message"),
    [
        (beside(17), Budget.QUICK, "it takes 17 restarts of two models"),
        (beside(7), Budget.FULL, "7 of 7 restarts ran on an idle machine, and 8"),
        (beside(20, others=1.0), Budget.FULL, "0 of 20 restarts ran on an idle machine"),
        (beside(20, kernel=None), Budget.FULL, "0 of 20 restarts ran on an idle machine"),
        (FakeSegment(), Budget.FULL, "segformer-b0"),
    ],
)
async def test_what_is_no_ratio_is_not_measured(
    segment: FakeSegment, budget: Budget, message: str
) -> None:
    with pytest.raises(UnobservableError, match=message):
        await observe(RATIO, measurements(segment, budget=budget))
