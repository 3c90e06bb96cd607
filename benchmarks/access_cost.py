"""Processor time of a call with and without a bearer token and a policy.

    python -m benchmarks.access_cost [--rounds N] [--no-result]

A segment and a ranker run twice: once open to all, once with tokens and a policy with rates. Both
get the same calls in turns. The processor time of their processes is compared, since other work on
a shared machine changes the elapsed time. The ranker's call is the cheapest one, a comparison that
it has computed before.

Writes results/access_cost.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from assay_rpc.channel import connect
from assay_rpc.connection import Connection
from assay_rpc.ranker.v1 import compare_pb2, ranker_pb2_grpc
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc

from benchmarks import report
from benchmarks.faults.callers import PAIR, picture
from benchmarks.faults.running import Running
from benchmarks.serving import processor_seconds
from services.rpc.access.tokens import line_of, new_token

_CALLS = {"segment": 50, "ranker": 300}
_POLICY = """
[[grant]]
identities = ["certificate:ranker"]
roles = ["read", "verify"]

[[grant]]
identities = ["token:caller"]
roles = ["read"]
calls_per_second = 100000
"""


def call_of(name: str, channel: Any) -> Callable[[], Any]:
    """Return a function that makes one call."""
    if name == "segment":
        image = segment_pb2.SegmentImageRequest(image=images_pb2.Image(encoded=picture()))
        segment = segment_pb2_grpc.SegmentServiceStub(channel)
        return lambda: segment.SegmentImage(image)
    pair = compare_pb2.CompareRequest(left=PAIR[0], right=PAIR[1])
    ranker = ranker_pb2_grpc.RankerServiceStub(channel)
    return lambda: ranker.Compare(pair)


def spent_in_turns(
    services: Mapping[str, tuple[Running, Callable[[], Any]]], calls: int, rounds: int
) -> dict[str, list[float]]:
    """Processor seconds of each service in every round of `calls` calls; the services alternate.

    An extra first round, which warms them up, does not count.
    """
    spent: dict[str, list[float]] = {name: [] for name in services}
    for counted in [False] + [True] * rounds:
        for name, (service, call) in services.items():
            before = processor_seconds(service.process.pid)
            for _ in range(calls):
                call()
            if counted:
                spent[name].append(processor_seconds(service.process.pid) - before)
    return spent


def seconds_a_call(name: str, folder: Path, rounds: int) -> tuple[float, float]:
    """Processor seconds of a call to a service without access rules, and to one with them."""
    token, prefix = new_token(), f"ASSAY_{name.upper()}_"
    (folder / "policy.toml").write_text(_POLICY, "utf-8")
    (folder / "tokens").write_text(line_of("caller", token) + "\n", "utf-8")
    knowing = {
        f"{prefix}POLICY_FILE": str(folder / "policy.toml"),
        f"{prefix}TOKEN_FILE": str(folder / "tokens"),
    }
    with ExitStack() as opened:
        pair = {}
        for kind, variables in (("open", {}), ("knowing", knowing)):
            own = folder / f"{name}-{kind}"
            variables |= {"ASSAY_HOME": str(folder / "home"), f"{prefix}LOG_LEVEL": "warning"}
            if name == "ranker":
                variables["ASSAY_RANKER_DATABASE"] = str(own / "evidence.sqlite")
            service = opened.enter_context(Running(name, own, variables))
            channel = connect(Connection(service.address, token=token))
            pair[kind] = service, call_of(name, opened.enter_context(channel))
        spent = spent_in_turns(pair, _CALLS[name], rounds)
    without, known = (statistics.mean(spent[kind]) / _CALLS[name] for kind in pair)
    return without, known


def main() -> None:
    """Measure both services."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--no-result", action="store_true", help="write no result")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="assay-access-") as scratch:
        for name in _CALLS:
            without, known = seconds_a_call(name, Path(scratch), options.rounds)
            rows.append(
                report.row(
                    f"{name}: processor time of a call with a token and a policy",
                    *("the same service, open to all", known * 1e3, without * 1e3, "ms"),
                    target=1 / 1.01,
                    less_is_better=True,
                )
            )
    if not options.no_result:
        report.write("access_cost", rows, packages=("grpcio", "openvino"))


if __name__ == "__main__":
    main()
