"""Latency and throughput of a served model, timed by segment in processes of their own.

A figure holds for the machine and the engine that its evidence names. What else runs on a machine
only ever adds time; so when runs spread too far to say how long one takes, the longest of them is
kept as an upper bound, and a claim that it does not settle stays INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median

from services.common.statistics.estimate import mean_of
from services.common.statistics.interval import Interval, quotient
from services.common.statistics.interval import Kind as Meaning
from services.common.statistics.student import student
from services.ranker.claims import model as claims
from services.ranker.claims.definition import (
    ALL_BUT_WEIGHTS,
    SEGMENTATION,
    Definition,
    Kind,
    Plausible,
)
from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import (
    Aspect,
    Basis,
    Claim,
    SubjectRelation,
    UnmeasuredReason,
    Value,
)
from services.ranker.claims.verdict import MIN_LEVEL
from services.ranker.measuring.measurements import Budget, Measurements
from services.ranker.measuring.methods.model_facts import recipe
from services.ranker.measuring.methods.registration import Measurement, depends_on, method
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import (
    SCENARIO_OFFLINE,
    SCENARIO_SINGLE_STREAM,
    BenchmarkResult,
    Model,
    SpeedPlan,
    engine,
    environment,
    model_subject,
)

_ACCELERATED = ("cuda", "tensorrt", "rocm", "gpu")
_BATCHES = (1, 16, 32)
_BATCHES_ON_CPU = (1, 2, 4)
_RATE_BATCH_ON_CPU = 2

# The three parts of the claim, each from its least to its greatest.
_LARGE_BATCH_PICTURES_PER_SECOND = (10.0, 50.0)
_MIDDLE_BATCH_OVER_LINE = (0.9, 1.1)  # its rate over that on the line between the two others
_LARGE_BATCH_OVER_SINGLE = (8.0, 12.0)


def _on_accelerator(model: Model) -> bool:
    return any(word in model.engine.id.lower() for word in _ACCELERATED)


async def _subject(claim: Claim, measurements: Measurements) -> tuple[Model, SubjectRelation]:
    """Return the model to time; another configuration says nothing of this one's time."""
    return await measurements.model(claim.artifact, depends_on(claim))


@method(
    1,
    Measurement.SINGLE_STREAM,
    Definition(
        aspect=Aspect.SPEED,
        kind=Kind.NUMBER,
        unit="s",
        fact="cpu-latency",
        types=SEGMENTATION,
        depends_on=ALL_BUT_WEIGHTS,
        machine=True,
        chance=Plausible(0.005, 60, logarithmic=True, least=0),
    ),
)
async def cpu_latency(claim: Claim, measurements: Measurements) -> Observation:
    """Seconds a picture, one after the other, on a CPU."""
    model, relation = await _subject(claim, measurements)
    if _on_accelerator(model):
        raise UnobservableError(
            f"{model.ref.name} is served on an accelerator ({model.engine.id})",
            UnmeasuredReason.ENGINE_UNAVAILABLE,
        )
    return await _latency(model, relation, measurements)


@method(
    1,
    Measurement.SINGLE_STREAM,
    Definition(
        aspect=Aspect.SPEED,
        kind=Kind.NUMBER,
        unit="s",
        fact="gpu-latency",
        types=SEGMENTATION,
        depends_on=ALL_BUT_WEIGHTS,
        machine=True,
        chance=Plausible(0.0005, 5, logarithmic=True, least=0),
    ),
)
async def accelerator_latency(claim: Claim, measurements: Measurements) -> Observation:
    """Seconds a picture, one after the other, on an accelerator."""
    model, relation = await _subject(claim, measurements)
    if not _on_accelerator(model):
        raise UnobservableError(
            f"{model.ref.name} is served on a CPU ({model.engine.id})",
            UnmeasuredReason.ENGINE_UNAVAILABLE,
        )
    return await _latency(model, relation, measurements)


