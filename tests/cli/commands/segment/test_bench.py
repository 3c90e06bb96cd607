"""`assay bench`: what it asks for, and what it prints."""

from __future__ import annotations

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import benchmark_pb2

from services.cli.__main__ import parser
from services.cli.commands.segment import bench
from services.cli.output.console import OUT
from services.segment.api.benchmark import parse


def asked(*arguments: str) -> benchmark_pb2.BenchmarkModelRequest:
    """The request that a command line becomes."""
    return bench.request_of(parser().parse_args(["bench", *arguments]), common_pb2.ModelRef())


def shown(result: benchmark_pb2.BenchmarkResult) -> str:
    with OUT.capture() as printed:
        bench.show(result)
    return printed.get()


@pytest.mark.parametrize(
    ("arguments", "restarts"),
    [((), 8), (("--scenario", "offline"), 8), (("--scenario", "server"), 3)],
)
def test_what_is_left_out_is_the_services_to_choose(
    arguments: tuple[str, ...], restarts: int
) -> None:
    order = parse(asked(*arguments))
    assert (order.batch_sizes, order.runs, order.budget) == ((1,), 10, 120.0)
    assert (order.restarts, order.engine) == (restarts, "")
    assert (order.rate, order.bound, order.modules) == (0.0, None, False)


def test_every_argument_arrives() -> None:
    order = parse(asked("--scenario", "offline", "--batch", "8", "--batch", "1", "--modules"))
    assert order.scenario == benchmark_pb2.SCENARIO_OFFLINE
    assert (order.batch_sizes, order.modules) == ((8, 1), True)
    words = "--scenario server --rate 12.5 --bound 0.02 --runs 7 --restarts 2 --budget 1.5"
    order = parse(asked(*words.split()))
    assert order.server
    assert (order.rate, order.bound) == (12.5, 0.02)
    assert (order.runs, order.restarts, order.budget) == (7, 2, 1.5)
    assert parse(asked("--engine", "torch-cpu")).engine == "torch-cpu"


@pytest.mark.parametrize("number", ["0", "-1", "nan", "inf", "soon"])
def test_numbers_without_sense_are_wrong_usage(number: str) -> None:
    with pytest.raises(SystemExit) as caught:
        asked("--scenario", "server", "--rate", number)
    assert caught.value.code == 2


def test_a_result_is_shown_with_its_interval_and_its_load() -> None:
    result = benchmark_pb2.BenchmarkResult(
        scenario=benchmark_pb2.SCENARIO_SERVER,
        engine=common_pb2.Engine(id="e", precision=common_pb2.PRECISION_BF16),
        runs=9,
        restarts=3,
        images_per_second=12.34,
        server=benchmark_pb2.ServerFigures(
            target_rate=20, achieved_rate=12.34, within_bound=0.5, met=False
        ),
    )
    result.model.name = "m"
    result.latency_p99.FromMilliseconds(321)
    result.latency_interval.MergeFrom(common_pb2.Interval(low=0.1, high=0.2, level=0.95))
    text = shown(result)
    for words in ("m, server, e bf16, 9 runs", "321 ms", "100 - 200 ms", "12.34", "50.00 %"):
        assert words in text
    assert "missed" in text


def test_a_sweep_and_the_parts_are_shown_as_they_come() -> None:
    result = benchmark_pb2.BenchmarkResult(
        scenario=benchmark_pb2.SCENARIO_OFFLINE, runs=3, restarts=1
    )
    for size in (1, 16):
        batch = result.sweep.add(batch_size=size, images_per_second=100.0 + size)
        batch.latency_p50.FromMilliseconds(size)
    part = result.modules.add(name="decode head", share=0.625)
    part.median.FromMicroseconds(1500)
    text = shown(result)
    for words in ("101", "116", "16 ms", "decode head", "1.5 ms", "62.5 %"):
        assert words in text
    assert "p99" not in text


def _loaded(others: float, kernel: float | None) -> benchmark_pb2.BenchmarkResult:
    """A result of which one restart of two was clean, or none could be judged."""
    result = benchmark_pb2.BenchmarkResult(runs=6, restarts=2, noisy=True)
    result.latency_interval.MergeFrom(common_pb2.Interval(high=0.25, level=0.75))
    result.images_per_second_interval.MergeFrom(common_pb2.Interval(low=4.0, level=0.75))
    for clean in (kernel is not None, False):
        load = common_pb2.MachineLoad(others_cores=others, clean=clean, kernel_ratio=kernel)
        result.restart_records.add(seconds=0.2, load=load)
    return result


def test_a_busy_machine_gives_one_end_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    result = _loaded(0.75, 1.4)
    result.two_speeds.fast.FromMilliseconds(200)
    result.two_speeds.slow.FromMilliseconds(260)
    text = shown(result)
    assert "at most 250 ms" in text
    assert "at least 4" in text
    told = " ".join(capsys.readouterr().err.split())
    assert "idle in only 1 of 2 processes; others used up to 0.75 of its processors" in told
    assert "two speeds: restarts take up to 200 ms, or 260 ms and more" in told


def test_a_machine_that_is_not_known_yet_says_that() -> None:
    told = bench.busy(_loaded(0.0, None))
    assert "idle in none of 2 processes; whether it is idle is known after timings" in told
    one = benchmark_pb2.BenchmarkResult(restarts=1, noisy=True)
    one.restart_records.add(seconds=0.2, load=common_pb2.MachineLoad())
    assert "the machine was not idle" in bench.busy(one)
