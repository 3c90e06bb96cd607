"""BenchmarkModel: real processes, and as few of them as show it."""

from __future__ import annotations

import asyncio
import os
import statistics
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import benchmark_pb2
from google.protobuf.duration_pb2 import Duration

from services.common.kernel_times import KernelTimes
from services.common.machine import machine_id
from services.segment.benchmarking.server_load import arrivals
from services.segment.manifest import MANIFEST_FILE, MODEL_FILE
from services.segment.settings import REFERENCE_MODELS
from tests.load import steady_load
from tests.segment import tiny_model
from tests.segment.api.test_segment import detailed
from tests.segment.conftest import Client, Start
from tests.segment.tiny_model import RESEARCH, Tiny

SECONDS = 120
OFFLINE, SERVER = benchmark_pb2.SCENARIO_OFFLINE, benchmark_pb2.SCENARIO_SERVER


async def updates(client: Client, **fields: Any) -> list[benchmark_pb2.BenchmarkModelResponse]:
    call = client.admin.BenchmarkModel(
        benchmark_pb2.BenchmarkModelRequest(**fields), timeout=SECONDS
    )
    return [update async for update in call]


@pytest.mark.process
async def test_every_run_of_every_process_is_reported(start: Start) -> None:
    client = await start()
    *progress, last = await updates(client, runs=4, restarts=2)
    assert [update.progress.done for update in progress] == list(range(1, 9))
    assert {update.progress.total for update in progress} == {8}
    result = last.result
    assert (result.runs, result.restarts, result.batch_size) == (8, 2, 1)
    assert result.scenario == benchmark_pb2.SCENARIO_SINGLE_STREAM
    assert [len(sample.seconds) for sample in result.samples] == [4, 4]
    p50 = result.latency_p50.ToTimedelta().total_seconds()
    high = result.latency_interval.high
    # The machine's calibration kernel was never timed before, so nothing can be said to be clean.
    assert result.noisy
    assert not result.latency_interval.HasField("low")
    assert p50 <= high * (1 + 1e-6)
    assert result.latency_interval.level == 0.75
    assert result.latency_least.ToTimedelta().total_seconds() <= p50 * (1 + 1e-6)
    medians = [statistics.median(sample.seconds) for sample in result.samples]
    assert result.images_per_second == pytest.approx(1 / statistics.median(medians))
    for record, median in zip(result.restart_records, medians, strict=True):
        assert record.seconds == pytest.approx(median)
        assert record.least_seconds <= median
        assert record.load.kernel_seconds > 0
        assert record.load.others_cores >= 0
        assert not record.load.HasField("kernel_ratio")
        assert not record.load.clean
    assert result.model.digest.startswith("sha256:")
    assert (result.engine.id, result.engine.precision) == (
        "onnxruntime-cpu",
        common_pb2.PRECISION_FP32,
    )
    assert result.environment.cpu_count >= 1
    assert "onnxruntime" in result.environment.versions


@pytest.mark.process
async def test_offline_counts_images_and_a_small_budget_ends_it_after_three_runs(
    start: Start,
) -> None:
    client = await start()
    *_, last = await updates(
        client,
        scenario=benchmark_pb2.SCENARIO_OFFLINE,
        batch_size=3,
        runs=10_000,
        restarts=1,
        budget=Duration(nanos=1),
    )
    result = last.result
    assert result.runs == 3
    assert result.latency_interval.level == 0.5  # one process that nothing is known of
    assert result.images_per_second == pytest.approx(
        3 / statistics.median(result.samples[0].seconds)
    )


