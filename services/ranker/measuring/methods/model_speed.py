"""Latency and throughput of a served model, timed by segment in processes of their own.

A figure holds for the machine and the engine that its evidence names. What else runs on a machine
only ever adds time; so when runs spread too far to say how long one takes, the longest of them is
kept as an upper bound, and a claim that it does not settle stays INCONCLUSIVE.
"""

from __future__ import annotations

import math
from statistics import fmean, median

from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Basis, Claim, Interval, SubjectRelation, Value
from services.ranker.measuring.intervals import LEVEL, clustered_median, quotient
from services.ranker.measuring.methods.model_facts import recipe
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.measuring.probes import Budget, Probes, UnobservableError
from services.ranker.peers.protocol import Scenario, ServedModel, SpeedFigures, SpeedPlan

_ACCELERATED = ("cuda", "tensorrt", "rocm", "gpu")
_BATCHES = (1, 16, 32)
_BATCHES_ON_CPU = (1, 2, 4)
_RATE_BATCH_ON_CPU = 2

_RATE = (10.0, 50.0)  # pictures a second
_STRAIGHT = (0.9, 1.1)  # the middle batch's rate over that on the line between the two others
_SPEEDUP = (8.0, 12.0)


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
        runs=20 if full else 3,
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


@method(2, Measurement.OFFLINE)
async def batch_rate(claim: Claim, probes: Probes) -> Observation:
    """Pictures a second in batches: of 32 on an accelerator, and of 2 on a CPU.

    A CPU gains nothing from larger ones, and a slow model would take minutes to go through them.
    """
    model, relation = await _subject(claim, probes)
    size = _BATCHES[-1] if _on_accelerator(model) else _RATE_BATCH_ON_CPU
    figures = await probes.speed(model, _offline(size, probes.budget))
    interval = _rate(figures, LEVEL)
    rate = size / fmean(median(process) for process in figures.seconds if process)
    return Observation(
        value=Value(min(max(rate, interval.low), interval.high), "pictures/s"),
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=model.digest,
        interval=interval,
        n=sum(len(process) for process in figures.seconds),
        environment=figures.environment,
        note=f"In batches of {size}. {_note(model, figures)}",
        recipe=recipe(model, relation),
    )


@method(2, Measurement.OFFLINE)
async def batch_speedup(claim: Claim, probes: Probes) -> Observation:
    """How many of the claim's three parts hold for pictures a second in batches.

    They are the rate in the largest batch, that rates lie on a straight line up to it, and the
    gain over one picture at a time. The interval is from the parts that surely hold to those that
    do not surely fail. On an accelerator it is the figure of the claim; on a CPU, which the claim
    is not about, it is shown for orientation and only within a full budget.
    """
    model, relation = await _subject(claim, probes)
    accelerated = _on_accelerator(model)
    if not accelerated and probes.budget is not Budget.FULL:
        raise UnobservableError(f"{model.name} is served on a CPU, and the claim is about GPUs")
    sizes = _BATCHES if accelerated else _BATCHES_ON_CPU
    timed = [await probes.speed(model, _offline(size, probes.budget)) for size in sizes]
    each = 1 - (1 - LEVEL) / len(sizes)  # so that together they hold LEVEL
    rates = [_rate(figures, each) for figures in timed]
    single, middle, large = (
        figures.batch_size / fmean(median(process) for process in figures.seconds if process)
        for figures in timed
    )
    part = (sizes[1] - sizes[0]) / (sizes[2] - sizes[0])
    line = _between(rates[0], rates[2], part)
    straight = middle / (single + part * (large - single))
    parts = (
        (large, rates[2], _RATE),
        (straight, quotient(rates[1], line), _STRAIGHT),
        (large / single, quotient(rates[2], rates[0]), _SPEEDUP),
    )
    low = sum(_inside(interval, span) for _, interval, span in parts)
    high = sum(not _outside(interval, span) for _, interval, span in parts)
    count = sum(span[0] <= value <= span[1] for value, _, span in parts)
    return Observation(
        value=Value(float(min(max(count, low), high)), "parts that hold"),
        relation=relation if accelerated else SubjectRelation.PROXY,
        basis=Basis.MEASURED,
        subject_digest=model.digest,
        interval=Interval(low, high, LEVEL),
        n=sum(len(process) for figures in timed for process in figures.seconds),
        environment=timed[-1].environment,
        note=(
            f"{single:.3g}, {middle:.3g} and {large:.3g} pictures a second in batches of "
            f"{sizes[0]}, {sizes[1]} and {sizes[2]}: {large / single:.3g} times in the largest, "
            f"and in the middle one {straight:.3g} of what a straight line would give. "
            f"{_note(model, timed[-1])}"
        ),
        recipe=recipe(model, relation),
    )


def _rate(figures: SpeedFigures, level: float) -> Interval:
    """Pictures a second."""
    seconds = _batch_seconds(figures, level)
    size = figures.batch_size
    return Interval(size / seconds.high, _over(size, seconds.low), seconds.level)


def _between(first: Interval, second: Interval, part: float) -> Interval:
    """Every value `part` of the way from one in `first` to one in `second`."""
    low, high = (
        (1 - part) * one + part * other
        for one, other in ((first.low, second.low), (first.high, second.high))
    )
    return Interval(low, high, max(0.0, first.level + second.level - 1))


def _inside(interval: Interval, span: tuple[float, float]) -> bool:
    return span[0] <= interval.low and interval.high <= span[1]


def _outside(interval: Interval, span: tuple[float, float]) -> bool:
    return interval.high < span[0] or interval.low > span[1]


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
