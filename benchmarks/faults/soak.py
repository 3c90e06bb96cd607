"""Holds a mixed load on all three services through random faults.

    python -m benchmarks.faults.soak [--seconds S] [--rate N] [--seed N] [--no-result]

Two replicas of each service and a Redis. Every few seconds something happens to one of the second
replicas (killed, replaced, stopped for a while) or to Redis. The first replicas are never ended, so
their memory and descriptors show any growth over the whole time. Every answer is compared with the
first one: a label map, the documents of a stream in their order, a comparison.

Exits with 1 when a call failed, an answer was wrong, or memory or descriptors grew. Writes
results/faults/soak.json.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import report
from benchmarks.faults.callers import CALLS
from benchmarks.faults.load import Load
from benchmarks.faults.replicas import pair, target_of
from benchmarks.faults.running import Running
from benchmarks.faults.stores import redis_program
from benchmarks.faults.table import Row, row
from benchmarks.load import percentile
from benchmarks.serving import free_port

_BETWEEN_SECONDS = (4.0, 12.0)
_GROWTH = 1.2
_MORE_DESCRIPTORS = 16
_CLIENTS = 4


class Redis:
    """A Redis that may be killed and started again."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        folder.mkdir()
        self._words = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._words += ["--dir", str(folder)]
        self.start()

    def start(self) -> None:
        """Start it with nothing in it."""
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(self._words, stdout=quiet, stderr=quiet)

    def kill(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


class Watched:
    """Memory and descriptors of a process that is never ended."""

    def __init__(self, service: Running) -> None:
        self.service = service
        self.megabytes: list[float] = []
        self.descriptors: list[int] = []

    def sample(self) -> None:
        """Record its present memory and descriptors."""
        self.megabytes.append(self.service.megabytes)
        self.descriptors.append(self.service.descriptors)

    def rows(self) -> list[Row]:
        """Rows that compare the last quarter of the time with the second quarter."""
        name = self.service.name
        quarter = max(1, len(self.megabytes) // 4)
        early, late = slice(quarter, 2 * quarter), slice(-quarter, None)
        memory = [statistics.median(self.megabytes[part]) for part in (early, late)]
        open_files = [statistics.median(self.descriptors[part]) for part in (early, late)]
        says = f"{memory[0]:.0f} and {memory[1]:.0f} MB"
        return [
            row(
                f"soak: {name}",
                "memory in the last quarter, of that in the second",
                memory[1] / memory[0],
                _GROWTH,
                "times",
                says,
            ),
            row(
                f"soak: {name}",
                "descriptors more than in the second",
                max(0.0, open_files[1] - open_files[0]),
                _MORE_DESCRIPTORS,
                "",
                f"{open_files[1]:.0f} at the end",
            ),
        ]


def faults_of(services: list[Running], redis: Redis | None) -> dict[str, Callable[[], None]]:
    """The possible faults, by name."""

    def replace(one: Running) -> None:
        one.stop()
        one.start()

    def kill(one: Running) -> None:
        one.kill()
        one.start()

    def hang(one: Running) -> None:
        one.signal(signal.SIGSTOP)
        time.sleep(2)
        one.signal(signal.SIGCONT)

    found: dict[str, Callable[[], None]] = {}
    for one in services:
        for word, act in (("replaced", replace), ("killed", kill), ("stopped for 2 s", hang)):
            found[f"{one.name} {word}"] = lambda act=act, one=one: act(one)  # type: ignore[misc]
    if redis is not None:

        def other() -> None:
            redis.kill()
            redis.start()

        found["Redis killed"] = other
    return found


def in_turn(names: Sequence[str], chance: random.Random) -> Iterator[str]:
    """Yield names in random order without end; all come before any is repeated."""
    while True:
        yield from chance.sample(names, len(names))


def soak(seconds: float, rate: float, seed: int, folder: Path) -> tuple[list[Row], dict[str, int]]:
    """Run load and faults for the given time; return the result and the faults that happened."""
    chance = random.Random(seed)
    happened: dict[str, int] = {}
    rows: list[Row] = []
    with ExitStack() as stack:
        program = redis_program()
        redis = Redis(program, folder / "redis") if program else None
        if redis is not None:
            stack.callback(redis.kill)
        common = {"ASSAY_HOME": str(folder / "home")}
        if redis is not None:
            common["REDIS_URL"] = f"redis://127.0.0.1:{redis.port}/0"
        watched, second, loads = [], [], {}
        for name in CALLS:
            own = [
                common | {"ASSAY_RANKER_DATABASE": str(folder / f"{number}.sqlite")}
                for number in range(2)
            ]
            replicas = pair(name, folder / name, own)
            for one in replicas:
                stack.callback(one.stop)
            watched.append(Watched(replicas[0]))
            second.append(replicas[1])
            loads[name] = Load(CALLS[name](target_of(replicas)), clients=_CLIENTS, rate=rate)
        possible = faults_of(second, redis)
        names = in_turn(list(possible), chance)
        until = time.monotonic() + seconds
        with ExitStack() as running:
            for load in loads.values():
                running.enter_context(load)
            after = time.monotonic() + 1
            while time.monotonic() < until:
                time.sleep(1)
                for each in watched:
                    each.sample()
                if time.monotonic() > after:
                    name = next(names)
                    possible[name]()
                    happened[name] = happened.get(name, 0) + 1
                    after = time.monotonic() + chance.uniform(*_BETWEEN_SECONDS)
        for name, load in loads.items():
            calls, what = load.calls, f"soak: {name}"
            shares = {
                f"p{share:g}": percentile(calls.seconds, share / 100) for share in (50, 90, 99)
            }
            reached = len(calls.seconds) / seconds
            says = (
                f"{len(calls.seconds):,} calls, {reached:.1f} a second of {rate:g}; "
                + ", ".join(f"{share} {1e3 * value:.0f} ms" for share, value in shares.items())
            )
            says += f", slowest {calls.worst:.1f} s"
            for problem in {*calls.failed, *calls.wrong}:
                print(f"{what}: {problem}", file=sys.stderr)
            rows += [
                row(what, "failed calls", len(calls.failed), 0, "", says),
                row(what, "wrong answers, lost or doubled documents", len(calls.wrong), 0, ""),
            ]
        for each in watched:
            rows += each.rows()
    return rows, happened


def main() -> int:
    """Run the soak and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=float, default=10, help="calls a second of each service")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-result", action="store_true", help="write nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-soak-") as scratch:
        rows, happened = soak(options.seconds, options.rate, options.seed, Path(scratch))
    print(happened)
    if not options.no_result:
        report.write(
            "faults/soak",
            rows,
            packages=("grpcio", "protobuf", "openvino", "redis"),
            faults=happened,
        )
    return 1 if any(one["ours"] > one["theirs"] for one in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
