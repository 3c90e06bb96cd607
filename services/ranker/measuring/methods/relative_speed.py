"""A model's time relative to a reference on the same machine: one scale for all hardware."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

from services.common.statistics.medians import least_count
from services.common.statistics.ranking import family
from services.common.statistics.speed.speed_ratios import PairedRestart, ratio_interval
from services.ranker.claims import bounds
from services.ranker.claims.bounds import Value
from services.ranker.claims.choosing import MIN_LEVEL
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
from services.ranker.claims.identity import hardware_class
from services.ranker.claims.model import Aspect, Basis, Claim, SubjectRelation
from services.ranker.measuring.measurements import Budget, Measurements
from services.ranker.measuring.methods.model_facts import recipe
from services.ranker.measuring.methods.registration import Measurement, depends_on, method
from services.ranker.measuring.pooling import restarts_of
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import (
    SCENARIO_SINGLE_STREAM,
    BenchmarkResult,
    Model,
    SpeedPlan,
    engine,
    environment,
    input_of,
    model_subject,
)

REFERENCE = "segformer-b0-finetuned-ade-512-512"
"""The artifact whose time is 1."""

_RESTARTS = least_count(family.LEVEL)
_ALONE = SpeedPlan(SCENARIO_SINGLE_STREAM, batch_size=1, runs=3, restarts=1, seconds=30)
_BESIDE = SpeedPlan(SCENARIO_SINGLE_STREAM, batch_size=1, runs=5, restarts=_RESTARTS, seconds=900)


@method(
    1,
    Measurement.SINGLE_STREAM,
    Definition(
        aspect=Aspect.SPEED,
        kind=Kind.NUMBER,
        unit="1",
        fact="latency-ratio",
        types=SEGMENTATION,
        depends_on=ALL_BUT_WEIGHTS,
        machine=True,
        chance=Plausible(0.05, 50, logarithmic=True, least=0),
        against=Against(REFERENCE, ("segformer-b0", "segformer b0"), REFERENCE),
    ),
)
async def latency_ratio(claim: Claim, measurements: Measurements) -> Observation:
    """Seconds a picture over those of SegFormer-B0, both in the same processes, in turn.

    Only restarts on an idle machine count. With 17 of them, the interval has the level that places
    in a list need, and from 8 on that of a verdict.
    """
    parts = depends_on(claim)
    model, relation = await measurements.model(claim.artifact, parts)
    reference, _ = await measurements.model(REFERENCE, parts)
    if claim.artifact == REFERENCE:
        result = await measurements.speed(model, _ALONE)
        observation = _observed(model, relation, reference, result, 1)
        return replace(
            observation,
            value=Value(1.0, "1"),
            note="It is the reference: its ratio is 1 by definition.",
        )
    if measurements.budget is not Budget.FULL:
        raise UnobservableError(
            f"it takes {_RESTARTS} restarts of two models, and the budget is quick",
            UnmeasuredReason.TOO_COSTLY,
            "verify it with --budget full",
        )
    result = await measurements.speed(model, replace(_BESIDE, against=reference.ref.name))
    pairs = _pairs(result)
    if len(pairs) < least_count(MIN_LEVEL):
        raise UnobservableError(
            f"{len(pairs)} of {len(result.samples)} restarts ran on an idle machine, and "
            f"{least_count(MIN_LEVEL)} are needed",
            UnmeasuredReason.FAILED,
            "stop what else runs, and verify it again",
        )
    level = family.LEVEL if len(pairs) >= _RESTARTS else MIN_LEVEL
    ratio = median(one.first / one.second for one in pairs)
    observation = _observed(model, relation, reference, result, len(pairs))
    return replace(
        observation,
        value=Value(ratio, "1"),
        interval=bounds.Interval.of(ratio_interval(pairs, level)),
        note=(
            f"{median(one.first for one in pairs):.4g} s a picture beside "
            f"{median(one.second for one in pairs):.4g} s of {reference.ref.name}, in "
            f"{len(pairs)} restarts on an idle machine."
        ),
    )


def _pairs(result: BenchmarkResult) -> list[PairedRestart]:
    """The restarts on an idle machine, with both models' median runs."""
    found = []
    for timed, other in zip(restarts_of(result), result.paired.samples, strict=False):
        if timed.clean and timed.others is not None and other.seconds:
            beside = median(other.seconds)
            found.append(PairedRestart(timed.seconds, beside, timed.others, timed.kernel))
    return found


def _observed(
    model: Model,
    relation: SubjectRelation,
    reference: Model,
    result: BenchmarkResult,
    count: int,
) -> Observation:
    described = environment(result.environment)
    return Observation(
        value=None,
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=model.ref.digest,
        subject=model_subject(model, relation),
        n=count,
        environment=described,
        engine=engine(result.engine),
        inputs=(input_of(reference.ref),),
        recipe=recipe(model, relation),
        conditions=f"with {model.engine.id} on {hardware_class(described) or 'this machine'}",
    )
