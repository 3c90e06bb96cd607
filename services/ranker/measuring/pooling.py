"""Pools timings of one environment over all verifications, instead of taking the latest.

Anyone who may repeat a verification until it suits can get any answer. So evidence keeps the
restarts of earlier verifications, and they are pooled with the new ones;
`services.common.statistics.speed.timing` evaluates them only at 8, 16, 32 and 64 clean ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

from services.common.statistics.speed.restarts import Restart
from services.common.statistics.speed.timing import LOOKS, MOST
from services.ranker.claims.evidence import Observation
from services.ranker.claims.findings import Evidence
from services.ranker.claims.identity import identity
from services.ranker.peers.protocol import BenchmarkResult

_MOST_CLEAN = max(LOOKS)


def restarts_of(result: BenchmarkResult) -> list[Restart]:
    """Return a benchmark's processes as observations.

    A process that did not observe the machine does not count as having had it alone.
    """
    found = []
    for place, process in enumerate(result.samples):
        if not process.seconds:
            continue
        seconds, least = median(process.seconds), min(process.seconds)
        if place >= len(result.restart_records):
            found.append(Restart(float(place), seconds, least, None, None, None))
            continue
        record = result.restart_records[place]
        load = record.load
        found.append(
            Restart(
                started=round(record.start_time.ToNanoseconds() / 1e9, 3),
                seconds=seconds,
                least=least,
                others=load.others_cores if load.HasField("others_cores") else None,
                kernel=load.kernel_ratio if load.HasField("kernel_ratio") else None,
                steal=load.steal if load.HasField("steal") else None,
                throttled=load.throttled,
                own=load.own_share,
                allowed=load.allowed_others_cores,
            )
        )
    return found


def written(restart: Restart) -> Mapping[str, object]:
    """Return a restart in the form for evidence."""
    return {
        "started": restart.started,
        "seconds": restart.seconds,
        "least": restart.least,
        "others": restart.others,
        "allowed": restart.allowed,
        "kernel": restart.kernel,
        "steal": restart.steal,
        "throttled": restart.throttled,
        "own": restart.own,
    }


def read(kept: Mapping[str, object]) -> Restart:
    """Read a restart from evidence. Raises ValueError if it is not one."""
    try:
        return Restart(
            started=_number(kept["started"]),
            seconds=_number(kept["seconds"]),
            least=_number(kept["least"]),
            others=_known(kept["others"]),
            kernel=_known(kept["kernel"]),
            steal=_known(kept["steal"]),
            throttled=bool(kept["throttled"]),
            own=_known(kept["own"]),
            allowed=_number(kept["allowed"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{kept!r:.80} is not a restart") from error


def pooled(
    observation: Observation, method: str, new: Iterable[Restart], earlier: Iterable[Evidence]
) -> list[Restart]:
    """Return new restarts with those of earlier evidence of the same identity, oldest first.

    `observation` describes the new ones, measured by `method`. Keeps only as many as are ever
    evaluated: 64 clean ones, and 24 others.
    """
    own = _identity(observation, method)
    kept = [
        read(restart)
        for one in earlier
        if one.restarts and one.method == method and _identity(one, method) == own
        for restart in one.restarts
    ]
    unique = {one.started: one for one in (*new, *kept)}
    ordered = [unique[started] for started in sorted(unique)]
    return sorted(
        (*[one for one in ordered if one.clean][:_MOST_CLEAN],
         *[one for one in ordered if not one.clean][:MOST]),
        key=lambda one: one.started,
    )  # fmt: skip


def _identity(of: Observation | Evidence, method: str) -> str:
    return identity(
        method=method,
        subject_digest=of.subject_digest,
        subject=of.subject,
        engine=of.engine,
        environment=of.environment,
        inputs=[one.digest for one in of.inputs],
    )


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _known(value: object) -> float | None:
    return None if value is None else _number(value)