@pytest.mark.process
async def test_a_steady_load_leaves_an_upper_bound_that_holds_the_quiet_time(
    start: Start, tmp_path: Path
) -> None:
    """The kernel's counters see it, though every run is slowed alike."""
    client = await start(ASSAY_HOME=tmp_path)
    kernel = KernelTimes(tmp_path / "machine", machine_id(), threads=1)
    kernel.add([10.0] * 20, "2020-01-01")
    assert kernel.add([10.0], "2020-01-02").settled
    with steady_load(len(os.sched_getaffinity(0))):
        *_, last = await updates(client, runs=3, restarts=2, budget=Duration(seconds=2))
    result = last.result
    assert result.noisy
    records = [one.load for one in result.restart_records]
    assert all(one.others_cores > one.allowed_others_cores for one in records)
    assert all(one.HasField("kernel_ratio") and not one.clean for one in records)
    least = result.latency_least.ToTimedelta().total_seconds()
    assert not result.latency_interval.HasField("low")
    assert least <= result.latency_interval.high * (1 + 1e-6)


@pytest.mark.process
async def test_two_models_are_timed_in_turn_in_the_same_processes(
    start: Start, tmp_path: Path
) -> None:
    tiny_model.write(tmp_path / "a", Tiny(name="a"))
    tiny_model.write(tmp_path / "b", Tiny(name="b", seed=1))
    client = await start(models=[tmp_path])
    first, second = common_pb2.ModelRef(name="a"), common_pb2.ModelRef(name="b")
    *progress, last = await updates(client, model=first, against=second, runs=3, restarts=2)
    assert {update.progress.total for update in progress} == {24}
    result = last.result
    assert (result.model.name, result.paired.against.name) == ("a", "b")
    assert [len(one.seconds) for one in result.samples] == [6, 6]
    assert [len(one.seconds) for one in result.paired.samples] == [6, 6]
    ratios = [
        statistics.median(one.seconds) / statistics.median(other.seconds)
        for one, other in zip(result.samples, result.paired.samples, strict=True)
    ]
    assert result.paired.ratio == pytest.approx(statistics.median(ratios))
    assert not result.paired.HasField("interval")  # the kernel has no reference


@pytest.mark.process
async def test_another_engine_than_serves_can_be_timed(start: Start) -> None:
    client = await start(models=[REFERENCE_MODELS], engine="onnxruntime")
    pytest.importorskip("openvino")
    *_, last = await updates(client, engine="openvino-cpu", runs=3, restarts=1)
    assert last.result.engine.id == "openvino-cpu"
    assert last.result.engine.version
    pytest.importorskip("transformers")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await updates(client, engine="torch-cpu", runs=3, restarts=1)
    assert "published SegFormers" in detailed(caught.value)[2]


@pytest.mark.process
async def test_a_sweep_has_the_figures_of_every_size(start: Start) -> None:
    client = await start()
    *progress, last = await updates(
        client, scenario=benchmark_pb2.SCENARIO_OFFLINE, batch_sizes=[4, 1, 2], runs=3, restarts=2
    )
    assert {update.progress.total for update in progress} == {18}
    result = last.result
    assert [item.batch_size for item in result.sweep] == [4, 1, 2]
    for item in result.sweep:
        assert item.runs == 6
        interval = item.images_per_second_interval
        assert 0 < interval.low <= item.images_per_second * (1 + 1e-6)
        assert not interval.HasField("high")
        assert interval.level == 0.75
    assert result.batch_size == 4
    assert result.latency_p50 == result.sweep[0].latency_p50
    assert result.images_per_second == result.sweep[0].images_per_second
    assert [len(sample.seconds) for sample in result.samples] == [3, 3]


@pytest.mark.process
async def test_a_sweep_that_runs_out_of_time_has_three_runs_of_every_size(start: Start) -> None:
    client = await start()
    *_, last = await updates(
        client,
        scenario=benchmark_pb2.SCENARIO_OFFLINE,
        batch_sizes=[1, 2],
        runs=10_000,
        restarts=1,
        budget=Duration(nanos=1),
    )
    assert [item.runs for item in last.result.sweep] == [3, 3]


