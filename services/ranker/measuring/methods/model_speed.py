"""Latency and throughput of a served model, timed by segment in separate processes.

A figure holds for the machine and the engine that its evidence names. Other load on a machine only
ever adds time; so if too few processes had the machine alone, the longest is kept as an upper
bound, and a claim that it does not settle stays INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from services.common.statistics.interval import Interval, quotient
from services.common.statistics.interval import Kind as Certainty
from services.common.statistics.medians import least_count, reached
from services.common.statistics.speed.restarts import Restart, Slopes
from services.common.statistics.speed.timing import MOST, WANTED, rate
from services.ranker.claims import bounds
from services.ranker.claims.bounds import Value
from services.ranker.claims.choosing import MIN_LEVEL, is_engine
from services.ranker.claims.definition import (
    ALL_BUT_WEIGHTS,
    SEGMENTATION,
    Against,
    Definition,
    Kind,
    Plausible,
)
from services.ranker.claims.evidence import Observation
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.hardware import names_device
from services.ranker.claims.model import Aspect, Claim, SubjectRelation
from services.ranker.measuring.measurements import Budget, Measurements
from services.ranker.measuring.methods.registration import Measurement, depends_on, method
from services.ranker.measuring.methods.timed import Timed, timed
from services.ranker.measuring.pooling import restarts_of
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import (
    SCENARIO_OFFLINE,
    SCENARIO_SINGLE_STREAM,
    Model,
    SpeedPlan,
)

_ACCELERATED = ("cuda", "tensorrt", "rocm", "gpu")
_BATCHES = (1, 16, 32)
_BATCHES_ON_CPU = (1, 2, 4)
_RATE_BATCH_ON_CPU = 2
_ENGINES_ON_CPU = ("openvino-cpu", "onnxruntime-cpu", "torch-cpu")

# The three parts of the claim, each from its least to its greatest.
_LARGE_BATCH_PICTURES_PER_SECOND = (10.0, 50.0)
_MIDDLE_BATCH_OVER_LINE = (0.9, 1.1)  # its rate over that on the line between the two others
_LARGE_BATCH_OVER_SINGLE = (8.0, 12.0)


def _on_accelerator(model: Model) -> bool:
    return any(word in model.engine.id.lower() for word in _ACCELERATED)


async def _subject(claim: Claim, measurements: Measurements) -> tuple[Model, SubjectRelation]:
    """Return the model to time; another configuration says nothing about this one's time."""
    return await measurements.model(claim.artifact, depends_on(claim))