async def _latency(
    model: Model, relation: SubjectRelation, measurements: Measurements
) -> Observation:
    full = measurements.budget is Budget.FULL
    plan = SpeedPlan(
        SCENARIO_SINGLE_STREAM,
        batch_size=1,
        runs=20 if full else 3,
        restarts=6 if full else 3,
        seconds=240 if full else 60,
    )
    result = await measurements.speed(model, plan)
    interval = claims.Interval.of(_batch_seconds(result))
    value = _mean_of_medians(result)
    return Observation(
        value=Value(min(max(value, interval.low), interval.high), "s"),
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=model.ref.digest,
        subject=model_subject(model),
        interval=interval,
        n=_runs(result),
        environment=environment(result.environment),
        engine=engine(result.engine),
        note=_note(model, result),
        recipe=recipe(model, relation),
    )


def _seconds(result: BenchmarkResult) -> list[Sequence[float]]:
    """Return the seconds of each batch, by the process that timed it."""
    return [process.seconds for process in result.samples if process.seconds]


def _runs(result: BenchmarkResult) -> int:
    return sum(map(len, _seconds(result)))


def _mean_of_medians(result: BenchmarkResult) -> float:
    return fmean(map(median, _seconds(result)))


def _batch_seconds(result: BenchmarkResult, level: float = MIN_LEVEL) -> Interval:
    """Return the interval of a batch's seconds; on a noisy machine, what the runs bound.

    Runs of one process share its fate, so each process counts as one observation, its median.
    """
    medians = list(map(median, _seconds(result)))
    if len(medians) < 2 or result.noisy:
        longest = max(map(max, _seconds(result)))
        return Interval(0.0, longest, 0.0, Meaning.BOUNDS, "longest-run@1")
    interval = student(mean_of(medians), level)
    return replace(interval, low=max(interval.low or 0.0, 0.0))


def _note(model: Model, result: BenchmarkResult) -> str:
    text = (
        f"On {result.environment.cpu} with {model.engine.id}, {_runs(result)} runs in "
        f"{len(_seconds(result))} processes; it holds for this hardware and engine."
    )
    if result.noisy:
        text += (
            f" The machine was noisy (median deviation {result.noise:.0%} of the median), so only "
            "the longest run is kept, as an upper bound."
        )
    return text


@method(
    2,
    Measurement.OFFLINE,
    Definition(
        aspect=Aspect.SPEED,
        kind=Kind.NUMBER,
        unit="pictures/s",
        fact="batch-throughput",
        types=SEGMENTATION,
        depends_on=ALL_BUT_WEIGHTS,
        machine=True,
        chance=Plausible(0.05, 5000, logarithmic=True, least=0),
    ),
)
async def batch_rate(claim: Claim, measurements: Measurements) -> Observation:
    """Pictures a second in batches: of 32 on an accelerator, and of 2 on a CPU.

    A CPU gains nothing from larger ones, and a slow model would take minutes to go through them.
    """
    model, relation = await _subject(claim, measurements)
    size = _BATCHES[-1] if _on_accelerator(model) else _RATE_BATCH_ON_CPU
    result = await measurements.speed(model, _offline(size, measurements.budget))
    interval = claims.Interval.of(_rate(result, MIN_LEVEL))
    rate = size / _mean_of_medians(result)
    return Observation(
        value=Value(min(max(rate, interval.low), interval.high), "pictures/s"),
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=model.ref.digest,
        subject=model_subject(model),
        interval=interval,
        n=_runs(result),
        environment=environment(result.environment),
        engine=engine(result.engine),
        note=f"In batches of {size}. {_note(model, result)}",
        recipe=recipe(model, relation),
    )