@pytest.mark.process
async def test_the_server_scenario_offers_what_it_is_told_to(start: Start) -> None:
    client = await start()
    *progress, last = await updates(
        client,
        scenario=benchmark_pb2.SCENARIO_SERVER,
        target_rate=200,
        latency_bound=Duration(seconds=60),
        runs=40,
        restarts=2,
    )
    assert progress[-1].progress.done == 80
    result = last.result
    assert (result.runs, result.restarts) == (80, 2)
    assert result.server.target_rate == 200
    assert result.server.within_bound == 1
    assert result.server.met
    # The last answer of a process is later than its last arrival.
    arrived = [arrivals(200, 40, seed)[-1] for seed in (0, 1)]
    assert 0 < result.server.achieved_rate < 80 / sum(arrived)
    assert result.images_per_second == result.server.achieved_rate
    assert result.latency_p50.ToTimedelta() <= result.latency_p99.ToTimedelta()


@pytest.mark.process
async def test_a_bound_that_nothing_can_meet_is_not_met(start: Start) -> None:
    client = await start()
    *_, last = await updates(
        client,
        scenario=benchmark_pb2.SCENARIO_SERVER,
        target_rate=500,
        latency_bound=Duration(nanos=1000),
        runs=10,
        restarts=1,
    )
    assert last.result.server.within_bound == 0
    assert not last.result.server.met
    assert last.result.images_per_second_interval.level == 0


@pytest.mark.process
async def test_requests_beyond_the_queue_are_refused_and_miss_the_bound(start: Start) -> None:
    client = await start(queue_items=1)
    *_, last = await updates(
        client,
        scenario=benchmark_pb2.SCENARIO_SERVER,
        target_rate=100_000,
        latency_bound=Duration(seconds=60),
        runs=100,
        restarts=1,
    )
    result = last.result
    assert 1 <= result.runs < 100
    assert result.server.within_bound == pytest.approx(result.runs / 100)
    assert not result.server.met


@pytest.mark.process
async def test_the_default_rate_is_half_of_a_single_streams(start: Start) -> None:
    client = await start()
    *_, last = await updates(client, scenario=benchmark_pb2.SCENARIO_SERVER, runs=3, restarts=1)
    assert last.result.server.target_rate > 0
    assert not last.result.server.HasField("within_bound")
    assert not last.result.server.HasField("met")


@pytest.mark.process
async def test_module_timings_come_with_any_scenario_and_add_no_runs(start: Start) -> None:
    client = await start(models=[REFERENCE_MODELS])
    *_, last = await updates(client, runs=3, restarts=1, module_timings=True)
    result = last.result
    assert result.runs == 3
    names = [part.name for part in result.modules]
    assert set(names) - {"other"} == {f"encoder stage {i}" for i in range(1, 5)} | {"decode head"}
    shares = [part.share for part in result.modules]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    assert all(part.median.ToTimedelta().total_seconds() > 0 for part in result.modules)
    assert dict(zip(names, shares, strict=True)).get("other", 0) < 0.5
    assert result.engine.precision == common_pb2.PRECISION_FP32


