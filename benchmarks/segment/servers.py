"""Compares our service with LitServe and with Triton's Python front end: B0, several clients.

    python -m benchmarks.segment.servers [--rounds N] [--seconds S] [--slow S] [--only ROWS ...]

Needs the real data (ASSAY_TEST_DATA): the real B0 and photographs, as JPEG files of 1024 x 768.
Every side answers with raw labels to clients in a process of their own. Rows:

    usual   8 clients; the peers with the code of their guides and transformers' model
    graph   1, 8 and 32 clients; the peers with our graph, on OpenVINO, and our post-processing

Rounds alternate; rates are medians of the rounds, latencies those of all rounds together. A round
of the slow sides is longer (--slow).

Writes results/segment/servers.json.
"""

from __future__ import annotations

import contextlib
import statistics
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks import load, report
from benchmarks.segment.peers import Served, agreement, litserve, ours, pytriton, requirements
from benchmarks.segment.setting import Row, Setting, finish, parse

TARGETS = {"fp32": 8.0, "bf16": 12.0}
_TENTH_OF_P99 = 10.0
_LOADS = (1, 8, 32)
Labels: TypeAlias = dict[str, NDArray[np.uint8]]


def rounds(
    sides: Mapping[str, Served], clients: int, seconds: Mapping[str, float], count: int
) -> dict[str, list[load.Result]]:
    """Put load on the sides in turns."""
    results: dict[str, list[load.Result]] = {name: [] for name in sides}
    for turn in range(count):
        for name, side in sides.items():
            result = side.under(load.Closed(clients, seconds[name]))
            results[name].append(result.require_success())
        print(f"{clients} clients, round {turn + 1} of {count}", flush=True)
    return results


def compare(
    what: str,
    peer: str,
    ours: list[load.Result],
    theirs: list[load.Result],
    targets: tuple[float, float],
) -> list[Row]:
    """Return the rows of the rate and of the 99th percentile of latency."""
    rates, p99 = [], []
    for side in (ours, theirs):
        rates.append(statistics.median(result.rate for result in side))
        latencies = [one for result in side for one in result.latencies]
        p99.append(1e3 * load.percentile(latencies, 0.99))
    return [
        report.row(what, peer, rates[0], rates[1], "pictures a second", target=targets[0]),
        report.row(
            f"{what}: p99", peer, p99[0], p99[1], "ms", target=targets[1], less_is_better=True
        ),
    ]


def usual(setting: Setting, options: Namespace, model: Path, labels: Labels) -> list[Row]:
    """Compare with the peers as in their guides."""
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        sides = {
            precision: stack.enter_context(ours(setting, model, precision))
            for precision in options.precisions
        }
        for peer in (litserve, pytriton):
            side = stack.enter_context(peer(setting, "usual", setting.checkpoint))
            sides[side.name] = side
        labels |= {name: side.labels() for name, side in sides.items()}
        seconds = {
            name: options.seconds if name in options.precisions else options.slow for name in sides
        }
        results = rounds(sides, 8, seconds, options.rounds)
    for precision in options.precisions:
        for name in [name for name in sides if name not in options.precisions]:
            what = f"B0 in {precision}, a JPEG file of 1024 x 768 to labels, clients: 8"
            targets = (TARGETS[precision], _TENTH_OF_P99)
            rows += compare(what, name, results[precision], results[name], targets)
    return rows


def graph(setting: Setting, options: Namespace, model: Path, labels: Labels) -> list[Row]:
    """Compare with the peers running our graph and post-processing."""
    rows: list[Row] = []
    for precision in options.precisions:
        with contextlib.ExitStack() as stack:
            sides = {precision: stack.enter_context(ours(setting, model, precision))}
            for peer in (litserve, pytriton):
                side = stack.enter_context(peer(setting, "graph", model, precision))
                sides[side.name] = side
            labels |= {f"{name} in {precision}": side.labels() for name, side in sides.items()}
            seconds = dict.fromkeys(sides, options.seconds)
            for clients in _LOADS:
                results = rounds(sides, clients, seconds, options.rounds)
                what = f"B0 in {precision}, a JPEG file of 1024 x 768 to labels, clients: {clients}"
                for name in list(sides)[1:]:
                    rows += compare(what, name, results[precision], results[name], (1.0, 1.0))
    return rows


_ROWS = {"usual": usual, "graph": graph}


def main() -> None:
    """Run the rows of the command line and write the result."""
    setting, options = parse(__doc__, rounds=4, seconds=5.0, slow=25.0, only=list(_ROWS))
    model = setting.real_b0()
    labels: Labels = {}
    rows = [row for name in options.only for row in _ROWS[name](setting, options, model, labels)]
    finish(
        options,
        "segment/servers",
        rows,
        peer_versions=requirements("segment") | requirements("pytriton"),
        labels_that_agree_with_the_first=agreement(labels),
    )


if __name__ == "__main__":
    main()
