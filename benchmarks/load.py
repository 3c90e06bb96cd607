"""Load on a server from a separate process: encoded requests, by gRPC or HTTP.

    target = Target("grpc", address, method)
    result = load.run(target, files, load.Closed(clients=8, seconds=5))

The process only sends bytes and reads the status, so that it takes little of the processors that it
shares with the server. In a closed loop each client sends its next request when the last one is
answered; an open loop sends at random times, whatever the answers. Every client has its own
connection and retries nothing.

As a module it reads its task as a JSON line from its input, and prints the result as another.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.connections import Answer, Connection, Target, connect

_NO_DEADLINE = 600.0  # seconds after which a closed loop gives up
_OPEN_CONNECTIONS = 8


@dataclass(frozen=True)
class Closed:
    """`clients` for `seconds` after each of them had its first answer."""

    clients: int
    seconds: float


@dataclass(frozen=True)
class Open:
    """`rate` requests a second on average, Poisson, each with a timeout in seconds."""

    rate: float
    seconds: float
    timeout: float
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """Statuses, successes a second, and the seconds that each success took.

    `processor_seconds` is the processor time of the load's own process, for all of its calls.
    """

    rate: float
    statuses: dict[str, int]
    latencies: list[float] = field(repr=False)
    processor_seconds: float

    def require_success(self) -> Result:
        """Return the result. Exits if a request failed."""
        if set(self.statuses) != {"OK"}:
            raise SystemExit(f"requests failed: {self.statuses}")
        return self


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def answer(target: Target, request: Path) -> bytes:
    """Call the target once, from this process. Exits if the call fails."""
    content = request.read_bytes()

    async def call() -> Answer:
        connection = connect(target)
        answered = await connection.call(content, _NO_DEADLINE)
        await connection.close()
        return answered

    status, body = asyncio.run(call())
    if status != "OK":
        raise SystemExit(f"{target.address}{target.path}: {status}")
    return body


def run(target: Target, requests: Sequence[Path], how: Closed | Open) -> Result:
    """Call the target from another process, with each of the requests in turn."""
    work = {
        "target": asdict(target),
        "requests": [str(path.resolve()) for path in requests],
        type(how).__name__: asdict(how),
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(work),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    return Result(**json.loads(done.stdout))


@dataclass(frozen=True)
class _Call:
    began: float
    ended: float
    status: str


async def _timed(connection: Connection, request: bytes, timeout: float) -> _Call:  # noqa: ASYNC109
    began = time.perf_counter()
    status, _ = await connection.call(request, timeout)
    return _Call(began, time.perf_counter(), status)


async def closed(target: Target, requests: Sequence[bytes], how: Closed) -> Result:
    """Run a closed loop. Counting begins when every client has had an answer."""
    before = time.process_time()
    connections = [connect(target) for _ in range(how.clients)]
    turns = itertools.cycle(requests)
    waiting = how.clients
    begin = asyncio.Event()
    stop_at = float("inf")
    calls: list[_Call] = []

    async def client(connection: Connection) -> None:
        nonlocal waiting, stop_at
        first = True
        while time.perf_counter() < stop_at:
            call = await _timed(connection, next(turns), _NO_DEADLINE)
            if not first:
                calls.append(call)
                continue
            first = False
            waiting -= 1
            if waiting == 0:
                stop_at = call.ended + how.seconds
                begin.set()

    await asyncio.gather(*map(client, connections))
    await asyncio.gather(*(connection.close() for connection in connections))
    cost = time.process_time() - before
    # Clients that had their answer before the last one are already in the loop.
    begun = stop_at - how.seconds
    counted = [call for call in calls if call.ended > begun]
    in_window = [call for call in counted if call.status == "OK" and call.ended <= stop_at]
    last = max((call.ended for call in in_window), default=stop_at)
    return _result(counted, len(in_window) / (last - begun), cost)


async def opened(target: Target, requests: Sequence[bytes], how: Open) -> Result:
    """Run an open loop."""
    before = time.process_time()
    connections = [connect(target) for _ in range(_OPEN_CONNECTIONS)]
    draw = random.Random(how.seed)
    turns = zip(itertools.cycle(connections), itertools.cycle(requests), strict=False)
    begun = time.perf_counter()
    due = begun
    tasks: list[asyncio.Task[_Call]] = []
    while (due := due + draw.expovariate(how.rate)) < begun + how.seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        connection, request = next(turns)
        tasks.append(asyncio.create_task(_timed(connection, request, how.timeout)))
    calls = await asyncio.gather(*tasks)
    cost = time.process_time() - before
    await asyncio.gather(*(connection.close() for connection in connections))
    done = [call.ended for call in calls if call.status == "OK"]
    rate = len(done) / max(how.seconds, max(done, default=0.0) - begun)
    return _result(calls, rate, cost)


def _result(calls: Sequence[_Call], rate: float, cost: float) -> Result:
    statuses = Counter(call.status for call in calls)
    seconds = [call.ended - call.began for call in calls if call.status == "OK"]
    return Result(rate, dict(statuses), seconds, cost)


def main() -> None:
    """Run the task that the line on the input describes."""
    work = json.loads(sys.stdin.readline())
    target = Target(**work["target"])
    requests = [Path(path).read_bytes() for path in work["requests"]]
    if "Closed" in work:
        result = asyncio.run(closed(target, requests, Closed(**work["Closed"])))
    else:
        result = asyncio.run(opened(target, requests, Open(**work["Open"])))
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