@pytest.mark.process
async def test_one_at_a_time_and_cancelling_makes_room(start: Start) -> None:
    client = await start()
    call = client.admin.BenchmarkModel(
        benchmark_pb2.BenchmarkModelRequest(runs=10_000), timeout=SECONDS
    )
    async for update in call:
        assert update.progress.done == 1
        break
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await updates(client, runs=3)
    assert detailed(caught.value)[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    call.cancel()
    while True:  # the server needs a moment to kill the process
        try:
            *_, last = await updates(client, runs=3, restarts=1)
        except grpc.aio.AioRpcError as error:
            assert detailed(error)[1] == "OVERLOADED"  # noqa: PT017  # the loop goes on
        else:
            break
    assert last.result.runs == 3
    assert not [task for task in asyncio.all_tasks() if "worker" in repr(task.get_coro())]


@pytest.mark.process
@pytest.mark.parametrize("name", [MANIFEST_FILE, MODEL_FILE])
async def test_a_model_whose_files_were_replaced_is_not_measured(
    start: Start, tmp_path: Path, name: str
) -> None:
    served = tiny_model.write(tmp_path / "served")
    other = tiny_model.write(tmp_path / "other", Tiny(seed=1))
    client = await start(models=[served])
    (served / name).write_bytes((other / name).read_bytes())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await updates(client, runs=3, restarts=1)
    code, _, says = detailed(caught.value)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "restart" in says
    assert str(tmp_path) not in says


@pytest.mark.process
async def test_a_model_replaced_as_a_whole_is_not_measured(start: Start, tmp_path: Path) -> None:
    served = tiny_model.write(tmp_path / "served")
    client = await start(models=[served])
    tiny_model.write(served, Tiny(seed=1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await updates(client, runs=3, restarts=1)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"scenario": 9}, "scenario"),
        ({"scenario": benchmark_pb2.SCENARIO_OFFLINE, "batch_size": 65}, "batch_size"),
        ({"batch_size": 2}, "batch_size"),
        ({"batch_sizes": [1, 2]}, "batch_sizes"),
        ({"scenario": OFFLINE, "batch_sizes": [1, 65]}, "batch_sizes"),
        ({"scenario": OFFLINE, "batch_sizes": [0]}, "batch_sizes"),
        ({"scenario": OFFLINE, "batch_sizes": [2, 2]}, "batch_sizes"),
        ({"scenario": OFFLINE, "batch_sizes": range(1, 18)}, "batch_sizes"),
        ({"scenario": OFFLINE, "batch_sizes": [1], "batch_size": 1}, "batch_sizes"),
        ({"scenario": SERVER, "batch_size": 2}, "batch_size"),
        ({"scenario": SERVER, "target_rate": -1.0}, "target_rate"),
        ({"scenario": SERVER, "target_rate": float("nan")}, "target_rate"),
        ({"scenario": SERVER, "target_rate": 1e9}, "target_rate"),
        ({"scenario": SERVER, "latency_bound": Duration()}, "latency_bound"),
        ({"target_rate": 1.0}, "target_rate"),
        ({"latency_bound": Duration(seconds=1)}, "latency_bound"),
        ({"runs": 2}, "runs"),
        ({"runs": 10_001}, "runs"),
        ({"restarts": 25}, "restarts"),
        ({"engine": "tensorrt"}, "engine"),
        ({"scenario": SERVER, "engine": "onnxruntime-cpu"}, "engine"),
        ({"scenario": SERVER, "against": common_pb2.ModelRef()}, "against"),
        (
            {"scenario": OFFLINE, "batch_sizes": [1, 2], "against": common_pb2.ModelRef()},
            "against",
        ),
        ({"engine": "torch-cpu", "module_timings": True}, "module_timings"),
        ({"budget": Duration(seconds=1801)}, "budget"),
        ({"budget": Duration(seconds=-1)}, "budget"),
        ({"budget": Duration()}, "budget"),
    ],
)
async def test_orders_without_sense_are_refused(
    start: Start, fields: dict[str, Any], field: str
) -> None:
    client = await start()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await updates(client, **fields)
    code, _, says = detailed(caught.value)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert says.startswith(field)


async def test_models_that_cannot_be_measured(start: Start, tmp_path: Path) -> None:
    tiny_model.write(tmp_path / "r", Tiny(name="r", license=RESEARCH))
    tiny_model.write(tmp_path / "one", Tiny(name="one", batch=1))
    client = await start(models=[tmp_path])
    offline = benchmark_pb2.SCENARIO_OFFLINE
    for name, code in [
        ("absent", grpc.StatusCode.NOT_FOUND),
        ("r", grpc.StatusCode.PERMISSION_DENIED),
        ("one", grpc.StatusCode.INVALID_ARGUMENT),
    ]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await updates(
                client, model=common_pb2.ModelRef(name=name), scenario=offline, batch_size=2
            )
        assert caught.value.code() is code
