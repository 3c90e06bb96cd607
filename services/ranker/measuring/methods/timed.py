"""How long a batch takes, from a benchmark and those of earlier verifications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.common.counts import plural
from services.common.statistics.speed.restarts import Restart
from services.common.statistics.speed.timing import WANTED, Timing, timing
from services.ranker.claims.evidence import Observation
from services.ranker.claims.identity import hardware_class
from services.ranker.claims.model import Basis, Claim, SubjectRelation
from services.ranker.measuring.measurements import Measurements
from services.ranker.measuring.methods.model_facts import recipe
from services.ranker.measuring.pooling import pooled, restarts_of, written
from services.ranker.peers.protocol import (
    BenchmarkResult,
    Model,
    engine,
    environment,
    model_subject,
)


@dataclass(frozen=True)
class Timed:
    """The restarts of one environment, their joint result, and an observation without value."""

    timing: Timing
    restarts: tuple[Restart, ...]
    observation: Observation


async def timed(
    claim: Claim,
    measurements: Measurements,
    model: Model,
    relation: SubjectRelation,
    result: BenchmarkResult,
) -> Timed:
    """Pool a benchmark with the claim's stored ones, and describe its conditions."""
    base = Observation(
        value=None,
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=model.ref.digest,
        subject=model_subject(model, relation),
        environment=environment(result.environment),
        engine=engine(result.engine),
        recipe=recipe(model, relation),
    )
    earlier = await measurements.earlier(claim)
    restarts = tuple(pooled(base, claim.method, restarts_of(result), earlier))
    found = timing(restarts)
    observation = replace(
        base,
        n=found.used,
        restarts=tuple(written(one) for one in restarts),
        conditions=conditions(base, found, restarts),
    )
    return Timed(found, restarts, observation)


def conditions(of: Observation, found: Timing, restarts: Sequence[Restart]) -> str:
    """Say what a time holds for: engine, hardware, and how idle the machine was."""
    what = [f"with {engine_words(of)} on {hardware_class(of.environment) or 'this machine'}"]
    if found.interval.low is None:
        what.append(f"an upper bound, since {busy(found, restarts)}")
    else:
        what.append(f"{found.used} restarts on an idle machine")
    what.append(f"shortest run {found.least:.4g} s")
    if found.speeds is not None:
        fast, slow = found.speeds
        what.append(f"two speeds, up to {fast:.4g} s and from {slow:.4g} s")
    return "; ".join(what)


def engine_words(of: Observation) -> str:
    """The engine with the settings that affect its speed."""
    used = of.engine
    words = " ".join(str(used[key]) for key in ("id", "version") if used.get(key))
    precision = str(used.get("precision", "")).lower()
    if precision not in {"", "unspecified"}:
        words += f" in {precision}"
    threads = used.get("threads")
    return (
        f"{words}, {plural(threads, 'thread')}" if threads and isinstance(threads, int) else words
    )


def busy(found: Timing, restarts: Sequence[Restart]) -> str:
    """Why there are too few restarts on an idle machine."""
    if all(one.kernel is None for one in restarts):
        return "this machine's own speed is known after timings on two days"
    others = max((one.others or 0.0 for one in restarts), default=0.0)
    return (
        f"{found.clean} of {found.restarts} restarts ran on an idle machine, and "
        f"{WANTED} are needed; others used up to {others:.2g} processors"
    )
