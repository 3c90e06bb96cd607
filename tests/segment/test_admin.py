"""BenchmarkModel: real processes, and as few of them as show it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay.common.v1 import common_pb2
from assay.segment.v1 import admin_pb2
from google.protobuf.duration_pb2 import Duration

from services.segment.manifest import MANIFEST_FILE, MODEL_FILE
from tests.segment import tiny_model
from tests.segment.conftest import Client, Start
from tests.segment.test_service import detailed
from tests.segment.tiny_model import RESEARCH, Tiny

SECONDS = 120


async def updates(client: Client, **fields: Any) -> list[admin_pb2.BenchmarkModelResponse]:
    call = client.admin.BenchmarkModel(admin_pb2.BenchmarkModelRequest(**fields), timeout=SECONDS)
    return [update async for update in call]


async def test_every_run_of_every_process_is_reported(start: Start) -> None:
    client = await start()
    *progress, last = await updates(client, runs=4, restarts=2)
    assert [update.progress.done for update in progress] == list(range(1, 9))
    assert {update.progress.total for update in progress} == {8}
    result = last.result
    assert (result.runs, result.restarts, result.batch_size) == (8, 2, 1)
    assert result.scenario == admin_pb2.SCENARIO_SINGLE_STREAM
    assert [len(sample.seconds) for sample in result.samples] == [4, 4]
    p50 = result.latency_p50.ToTimedelta().total_seconds()
    low, high = result.latency_interval.low, result.latency_interval.high
    assert low <= p50 * (1 + 1e-6)
    assert p50 <= high * (1 + 1e-6)
    assert result.latency_interval.level == 0.95
    total = sum(sum(sample.seconds) for sample in result.samples)
    assert result.images_per_second == pytest.approx(8 / total)
    assert result.model.digest.startswith("sha256:")
    assert (result.engine, result.precision) == ("onnxruntime-cpu", "fp32")
    assert result.environment.cpu_count >= 1
    assert "onnxruntime" in result.environment.versions


async def test_offline_counts_images_and_a_small_budget_ends_it_after_three_runs(
    start: Start,
) -> None:
    client = await start()
    *_, last = await updates(
        client,
        scenario=admin_pb2.SCENARIO_OFFLINE,
        batch_size=3,
        runs=10_000,
        restarts=1,
        budget=Duration(nanos=1),
    )
    result = last.result
    assert result.runs == 3
    assert result.latency_interval.level == 0  # one process: bounds
    assert result.images_per_second == pytest.approx(9 / sum(result.samples[0].seconds))


async def test_one_at_a_time_and_cancelling_makes_room(start: Start) -> None:
    client = await start()
    call = client.admin.BenchmarkModel(
        admin_pb2.BenchmarkModelRequest(runs=10_000), timeout=SECONDS
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
        ({"scenario": admin_pb2.SCENARIO_OFFLINE, "batch_size": 65}, "batch_size"),
        ({"batch_size": 2}, "batch_size"),
        ({"runs": 2}, "runs"),
        ({"runs": 10_001}, "runs"),
        ({"restarts": 21}, "restarts"),
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
    offline = admin_pb2.SCENARIO_OFFLINE
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
