"""Serves B0 under three times the load that it can compute.

    python -m benchmarks.segment.overload [--seconds S] [--clients N] [--times N] [--no-peers]

Needs the real data (ASSAY_TEST_DATA). The capacity is the rate of a closed loop of clients, before
and after the overload; a service time is its inverse. Then requests come at random times (Poisson)
at three times that rate, each with a deadline of four service times, from a process that only sends
bytes. Goodput is the rate of answers in time. A request that was neither refused nor answered in
time is late, whether the server or the client gave up.

LitServe and Triton's Python front end, with our graph and post-processing, get the same rate and
deadline.

Writes results/segment/overload.json.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
from argparse import Namespace
from pathlib import Path
from typing import Any, Self

from benchmarks import load, report
from benchmarks.segment.peers import Served, litserve, ours, pytriton, requirements
from benchmarks.segment.setting import Row, Setting, finish, parse
from benchmarks.serving import memory, processor_seconds

_SERVICE_TIMES = 4
_REFUSED = {"RESOURCE_EXHAUSTED"}
_GOODPUT, _LATE, _FLAT = 0.95, 0.01, 0.95
_SAMPLES_A_SECOND = 5


class Memory:
    """Samples the resident memory of a process while it is entered."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.megabytes: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def parts(self) -> list[float]:
        """Return the medians of each quarter of the time."""
        size = max(1, len(self.megabytes) // 4)
        starts = range(0, 4 * size, size)
        return [statistics.median(self.megabytes[start : start + size]) for start in starts]

    def _watch(self) -> None:
        while not self._done.wait(1 / _SAMPLES_A_SECOND):
            self.megabytes.append(memory(self._pid)["now"])


def overload(
    setting: Setting, options: Namespace, model: Path, precision: str
) -> tuple[list[Row], dict[str, Any]]:
    """Measure one precision; return its rows and facts."""
    closed = load.Closed(options.clients, options.seconds / 3)
    with ours(setting, model, precision) as side:
        side.under(load.Closed(options.clients, 1))
        alone = side.under(load.Closed(1, options.seconds / 6)).require_success()
        before = side.under(closed).require_success().rate
        offered = load.Open(
            options.times * before, options.seconds, timeout=_SERVICE_TIMES / before
        )
        begun = processor_seconds(side.pid)
        with Memory(side.pid) as watched:
            under = side.under(offered)
        cost = processor_seconds(side.pid) - begun
        begun = processor_seconds(side.pid)
        closed_after = side.under(closed).require_success()
        closed_cost = processor_seconds(side.pid) - begun
        after = closed_after.rate
    capacity = statistics.mean((before, after))
    answered = sum(under.statuses.values())
    admitted = answered - sum(under.statuses.get(name, 0) for name in _REFUSED)
    late = admitted - under.statuses.get("OK", 0)
    first, *_, last = watched.parts()
    what = f"B0 in {precision}, {options.times:g} times the capacity offered, deadline 4 services"
    rows = [
        report.row(
            f"{what}: answers in time",
            f"the capacity, by a closed loop of {options.clients} clients",
            *(under.rate, capacity, "pictures a second"),
            target=_GOODPUT,
        ),
        report.row(
            f"{what}: late of those admitted",
            "the limit",
            *(late / admitted, _LATE, "of one"),
            target=1.0,
            less_is_better=True,
        ),
        report.row(
            f"{what}: resident memory in its last quarter",
            "in its first quarter",
            *(last, first, "MB"),
            target=_FLAT,
            less_is_better=True,
        ),
    ]
    facts: dict[str, Any] = {
        "capacity_before_and_after": [round(before, 2), round(after, 2)],
        "deadline_ms": round(1e3 * offered.timeout, 1),
        "one_client_p50_ms": round(1e3 * load.percentile(alone.latencies, 0.5), 1),
        "statuses": under.statuses,
        # Processor time of the server, and of the load on the same processors.
        "processor_ms_an_answer": {
            "closed loop": _cost(closed_cost, closed_after, options.clients),
            "overload": _cost(cost, under, 0),
        },
        "in_time_p50_ms": round(1e3 * load.percentile(under.latencies, 0.5), 1),
        "in_time_p99_ms": round(1e3 * load.percentile(under.latencies, 0.99), 1),
        "memory_mb_by_quarter": [round(part, 1) for part in watched.parts()],
    }
    for make in (litserve, pytriton) if options.peers else ():
        with contextlib.ExitStack() as stack:
            peer = stack.enter_context(make(setting, "graph", model, precision))
            theirs = _under(peer, options, offered)
        facts[peer.name] = {"statuses": theirs.statuses}
        rows.append(
            report.row(
                f"{what}: answers in time",
                f"{peer.name}, under the same load",
                # A rate of 0 has no ratio.
                *(under.rate, max(theirs.rate, 1 / options.seconds), "pictures a second"),
                target=None,
            )
        )
    return rows, facts


def _cost(server: float, result: load.Result, more: int) -> dict[str, float]:
    """Return processor milliseconds an answer; `more` answers are not among the latencies."""
    answers = len(result.latencies) + more
    seconds = {"server": server, "load": result.processor_seconds}
    return {side: round(1e3 * taken / answers, 2) for side, taken in seconds.items()}


def _under(peer: Served, options: Namespace, offered: load.Open) -> load.Result:
    """Warm up a peer and put the load on it."""
    peer.under(load.Closed(options.clients, 2)).require_success()
    return peer.under(offered)


def main() -> None:
    """Measure each precision and write the result."""
    setting, options = parse(__doc__, seconds=30.0, clients=8, times=3.0, peers=True)
    model = setting.real_b0()
    rows: list[Row] = []
    facts: dict[str, Any] = {}
    for precision in options.precisions:
        found, facts[precision] = overload(setting, options, model, precision)
        rows += found
    versions = requirements("segment") | requirements("pytriton") if options.peers else {}
    finish(options, "segment/overload", rows, peer_versions=versions, under_load=facts)


if __name__ == "__main__":
    main()