@method(
    2,
    Measurement.OFFLINE,
    Definition(
        aspect=Aspect.SPEED,
        kind=Kind.NUMBER,
        unit="parts that hold",
        fact="batch-speedup",
        types=SEGMENTATION,
        depends_on=ALL_BUT_WEIGHTS,
        machine=True,
        chance=Plausible(0, 3, least=0, most=3),
    ),
)
async def batch_speedup(claim: Claim, measurements: Measurements) -> Observation:
    """How many of the claim's three parts hold for pictures a second in batches.

    They are the rate in the largest batch, that rates lie on a straight line up to it, and the
    gain over one picture at a time. The interval is from the parts that surely hold to those that
    do not surely fail. On an accelerator it is the figure of the claim; on a CPU, which the claim
    is not about, it is shown for orientation and only within a full budget.
    """
    model, relation = await _subject(claim, measurements)
    accelerated = _on_accelerator(model)
    if not accelerated and measurements.budget is not Budget.FULL:
        raise UnobservableError(
            f"{model.ref.name} is served on a CPU, and the claim is about GPUs",
            UnmeasuredReason.ENGINE_UNAVAILABLE,
        )
    sizes = _BATCHES if accelerated else _BATCHES_ON_CPU
    timed = [await measurements.speed(model, _offline(size, measurements.budget)) for size in sizes]
    each = 1 - (1 - MIN_LEVEL) / len(sizes)  # so that together they can decide
    rates = [_rate(result, each) for result in timed]
    single, middle, large = (result.batch_size / _mean_of_medians(result) for result in timed)
    part = (sizes[1] - sizes[0]) / (sizes[2] - sizes[0])
    line = _between(rates[0], rates[2], part)
    straight = middle / (single + part * (large - single))
    parts = (
        (large, rates[2], _LARGE_BATCH_PICTURES_PER_SECOND),
        (straight, quotient(rates[1], line), _MIDDLE_BATCH_OVER_LINE),
        (large / single, quotient(rates[2], rates[0]), _LARGE_BATCH_OVER_SINGLE),
    )
    low = sum(_inside(interval, span) for _, interval, span in parts)
    high = sum(not _outside(interval, span) for _, interval, span in parts)
    count = sum(span[0] <= value <= span[1] for value, _, span in parts)
    return Observation(
        value=Value(float(min(max(count, low), high)), "parts that hold"),
        relation=relation if accelerated else SubjectRelation.PROXY,
        basis=Basis.MEASURED,
        subject_digest=model.ref.digest,
        subject=model_subject(model),
        interval=claims.Interval(low, high, MIN_LEVEL),
        n=sum(map(_runs, timed)),
        environment=environment(timed[-1].environment),
        engine=engine(timed[-1].engine),
        note=(
            f"{single:.3g}, {middle:.3g} and {large:.3g} pictures a second in batches of "
            f"{sizes[0]}, {sizes[1]} and {sizes[2]}: {large / single:.3g} times in the largest, "
            f"and in the middle one {straight:.3g} of what a straight line would give. "
            f"{_note(model, timed[-1])}"
        ),
        recipe=recipe(model, relation),
    )


def _rate(result: BenchmarkResult, level: float) -> Interval:
    """Pictures a second; open above where a batch's seconds are only bounded."""
    seconds = _batch_seconds(result, level)
    size = result.batch_size
    low = size / seconds.high if seconds.high else None
    return replace(seconds, low=low, high=size / seconds.low if seconds.low else None)


def _between(first: Interval, second: Interval, part: float) -> Interval:
    """Every value `part` of the way from one in `first` to one in `second`."""
    level = max(0.0, first.level + second.level - 1)
    return Interval(
        _mixed(first.low, second.low, part),
        _mixed(first.high, second.high, part),
        level,
        Meaning.CONFIDENCE if level else Meaning.BOUNDS,
        "between@1",
    )


def _mixed(one: float | None, other: float | None, part: float) -> float | None:
    return None if one is None or other is None else (1 - part) * one + part * other


def _inside(interval: Interval, span: tuple[float, float]) -> bool:
    low, high = interval.low, interval.high
    return low is not None and span[0] <= low and high is not None and high <= span[1]


def _outside(interval: Interval, span: tuple[float, float]) -> bool:
    low, high = interval.low, interval.high
    return (high is not None and high < span[0]) or (low is not None and low > span[1])


def _offline(batch_size: int, budget: Budget) -> SpeedPlan:
    full = budget is Budget.FULL
    return SpeedPlan(
        SCENARIO_OFFLINE,
        batch_size=batch_size,
        runs=10 if full else 5,
        restarts=4 if full else 3,
        seconds=150 if full else 30,
    )