@method(
    2,
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
    return await _latency(claim, model, relation, measurements)


@method(
    2,
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
    return await _latency(claim, model, relation, measurements)


async def _latency(
    claim: Claim, model: Model, relation: SubjectRelation, measurements: Measurements
) -> Observation:
    """Time single pictures in sequence, by the claim's engine or by the one that serves."""
    result = await measurements.speed(model, _single(measurements.budget, _engine(claim)))
    found = await timed(claim, measurements, model, relation, result)
    observation = _with_seconds(found)
    if claim.engine or names_device(claim.hardware) or _on_accelerator(model):
        return observation
    # A claim that names neither holds equally for every engine: all are shown.
    figures = {result.engine.id: found.timing.seconds}
    figures |= await _other_engines(model, result.engine.id, measurements)
    if len(figures) == 1:
        return observation
    return replace(observation, breakdown=dict(sorted(figures.items())), breakdown_unit="s")


def _engine(claim: Claim) -> str:
    """The engine that a claim names, as segment calls it; empty for the one that serves."""
    return next((one for one in _ENGINES_ON_CPU if is_engine(claim.engine, one)), "")


def _single(budget: Budget, engine: str = "") -> SpeedPlan:
    full = budget is Budget.FULL
    return SpeedPlan(
        SCENARIO_SINGLE_STREAM,
        batch_size=1,
        runs=10 if full else 3,
        restarts=2 * WANTED if full else WANTED,
        seconds=300 if full else 60,
        engine=engine,
    )


async def _other_engines(
    model: Model, timed_already: str, measurements: Measurements
) -> dict[str, float]:
    """Return the seconds by each other available engine: from a few runs, for orientation."""
    found = {}
    full = measurements.budget is Budget.FULL
    for one in _ENGINES_ON_CPU:
        plan = replace(
            _single(measurements.budget, one),
            runs=3,
            restarts=3 if full else 1,
            seconds=60 if full else 5,
        )
        if one != timed_already:
            try:
                result = await measurements.speed(model, plan)
            except UnobservableError:  # not installed, or cannot run this model
                continue
            found[one] = median(restart.seconds for restart in restarts_of(result))
    return found


def _with_seconds(found: Timed) -> Observation:
    interval = found.timing.interval
    return replace(
        found.observation,
        value=Value(found.timing.seconds, "s"),
        # A time is above 0, whatever else is unknown about it.
        interval=bounds.Interval(interval.low or 0.0, interval.high or 0.0, interval.level),
        note=_note(found),
    )


def _note(found: Timed) -> str:
    return (
        f"Median of {found.timing.used} restarts of {found.timing.restarts}, those of earlier "
        f"verifications included; {found.observation.conditions}."
    )


@method(
    3,
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

    A CPU gains nothing from larger batches, and a slow model would need minutes for them.
    """
    model, relation = await _subject(claim, measurements)
    size = _BATCHES[-1] if _on_accelerator(model) else _RATE_BATCH_ON_CPU
    result = await measurements.speed(model, _offline(size, measurements.budget))
    found = await timed(claim, measurements, model, relation, result)
    pictures = rate(size, found.timing.interval)
    return replace(
        found.observation,
        value=Value(size / found.timing.seconds, "pictures/s"),
        interval=bounds.Interval.of(pictures),
        note=f"In batches of {size}. {_note(found)}",
    )


@method(
    3,
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
        against=Against(
            "the same model, one picture at a time", ("one picture", "same model"), also="single"
        ),
    ),
)
async def batch_speedup(claim: Claim, measurements: Measurements) -> Observation:
    """How many of the claim's three parts hold for pictures a second in batches.

    The parts are the rate in the largest batch, that rates lie on a straight line up to it, and the
    gain over single pictures. The interval runs from the number of parts that surely hold to the
    number that do not surely fail. On an accelerator this is the claim's figure; on a CPU, which
    the claim is not about, it is shown for orientation, and only with a full budget.
    """
    model, relation = await _subject(claim, measurements)
    accelerated = _on_accelerator(model)
    if not accelerated and measurements.budget is not Budget.FULL:
        raise UnobservableError(
            f"{model.ref.name} is served on a CPU, and the claim is about GPUs",
            UnmeasuredReason.ENGINE_UNAVAILABLE,
        )
    sizes = _BATCHES if accelerated else _BATCHES_ON_CPU
    results = [
        await measurements.speed(model, _offline(size, measurements.budget, _TOGETHER))
        for size in sizes
    ]
    restarts = [restarts_of(result) for result in results]
    rates = [rate(size, _together(found)) for size, found in zip(sizes, restarts, strict=True)]
    single, middle, large = (
        size / median(one.seconds for one in found)
        for size, found in zip(sizes, restarts, strict=True)
    )
    described = await timed(claim, measurements, model, relation, results[-1])
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
    return replace(
        described.observation,
        value=Value(float(min(max(count, low), high)), "parts that hold"),
        relation=relation if accelerated else SubjectRelation.PROXY,
        interval=bounds.Interval(low, high, MIN_LEVEL),
        n=min(map(len, restarts)),
        restarts=(),  # of three batch sizes, which are not pooled
        note=(
            f"{single:.3g}, {middle:.3g} and {large:.3g} pictures a second in batches of "
            f"{sizes[0]}, {sizes[1]} and {sizes[2]}: {large / single:.3g} times in the largest, "
            f"and in the middle one {straight:.3g} of what a straight line would give. "
            f"{_note(described)}"
        ),
    )


_TOGETHER = least_count(1 - (1 - MIN_LEVEL) / len(_BATCHES))
"""Clean restarts of each batch size, so that all sizes' intervals together can decide."""


def _together(restarts: Sequence[Restart]) -> Interval:
    """Seconds of a batch, at a level that suits three of them; an upper bound if too few."""
    clean = [one for one in restarts if one.clean]
    if len(clean) < _TOGETHER:
        level = 1 - 0.5 ** len(restarts)
        longest = max(one.seconds for one in restarts)
        return Interval(None, longest, level, Certainty.CONFIDENCE, "longest-restart@1")
    return Interval(
        min(Slopes().quiet(one) for one in clean),
        max(one.seconds for one in clean),
        reached(len(clean), 1),
        Certainty.CONFIDENCE,
        "clean-restarts@1",
    )


def _between(first: Interval, second: Interval, part: float) -> Interval:
    """Every value `part` of the way from a value in `first` to one in `second`."""
    level = max(0.0, first.level + second.level - 1)
    return Interval(
        _mixed(first.low, second.low, part),
        _mixed(first.high, second.high, part),
        level,
        Certainty.CONFIDENCE if level else Certainty.BOUNDS,
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


def _offline(batch_size: int, budget: Budget, restarts: int = WANTED) -> SpeedPlan:
    full = budget is Budget.FULL
    return SpeedPlan(
        SCENARIO_OFFLINE,
        batch_size=batch_size,
        runs=10 if full else 3,
        restarts=min(MOST, 2 * restarts) if full else restarts,
        seconds=300 if full else 30,
    )
