"""Two replicas of each service, of which one is killed, hangs or is replaced under load."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.faults.callers import CALLS
from benchmarks.faults.load import Calls, Load
from benchmarks.faults.running import Running
from benchmarks.faults.table import Row, row

_CLIENTS = 4
# A call has at most 30 s, so a call that hangs with its replica has ended by then.
_HANGS_SECONDS = 30.0
_OUT_SECONDS = 3.0


def pair(name: str, folder: Path, variables: Sequence[Mapping[str, str]]) -> list[Running]:
    """Start two replicas, with the variables of each."""
    return [Running(name, folder / str(number), own) for number, own in enumerate(variables)]


def target_of(replicas: Sequence[Running]) -> str:
    """Address under which a client finds all replicas."""
    return "ipv4:" + ",".join(one.address for one in replicas)


def _under_load(replicas: Sequence[Running], during: Callable[[Load], None]) -> tuple[Calls, float]:
    """Call the replicas while something happens; return the calls and the seconds it took."""
    call = CALLS[replicas[0].name](target_of(replicas))
    with Load(call, clients=_CLIENTS) as load:
        load.answered(_CLIENTS * 5)
        begun = time.monotonic()
        during(load)
        seconds = time.monotonic() - begun
        load.answered(_CLIENTS * 5)
    return load.calls, seconds


def rolling_restart(replicas: Sequence[Running]) -> list[Row]:
    """Send SIGTERM to each replica in turn, and start it again before the next one."""

    def roll(load: Load) -> None:
        for one in replicas:
            one.stop()
            one.start()
            load.answered(_CLIENTS * 5)

    calls, _ = _under_load(replicas, roll)
    return _rows(f"{replicas[0].name}: rolling restart of two replicas", calls, 0.0)


def killed(replicas: Sequence[Running]) -> list[Row]:
    """Send SIGKILL to one replica, and start it again."""

    def kill(load: Load) -> None:
        replicas[1].kill()
        load.answered(_CLIENTS * 10)
        replicas[1].start()

    calls, _ = _under_load(replicas, kill)
    return _rows(f"{replicas[0].name}: kill -9 of one of two replicas", calls, 0.001)


def hung(replicas: Sequence[Running]) -> list[Row]:
    """Send SIGSTOP to one replica, and SIGCONT once its calls have ended elsewhere."""

    def hang(_: Load) -> None:
        replicas[1].signal(signal.SIGSTOP)
        time.sleep(_HANGS_SECONDS)
        replicas[1].signal(signal.SIGCONT)

    calls, _ = _under_load(replicas, hang)
    what = f"{replicas[0].name}: SIGSTOP of one of two replicas for {_HANGS_SECONDS:g} s"
    return [
        *_rows(what, calls, 0.01),
        row(what, "slowest call, until it was sent to the other", calls.worst, _OUT_SECONDS, "s"),
    ]


def _rows(what: str, calls: Calls, share: float) -> list[Row]:
    says = f"{len(calls.seconds):,} calls, the slowest took {calls.worst:.2f} s"
    return [
        row(what, "failed calls, of all", calls.failed_share, share, "", says),
        row(what, "wrong answers", len(calls.wrong), 0, ""),
    ]
