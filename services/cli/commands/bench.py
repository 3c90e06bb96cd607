"""`assay bench`: how fast a segmentation model is on this machine."""

from __future__ import annotations

import argparse
import math
from typing import Any

from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import benchmark_pb2, benchmark_pb2_grpc
from google.protobuf.duration_pb2 import Duration
from rich.progress import Progress
from rich.table import Table

from services.cli.arguments import add_json, count, segment_model
from services.cli.connection import Connection
from services.cli.exits import Exit
from services.cli.output.console import ERR, OUT, note, print_json
from services.cli.output.messages import plain, precision
from services.errors import InternalError
from services.ranker.web.values import ends

# A benchmark ends by its budget, at most half an hour; a run of three more may follow.
_TIMEOUT_SECONDS = 3600.0
_SCENARIOS = {
    "single-stream": benchmark_pb2.SCENARIO_SINGLE_STREAM,
    "offline": benchmark_pb2.SCENARIO_OFFLINE,
    "server": benchmark_pb2.SCENARIO_SERVER,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Times a model in processes of its own, from prepared inputs to label maps of their "
        "size: one request after the other, batches, or requests that arrive at random. "
        "Intervals are over fresh processes."
    )
    parser.epilog = "example: assay bench --scenario offline --batch 1 --batch 4 --modules"
    parser.add_argument(
        "--model",
        metavar="DIR|NAME",
        help="a folder that `assay export` wrote, or a registered name; the reference model "
        "without it",
    )
    parser.add_argument("--scenario", choices=_SCENARIOS, default="single-stream")
    parser.add_argument(
        "--batch",
        action="append",
        default=[],
        type=count,
        metavar="N",
        help="images a batch, offline; repeatable: a sweep. 1 without it",
    )
    parser.add_argument(
        "--runs", type=count, default=0, metavar="N", help="timed runs a process; 10 without it"
    )
    parser.add_argument(
        "--restarts", type=count, default=0, metavar="N", help="fresh processes; 3 without it"
    )
    parser.add_argument(
        "--budget", type=_seconds, metavar="SECONDS", help="ends it early; 60 without it"
    )
    parser.add_argument(
        "--rate",
        type=_seconds,
        default=0.0,
        metavar="N",
        help="requests a second, server; half of what one after the other gives without it",
    )
    parser.add_argument(
        "--bound", type=_seconds, metavar="SECONDS", help="on the 99th percentile, server"
    )
    parser.add_argument(
        "--modules", action="store_true", help="also say which part of the model takes the time"
    )
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Measures one model."""
    inventory, model = segment_model(arguments.model)
    async with Connection(inventory) as connection:
        stub = benchmark_pb2_grpc.SegmentBenchmarkServiceStub(await connection.channel("segment"))
        call = stub.BenchmarkModel(request_of(arguments, model), timeout=_TIMEOUT_SECONDS)
        result = await _follow(call)
    if arguments.json:
        print_json(plain(result))
    else:
        show(result)
    return Exit.DONE


def request_of(
    arguments: argparse.Namespace, model: common_pb2.ModelRef
) -> benchmark_pb2.BenchmarkModelRequest:
    """The request that the command line asks for."""
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
    )


async def _follow(updates: Any) -> benchmark_pb2.BenchmarkResult:
    """Shows how far it is until the result comes, and returns that."""
    with Progress(console=ERR, transient=True, disable=not ERR.is_terminal) as bar:
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
        f"{precision(result.engine)}, {result.runs} runs in {result.restarts} processes",
        markup=False,
    )
    if result.sweep:
        OUT.print(_sweep(result))
    else:
        OUT.print(_figures(result))
    if result.modules:
        OUT.print(_modules(result))
    if result.noisy and result.scenario != benchmark_pb2.SCENARIO_SERVER:
        note(
            f"noisy: a run is {result.noise:.0%} off the median, in the median; "
            "an idle machine or more runs tell more"
        )


def _figures(result: benchmark_pb2.BenchmarkResult) -> Table:
    table = _table("", "value", "interval")
    low, high = ends(result.latency_interval)
    table.add_row("latency p50", _ms(result.latency_p50), f"{low * 1e3:.3g} - {high * 1e3:.3g} ms")
    table.add_row("latency p90", _ms(result.latency_p90), "")
    table.add_row("latency p99", _ms(result.latency_p99), "")
    spread = _spread(result.images_per_second_interval)
    table.add_row("images a second", f"{result.images_per_second:.4g}", spread)
    if result.HasField("server"):
        server = result.server
        table.add_row("offered a second", f"{server.target_rate:.4g}", "")
        table.add_row("within the bound", f"{server.within_bound:.2%}", "")
        table.add_row("bound on p99", "met" if server.met else "missed", "")
    return table


def _sweep(result: benchmark_pb2.BenchmarkResult) -> Table:
    table = _table("images a batch", "latency p50", "images a second", "interval")
    for batch in result.sweep:
        spread = _spread(batch.images_per_second_interval)
        rate = f"{batch.images_per_second:.4g}"
        table.add_row(str(batch.batch_size), _ms(batch.latency_p50), rate, spread)
    return table


def _modules(result: benchmark_pb2.BenchmarkResult) -> Table:
    table = _table("part", "time, profiled", "share")
    for part in result.modules:
        table.add_row(part.name, _ms(part.median), f"{part.share:.1%}")
    return table


def _table(*columns: str) -> Table:
    table = Table()
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table


def _spread(interval: common_pb2.Interval) -> str:
    return f"{interval.low:.4g} - {interval.high:.4g}"


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
