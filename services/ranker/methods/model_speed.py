"""Latency and throughput of a served model, timed by segment in processes of their own.

A figure holds for the machine and the engine that its evidence names. What else runs on a machine
only ever adds time; so when runs spread too far to say how long one takes, the longest of them is
kept as an upper bound, and a claim that it does not settle stays INCONCLUSIVE.
"""

from __future__ import annotations

import math
from statistics import fmean, median

from services.ranker.evidence import Observation
from services.ranker.intervals import LEVEL, clustered_median, quotient
from services.ranker.methods.model_facts import recipe
from services.ranker.methods.registration import Measurement, method
from services.ranker.model import Basis, Claim, Interval, SubjectRelation, Value
from services.ranker.peers import Scenario, ServedModel, SpeedFigures, SpeedPlan
from services.ranker.probes import Budget, Probes, UnobservableError

_ACCELERATED = ("cuda", "tensorrt", "rocm", "gpu")
_BATCHES = (1, 32)
_BATCHES_ON_CPU = (1, 4)


def _on_accelerator(model: ServedModel) -> bool:
    return any(word in model.engine.lower() for word in _ACCELERATED)


async def _subject(claim: Claim, probes: Probes) -> tuple[ServedModel, SubjectRelation]:
    """Return the model to time; one of another size says nothing of this one's time."""
    model, relation = await probes.model(claim.artifact)
    if relation is SubjectRelation.PROXY:
        raise UnobservableError(f"segment serves no model of its architecture, only {model.name}")
    return model, relation


@method(1, Measurement.SINGLE_STREAM)
async def cpu_latency(claim: Claim, probes: Probes) -> Observation:
    """Seconds a picture, one after the other, on a CPU."""
    model, relation = await _subject(claim, probes)
    if _on_accelerator(model):
        raise UnobservableError(f"{model.name} is served on an accelerator ({model.engine})")
    return await _latency(model, relation, probes)


@method(1, Measurement.SINGLE_STREAM)
async def accelerator_latency(claim: Claim, probes: Probes) -> Observation:
    """Seconds a picture, one after the other, on an accelerator."""
    model, relation = await _subject(claim, probes)
    if not _on_accelerator(model):
        raise UnobservableError(f"{model.name} is served on a CPU ({model.engine})")
    return await _latency(model, relation, probes)


async def _latency(model: ServedModel, relation: SubjectRelation, probes: Probes) -> Observation:
    full = probes.budget is Budget.FULL
    plan = SpeedPlan(
        Scenario.SINGLE_STREAM,
        batch_size=1,
        runs=20 if full else 5,
        restarts=6 if full else 3,
        seconds=240 if full else 60,
    )
    figures = await probes.speed(model, plan)
    interval = _batch_seconds(figures)
    value = fmean(median(process) for process in figures.seconds if process)
    return Observation(
        value=Value(min(max(value, interval.low), interval.high), "s"),
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=model.digest,
        interval=interval,
        n=sum(len(process) for process in figures.seconds),
        environment=figures.environment,
        note=_note(model, figures),
        recipe=recipe(model, relation),
    )


def _batch_seconds(figures: SpeedFigures, level: float = LEVEL) -> Interval:
    """Return the interval of a batch's seconds; on a noisy machine, what the runs bound."""
    interval = clustered_median(figures.seconds, level)
    if interval is None or figures.noisy:
        return Interval(0.0, max(max(process) for process in figures.seconds if process))
    return Interval(max(interval.low, 0.0), interval.high, interval.level)


def _note(model: ServedModel, figures: SpeedFigures) -> str:
    runs = sum(len(process) for process in figures.seconds)
    text = (
        f"On {figures.environment.get('cpu', 'this machine')} with {model.engine}, {runs} runs in "
        f"{len(figures.seconds)} processes; it holds for this hardware and engine."
    )
    if figures.noisy:
        text += (
            f" The machine was noisy (median deviation {figures.noise:.0%} of the median), so only "
            "the longest run is kept, as an upper bound."
        )
    return text


@method(1, Measurement.OFFLINE)
async def batch_speedup(claim: Claim, probes: Probes) -> Observation:
    """Pictures a second in batches over pictures a second one at a time.

    On an accelerator it is the figure of the claim; on a CPU, which the claim is not about, it is
    shown for orientation and only within a full budget.
    """
    model, relation = await _subject(claim, probes)
    accelerated = _on_accelerator(model)
    if not accelerated and probes.budget is not Budget.FULL:
        raise UnobservableError(f"{model.name} is served on a CPU, and the claim is about GPUs")
    small, large = _BATCHES if accelerated else _BATCHES_ON_CPU
    alone = await probes.speed(model, _offline(small, probes.budget))
    batched = await probes.speed(model, _offline(large, probes.budget))
    each = 1 - (1 - LEVEL) / 2  # so that their quotient holds LEVEL
    seconds = _batch_seconds(batched, each)
    rates = Interval(large / seconds.high, _over(large, seconds.low), seconds.level)
    single = _batch_seconds(alone, each)
    single_rates = Interval(small / single.high, _over(small, single.low), single.level)
    rate, single_rate = (
        figures.batch_size / fmean(median(process) for process in figures.seconds if process)
        for figures in (batched, alone)
    )
    interval = quotient(rates, single_rates)
    ratio = min(max(rate / single_rate, interval.low), interval.high)
    return Observation(
        value=Value(ratio, "1"),
        relation=relation if accelerated else SubjectRelation.PROXY,
        basis=Basis.MEASURED,
        subject_digest=model.digest,
        interval=interval,
        n=sum(len(process) for process in (*alone.seconds, *batched.seconds)),
        environment=batched.environment,
        note=(
            f"{rate:.3g} pictures a second in batches of {large}, {single_rate:.3g} in batches of "
            f"{small}. {_note(model, batched)}"
        ),
        recipe=recipe(model, relation),
    )


def _offline(batch_size: int, budget: Budget) -> SpeedPlan:
    full = budget is Budget.FULL
    return SpeedPlan(
        Scenario.OFFLINE,
        batch_size=batch_size,
        runs=10 if full else 5,
        restarts=4 if full else 3,
        seconds=150 if full else 30,
    )


def _over(above: float, below: float) -> float:
    return above / below if below > 0 else math.inf
