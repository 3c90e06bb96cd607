"""`assay bench`: the speed of a segmentation model on this machine."""

from __future__ import annotations

import argparse
import math
from typing import Any

from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import benchmark_pb2, benchmark_pb2_grpc
from google.protobuf.duration_pb2 import Duration
from rich.progress import Progress

from services.cli.arguments import add_format, count
from services.cli.connections.connection import Connection
from services.cli.exits import Exit
from services.cli.models import segment_model
from services.cli.output import grid
from services.cli.output.console import ERR, OUT, note, print_json, progress_console
from services.cli.output.grid import Column, Grid, Kind
from services.cli.output.messages import plain, precision
from services.common.counts import plural
from services.common.percent import percent
from services.errors import InternalError
from services.ranker.web.values import ends

# A benchmark ends at its budget, at most half an hour; three more runs may follow.
_TIMEOUT_SECONDS = 3600.0
_BUDGET_SECONDS = 120.0  # default of the request
_SCENARIOS = {
    "single-stream": benchmark_pb2.SCENARIO_SINGLE_STREAM,
    "offline": benchmark_pb2.SCENARIO_OFFLINE,
    "server": benchmark_pb2.SCENARIO_SERVER,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Measures a model's speed in separate processes, from preprocessed inputs to label maps "
        "of the input's size. Requests are sent one at a time, in batches, or at random times. "
        "Intervals are computed over fresh processes. If other programs kept the machine busy, "
        "the interval only gives an upper limit of the latency."
    )
    parser.epilog = "example: assay bench --scenario offline --batch 1 --batch 4 --modules"
    parser.add_argument(
        "--model",
        metavar="DIR|NAME",
        help="a folder that `assay export` wrote, or a registered name; default: a running "
        "service's only model, else the demonstration model",
    )
    parser.add_argument(
        "--scenario",
        choices=_SCENARIOS,
        default="single-stream",
        help="MLPerf's load scenario: one request at a time, batches, or random arrivals; "
        "default: single-stream",
    )
    parser.add_argument(
        "--batch",
        action="append",
        default=[],
        type=count,
        metavar="N",
        help="offline: images per batch; repeatable, to compare batch sizes; default: 1",
    )
    parser.add_argument(
        "--runs", type=count, default=0, metavar="N", help="timed runs per process; default: 10"
    )
    parser.add_argument(
        "--restarts",
        type=count,
        default=0,
        metavar="N",
        help="fresh processes to time while the machine is otherwise idle, 1 to 24; default: 8, "
        "and 3 for server",
    )
    parser.add_argument(
        "--budget",
        type=_seconds,
        metavar="SECONDS",
        help="stop after this time, with the results so far; default: 120",
    )
    parser.add_argument(
        "--engine",
        default="",
        metavar="NAME",
        help="openvino-cpu, onnxruntime-cpu or torch-cpu; default: the engine that serves the "
        "model",
    )
    parser.add_argument(
        "--rate",
        type=_seconds,
        default=0.0,
        metavar="N",
        help="server: requests per second; default: half of the single-stream rate",
    )
    parser.add_argument(
        "--bound",
        type=_seconds,
        metavar="SECONDS",
        help="server: largest acceptable 99th percentile of the latency; default: none",
    )
    parser.add_argument("--modules", action="store_true", help="also time each part of the model")
    add_format(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Measures one model."""
    inventory, model = segment_model(arguments.model)
    async with Connection(inventory) as connection:
        stub = benchmark_pb2_grpc.SegmentBenchmarkServiceStub(await connection.channel("segment"))
        call = stub.BenchmarkModel(request_of(arguments, model), timeout=_TIMEOUT_SECONDS)
        seconds = arguments.budget or _BUDGET_SECONDS
        note(f"measuring, for {seconds:g} s at most (--budget)")
        result = await _follow(call)
    if arguments.json:
        print_json(plain(result))
    else:
        show(result)
    return Exit.DONE


def request_of(
    arguments: argparse.Namespace, model: common_pb2.ModelRef
) -> benchmark_pb2.BenchmarkModelRequest:
    """The request that the command line describes."""
    return benchmark_pb2.BenchmarkModelRequest(
        model=model,
        scenario=_SCENARIOS[arguments.scenario],
        batch_sizes=arguments.batch,
        runs=arguments.runs,
        restarts=arguments.restarts,
        budget=_duration(arguments.budget),
        target_rate=arguments.rate,
        latency_bound=_duration(arguments.bound),
        module_timings=arguments.modules,
        engine=arguments.engine,
    )


async def _follow(updates: Any) -> benchmark_pb2.BenchmarkResult:
    """Shows progress until the result comes, and returns the result."""
    with Progress(console=progress_console(), transient=True, disable=not ERR.is_terminal) as bar:
        task = bar.add_task("runs", total=None)
        async for update in updates:
            if update.HasField("result"):
                result: benchmark_pb2.BenchmarkResult = update.result
                return result
            bar.update(task, completed=update.progress.done, total=update.progress.total)
    raise InternalError("the benchmark ended without a result; see the segment service's log")


def show(result: benchmark_pb2.BenchmarkResult) -> None:
    """Prints the figures as tables."""
    scenario = benchmark_pb2.Scenario.Name(result.scenario).removeprefix("SCENARIO_")
    OUT.print(
        f"{result.model.name}, {scenario.lower().replace('_', ' ')}, {result.engine.id} "
        f"{precision(result.engine)}, {plural(result.runs, 'run')} in "
        f"{plural(result.restarts, 'process', 'processes')}",
        markup=False,
    )
    if result.sweep:
        grid.show(_sweep(result))
    else:
        grid.show(_figures(result))
    if result.modules:
        grid.show(_modules(result))
    if result.noisy and result.scenario != benchmark_pb2.SCENARIO_SERVER:
        note(busy(result))
    if result.HasField("two_speeds"):
        speeds = result.two_speeds
        note(f"two speeds: restarts take up to {_ms(speeds.fast)}, or {_ms(speeds.slow)} and more")


def busy(result: benchmark_pb2.BenchmarkResult) -> str:
    """Why only an upper bound of a time is known, in a sentence."""
    loads = [one.load for one in result.restart_records]
    clean = sum(one.clean for one in loads)
    if clean:
        idle = f"idle in only {clean} of {plural(len(loads), 'process', 'processes')}"
    else:
        idle = "not idle" if len(loads) == 1 else f"idle in none of {len(loads)} processes"
    text = f"only an upper bound of the time: the machine was {idle}"
    if loads and not any(one.HasField("kernel_ratio") for one in loads):
        return f"{text}; whether it is idle is known after timings on two days"
    others = max((one.others_cores for one in loads), default=0.0)
    return f"{text}; others used up to {others:.2g} of its processors"


def _figures(result: benchmark_pb2.BenchmarkResult) -> Grid:
    table = _table("", "value", "interval")
    table.add("latency p50", _ms(result.latency_p50), _span(result.latency_interval, 1e3, "ms"))
    if result.HasField("latency_least"):
        table.add("shortest run", _ms(result.latency_least), "")
    table.add("latency p90", _ms(result.latency_p90), "")
    table.add("latency p99", _ms(result.latency_p99), "")
    spread = _spread(result.images_per_second_interval)
    table.add("images a second", f"{result.images_per_second:.4g}", spread)
    if result.HasField("server"):
        server = result.server
        table.add("offered a second", f"{server.target_rate:.4g}", "")
        table.add("within the bound", f"{percent(server.within_bound, 2)}", "")
        table.add("bound on p99", "met" if server.met else "missed", "")
    return table


def _sweep(result: benchmark_pb2.BenchmarkResult) -> Grid:
    table = _table("images a batch", "latency p50", "images a second", "interval")
    for batch in result.sweep:
        spread = _spread(batch.images_per_second_interval)
        rate = f"{batch.images_per_second:.4g}"
        table.add(str(batch.batch_size), _ms(batch.latency_p50), rate, spread)
    return table


def _modules(result: benchmark_pb2.BenchmarkResult) -> Grid:
    table = _table("part", "time, profiled", "share")
    for part in result.modules:
        table.add(part.name, _ms(part.median), f"{percent(part.share, 1)}")
    return table


def _table(first: str, *numbers: str) -> Grid:
    return Grid("", [Column(first, Kind.NAME), *map(Column, numbers)])


def _spread(interval: common_pb2.Interval) -> str:
    return _span(interval, 1, "")


def _span(interval: common_pb2.Interval, factor: float, unit: str) -> str:
    """An interval in a unit; an open interval shows its only end."""
    low, high = ends(interval)
    tail = f" {unit}" if unit else ""
    if math.isinf(low):
        return f"at most {high * factor:.4g}{tail}"
    if math.isinf(high):
        return f"at least {low * factor:.4g}{tail}"
    return f"{low * factor:.4g} - {high * factor:.4g}{tail}"


def _ms(duration: Duration) -> str:
    return f"{duration.ToNanoseconds() / 1e6:.4g} ms"


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _seconds(text: str) -> float:
    """A positive number, for argparse."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number") from None
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not positive and finite")
    return value
