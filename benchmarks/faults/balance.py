"""Two replicas of unequal speed behind the shipped client, against round robin and one queue.

    python -m benchmarks.faults.balance [--rounds N] [--seconds S] [--no-result]

Two segment services serve the same model; control groups give one a processor and the other a
quarter of one, as limits of a pod do. Calls come at random times (Poisson) at 70 % of the rate that
both compute together. The shipped client gives each replica a share by the load that it reports. It
is compared with the same channel with round robin, and with a simulated optimum: one queue in front
of both replicas that knows which is idle and which is faster, with the times of single calls. The
rounds alternate.

Needs control groups of processors that this process may make. Writes results/faults/balance.json.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
from assay_rpc.channel import options, service_config
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc

from benchmarks import report
from benchmarks.faults.callers import picture
from benchmarks.faults.running import Running

_CORES = (1.0, 0.25)
_PERIOD_MICROSECONDS = 10_000
_GROUPS = Path("/sys/fs/cgroup/cpu")
_SHARE = 0.7
_LONE_CALLS = 100
# The client uses reports a second after the first one; timing begins later.
_SETTLE_SECONDS = 4.0
_WITHIN = 1.2
_REQUEST = segment_pb2.SegmentImageRequest(image=images_pb2.Image(encoded=picture()))


@contextmanager
def _processors(cores: float, name: str) -> Iterator[Path]:
    """A control group limited to `cores` processors. Raises OSError if none can be made."""
    group = _GROUPS / f"assay-balance-{os.getpid()}-{name}"
    group.mkdir()
    try:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_MICROSECONDS))
        (group / "cpu.cfs_quota_us").write_text(str(round(cores * _PERIOD_MICROSECONDS)))
        yield group
    finally:
        group.rmdir()


def _channel(addresses: Sequence[str], policy: str | None) -> grpc.aio.Channel:
    """The shipped client's channel, or with another policy."""
    target = "ipv4:" + ",".join(addresses)
    given: dict[str, Any] = dict(options(target))
    if policy is not None:
        config = json.loads(service_config())
        given["grpc.service_config"] = json.dumps({**config, "loadBalancingConfig": [{policy: {}}]})
    return grpc.aio.insecure_channel(target, options=list(given.items()))


async def _lone(address: str) -> list[float]:
    """Seconds of calls made one after the other."""
    took = []
    async with _channel([address], None) as channel:
        stub = segment_pb2_grpc.SegmentServiceStub(channel)
        for _ in range(_LONE_CALLS):
            begun = time.monotonic()
            await stub.SegmentImage(_REQUEST)
            took.append(time.monotonic() - begun)
    return took[_LONE_CALLS // 10 :]


def _arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Times at which calls come."""
    drawn, now, times = random.Random(seed), 0.0, []
    while (now := now + drawn.expovariate(rate)) < seconds:
        times.append(now)
    return times


async def _offered(
    addresses: Sequence[str], policy: str | None, arrivals: Sequence[float]
) -> list[float]:
    """Seconds of each call that came after the first seconds; infinite if it was refused."""
    took: list[float] = []
    async with _channel(addresses, policy) as channel:
        stub = segment_pb2_grpc.SegmentServiceStub(channel)

        async def call(due: float) -> None:
            try:
                await stub.SegmentImage(_REQUEST)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                due = -math.inf  # counts as infinitely late
            if math.isinf(due) or due - start > _SETTLE_SECONDS:
                took.append(time.monotonic() - due)

        await asyncio.gather(*(stub.SegmentImage(_REQUEST) for _ in range(4)))
        start = time.monotonic()
        async with asyncio.TaskGroup() as calls:
            for arrival in arrivals:
                await asyncio.sleep(max(0.0, start + arrival - time.monotonic()))
                calls.create_task(call(start + arrival))
    return took


def one_queue(arrivals: Sequence[float], lone: Sequence[Sequence[float]], seed: int) -> list[float]:
    """Seconds of each call if the fastest idle replica always takes the first in the queue.

    A call on a replica takes as long as one of the single calls measured on it.
    """
    drawn = random.Random(seed)
    speed = [statistics.mean(times) for times in lone]
    idle = sorted(range(len(lone)), key=speed.__getitem__)
    busy: list[tuple[float, int]] = []
    took = []
    for arrival in arrivals:
        while busy and busy[0][0] <= arrival:
            idle.append(heapq.heappop(busy)[1])
        if idle:
            begin, replica = arrival, min(idle, key=speed.__getitem__)
            idle.remove(replica)
        else:
            begin, replica = heapq.heappop(busy)
        end = begin + drawn.choice(lone[replica])
        heapq.heappush(busy, (end, replica))
        if arrival > _SETTLE_SECONDS:
            took.append(end - arrival)
    return took


def _p99(took: Sequence[float]) -> float:
    """Return the 99th percentile of the answered calls' seconds."""
    answered = sorted(seconds for seconds in took if math.isfinite(seconds))
    return answered[int(len(answered) * 0.99)]


def _refused(took: Sequence[float]) -> float:
    return sum(map(math.isinf, took)) / len(took)


def main() -> None:
    """Measure the three."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--no-result", action="store_true", help="write no result")
    given = parser.parse_args()
    found: dict[str, list[float]] = {"shipped": [], "round_robin": [], "one queue": []}
    refused: dict[str, list[float]] = {"shipped": [], "round_robin": []}
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="assay-balance-")))
        addresses = []
        for number, cores in enumerate(_CORES):
            group = opened.enter_context(_processors(cores, str(number)))
            variables = {"ASSAY_HOME": str(folder / "home"), "ASSAY_SEGMENT_THREADS": "1"}
            service = Running("segment", folder / str(number), variables)
            opened.callback(service.stop)
            (group / "cgroup.procs").write_text(str(service.process.pid))
            addresses.append(service.address)
        lone = [asyncio.run(_lone(address)) for address in addresses]
        joint = sum(1 / statistics.mean(times) for times in lone)
        print(f"lone calls take {[round(statistics.mean(x) * 1e3, 1) for x in lone]} ms")
        for number in range(given.rounds):
            arrivals = _arrivals(_SHARE * joint, given.seconds, number)
            for kind, policy in (("shipped", None), ("round_robin", "round_robin")):
                took = asyncio.run(_offered(addresses, policy, arrivals))
                found[kind].append(_p99(took))
                refused[kind].append(_refused(took))
            found["one queue"].append(_p99(one_queue(arrivals, lone, number)))
            print({kind: round(values[-1], 4) for kind, values in found.items()}, refused)
    median = {kind: statistics.median(values) for kind, values in found.items()}
    what = f"segment: slowest of 100 calls, replicas of {_CORES[0]:g} and {_CORES[1]:g} processors"
    rows = [
        report.row(
            f"{what}, {100 * _SHARE:.0f} % of their capacity",
            *(peer, median["shipped"], median[kind], "s"),
            target=target,
            less_is_better=True,
        )
        for kind, peer, target in (
            ("one queue", "one queue that knows who is idle and faster, simulated", 1 / _WITHIN),
            ("round_robin", "the same channel with round robin", 1.0),
        )
    ]
    if not given.no_result:
        report.write(
            *("faults/balance", rows),
            packages=("grpcio", "openvino"),
            p99_seconds=found,
            refused=refused,
        )


if __name__ == "__main__":
    main()
