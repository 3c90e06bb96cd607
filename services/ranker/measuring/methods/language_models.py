"""Language models: their facts, and their bits per byte, from corpus's scoring.

The scored model is the one served under the artifact's id. Only digests show whether that is the
artifact, and the same applies to the corpus: a figure's relation to the claim is the weaker of the
two, and a figure that corpus itself doubts decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import median

from services.common.percent import percent
from services.ranker.claims.bounds import Interval, Value, ends
from services.ranker.claims.choosing import MIN_LEVEL
from services.ranker.claims.definition import LANGUAGE, PARTS, Definition, Kind, Plausible
from services.ranker.claims.evidence import Observation
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import Aspect, Basis, Claim, SubjectRelation
from services.ranker.measuring.measurements import Budget, Measurements
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.measuring.served import held_out, weaker
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import (
    STANDING_EXACT,
    STANDING_EXAMPLE,
    BitsPerByte,
    BPBDifference,
    CorpusRef,
    CorpusSummary,
    FinalScore,
    LanguageModel,
    ModelRef,
    ScoreBasis,
    ScorePlan,
    corpus_label,
    definition_name,
    engine,
    environment,
    input_of,
    language_model_subject,
    unidentified,
)

_UNIT = "bits per byte"
_SPANS_QUICK, _SPANS_FULL, _MOST_SPANS = 100, 500, 1600
_SPEED_BYTES = 20_000
_SPEED_TIMES = 8


def _observed(
    value: Value, model: LanguageModel, relation: SubjectRelation, note: str = ""
) -> Observation:
    return Observation(
        value=value,
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=model.ref.digest,
        subject=language_model_subject(model, relation),
        note=f"Observed on {model.ref.name} ({model.architecture}). {note}".rstrip(),
    )


@method(
    1,
    Measurement.LANGUAGE_MODEL_FACTS,
    Definition(
        aspect=Aspect.SIZE,
        kind=Kind.NUMBER,
        unit="parameters",
        fact="parameters",
        types=LANGUAGE,
        chance=Plausible(1e5, 1e12, logarithmic=True, least=0),
        other=PARTS,
    ),
)
async def parameter_count(claim: Claim, measurements: Measurements) -> Observation:
    """Parameters of the whole model; parameters that two layers share count once."""
    model, relation = await measurements.language_model(claim.artifact)
    found = _observed(Value(float(model.parameters), "parameters"), model, relation)
    return replace(found, conditions="of the whole model")


@method(
    1,
    Measurement.LANGUAGE_MODEL_FACTS,
    Definition(
        aspect=Aspect.SHAPE,
        kind=Kind.NUMBER,
        unit="tokens",
        fact="window",
        types=LANGUAGE,
        chance=Plausible(128, 1e6, logarithmic=True, least=0),
    ),
)
async def window(claim: Claim, measurements: Measurements) -> Observation:
    """Tokens that the model reads at once."""
    model, relation = await measurements.language_model(claim.artifact)
    if model.max_length_assumed:
        name, length = model.ref.name, f"{model.max_length:,} tokens"
        raise UnobservableError(f"no file of {name} states a window: it is scored in {length}")
    return _observed(Value(float(model.max_length), "tokens"), model, relation)


@method(
    1,
    Measurement.LANGUAGE_MODEL_FACTS,
    Definition(
        aspect=Aspect.SHAPE,
        kind=Kind.NUMBER,
        unit="tokens",
        fact="vocabulary",
        types=LANGUAGE,
        chance=Plausible(256, 1e6, logarithmic=True, least=0),
        ceiling=True,
    ),
)
async def vocabulary(claim: Claim, measurements: Measurements) -> Observation:
    """Tokens with embeddings; the tokenizer may have fewer."""
    model, relation = await measurements.language_model(claim.artifact)
    count, name = model.vocabulary, model.ref.name
    if not count:
        raise UnobservableError(f"corpus does not say how many tokens {name} knows")
    if claim.bound is not None and ends(claim.bound)[1] < count:
        fewer = "its tokenizer may know fewer: embeddings are padded to round numbers"
        raise UnobservableError(f"{name} has embeddings for {count:,} tokens, and {fewer}")
    return _observed(Value(float(count), "tokens"), model, relation)


@method(
    2,
    Measurement.BITS_PER_BYTE,
    Definition(
        aspect=Aspect.ACCURACY,
        kind=Kind.NUMBER,
        unit=_UNIT,
        fact="bits-per-byte",
        types=LANGUAGE,
        dataset=True,
        chance=Plausible(0.3, 8, logarithmic=True, least=0),
    ),
)
async def bits_per_byte(claim: Claim, measurements: Measurements) -> Observation:
    """Bits per byte on held-out documents of a corpus, or of a subset of it."""
    model, known = await measurements.language_model(claim.artifact)
    corpus, of = await measurements.dataset(claim)
    plan = _plan(claim, corpus, measurements.budget)
    result = await measurements.score(corpus, model, plan)
    score = _score_of(claim, corpus, plan, result)
    while claim.subset and score.basis.standing == STANDING_EXAMPLE and plan.spans < _MOST_SPANS:
        # Its tokenizer reproduces too little of the text; scoring the rest costs nothing.
        plan = replace(plan, spans=4 * plan.spans)
        result = await measurements.score(corpus, model, plan)
        score = _score_of(claim, corpus, plan, result)
    parts = {} if claim.subset else _by_subset(result)
    base = replace(
        _observed(Value(score.bits_per_byte, _UNIT), model, known, _published(claim, result)),
        n=score.basis.scored or score.documents,
        interval=Interval(0.0, math.inf) if result.doubts else _interval(score),
        conditions=_conditions(corpus, plan, score.basis, _left_out(result)) + _doubted(result),
        breakdown=parts,
        breakdown_unit=_UNIT if parts else "",
    )
    return _described(_together(base, (model.ref, known), (corpus.ref, of)), corpus, plan, result)


@method(
    2,
    Measurement.BITS_PER_BYTE,
    Definition(
        aspect=Aspect.ACCURACY,
        kind=Kind.NUMBER,
        unit=_UNIT,
        fact="bits-per-byte-difference",
        types=LANGUAGE,
        dataset=True,
        compares=True,
        chance=Plausible(-4, 4),
    ),
)
async def bits_per_byte_difference(claim: Claim, measurements: Measurements) -> Observation:
    """Bits per byte minus those of another model on the same documents, paired by scored text.

    Below 0 if this model predicts better.
    """
    model, known = await measurements.language_model(claim.artifact)
    other, other_known = await measurements.language_model(claim.rival)
    if model.ref.digest == other.ref.digest:
        raise UnobservableError(
            f"{other.ref.name} is the same model", UnmeasuredReason.OTHER_SUBJECT
        )
    corpus, of = await measurements.dataset(claim)
    plan = _plan(claim, corpus, measurements.budget)
    result = await measurements.difference(corpus, model, other, plan)
    found = result.overall
    if claim.subset:
        found = next(
            (one.difference for one in result.subsets if one.subset == claim.subset),
            BPBDifference(),
        )
    if not found.HasField("bits_per_byte"):
        raise _nothing(claim, corpus, plan)
    doubted = _doubted(result.model, result.against)
    least = f"; a difference of {found.smallest_detectable:.3g} would have been seen"
    seen = least if found.HasField("smallest_detectable") else ""
    base = replace(
        _observed(
            Value(found.bits_per_byte, _UNIT),
            model,
            known,
            f"{found.model.bits_per_byte:.4g} against {found.against.bits_per_byte:.4g} of "
            f"{other.ref.name}, on the same text.",
        ),
        n=found.basis.scored or found.model.documents,
        interval=Interval(-math.inf, math.inf) if doubted else _difference_interval(found),
        conditions=f"{_conditions(corpus, plan, found.basis)}{seen}{doubted}",
        subject={
            **language_model_subject(model, known),
            "against": f"{other.ref.name} {other.ref.digest}",
        },
    )
    things = ((model.ref, known), (other.ref, other_known), (corpus.ref, of))
    return _described(_together(base, *things), corpus, plan, result.model)


@method(
    1,
    Measurement.TOKENS_PER_SECOND,
    Definition(
        aspect=Aspect.SPEED,
        kind=Kind.NUMBER,
        unit="tokens/s",
        fact="tokens-per-second",
        types=LANGUAGE,
        dataset=True,
        machine=True,
        chance=Plausible(1, 1e7, logarithmic=True, least=0),
        other=("generat", "decod", "sampl", "writes", "produc", "output"),
    ),
)
async def tokens_per_second(claim: Claim, measurements: Measurements) -> Observation:
    """Tokens scored a second, without loading: a lower bound, from the same text eight times.

    All runs share one process, which is one observation of its layout and clock; and other load
    only ever takes time. So there is no upper bound.
    """
    model, known = await measurements.language_model(claim.artifact)
    corpus, _ = await measurements.dataset(claim)  # speed does not depend on which text it is
    subsets = (claim.subset,) if claim.subset else ()
    plan = ScorePlan(held_out(corpus), subsets, text_bytes=_SPEED_BYTES, fresh=True)
    results = await measurements.tokens_per_second(corpus, model, plan, _SPEED_TIMES)
    rates = [one.tokens_per_second for one in results if one.tokens_per_second > 0]
    if len(rates) < _SPEED_TIMES:
        raise UnobservableError(
            f"corpus scored nothing of {corpus_label(corpus)} with {model.ref.name}",
            UnmeasuredReason.DATA_MISSING,
        )
    used = engine(results[-1].compute.engine)
    base = replace(
        _observed(Value(median(rates), "tokens/s"), model, known),
        n=len(rates),
        interval=Interval(min(rates), math.inf, 1 - 0.5 ** len(rates)),
        conditions=f"with {used.get('id', 'an engine that is not named')}; a lower bound, since "
        "all were in one process and other load only takes time",
    )
    base = replace(base, inputs=(input_of(model.ref), input_of(corpus.ref)))
    return _described(base, corpus, plan, results[-1])


def _plan(claim: Claim, corpus: CorpusSummary, budget: Budget) -> ScorePlan:
    spans = _SPANS_FULL if budget is Budget.FULL else _SPANS_QUICK
    subsets = (claim.subset,) if claim.subset else ()
    return ScorePlan(held_out(corpus), subsets, spans=spans, level=MIN_LEVEL)


def _score_of(
    claim: Claim, corpus: CorpusSummary, plan: ScorePlan, result: FinalScore
) -> BitsPerByte:
    """The claim's figure: of everything that was scored, or of its subset."""
    score = result.overall
    if claim.subset:
        found = (one.score for one in result.subsets if one.subset == claim.subset)
        score = next(found, BitsPerByte())
    if not score.HasField("bits_per_byte"):
        raise _nothing(claim, corpus, plan)
    return score


def _nothing(claim: Claim, corpus: CorpusSummary, plan: ScorePlan) -> UnobservableError:
    what = f"{claim.subset} in " if claim.subset else ""
    return UnobservableError(
        f"there is no text of {what}the {plan.split} split of {corpus_label(corpus)} that its "
        "tokenizer can reproduce",
        UnmeasuredReason.DATA_MISSING,
        f"give documents of it: --shards {corpus.ref.name}=DIR",
    )


def _interval(score: BitsPerByte) -> Interval | None:
    """None for an exact figure; open if too little was scored for an interval."""
    if score.basis.standing == STANDING_EXACT:
        return None
    if score.basis.standing == STANDING_EXAMPLE or not score.HasField("interval"):
        return Interval(0.0, math.inf)
    return Interval(score.interval.low, score.interval.high, score.interval.level)


def _difference_interval(found: BPBDifference) -> Interval | None:
    if found.identical or found.basis.standing == STANDING_EXACT:
        return None
    if found.basis.standing == STANDING_EXAMPLE or not found.HasField("interval"):
        return Interval(-math.inf, math.inf)
    return Interval(found.interval.low, found.interval.high, found.interval.level)


def _left_out(result: FinalScore) -> float:
    """Share of the scored text whose documents are in no figure."""
    left = sum(one.score.text_bytes for one in result.excluded)
    return left / (left + result.overall.text_bytes) if left else 0.0


def _conditions(
    corpus: CorpusSummary, plan: ScorePlan, basis: ScoreBasis, left_out: float = 0.0
) -> str:
    """Say which text the figure is of, and how much of it counted."""
    of = f"of {basis.documents:,} documents in the {plan.split} split of {corpus_label(corpus)}"
    if basis.standing == STANDING_EXACT:
        how = f"{of}, all scored"
    elif basis.standing == STANDING_EXAMPLE:
        how = f"an example of {basis.scored:,} spans {of} and no measurement: {basis.no_interval}"
    else:
        how = f"{of}, {basis.scored:,} spans scored"
    kept = basis.kept_share if basis.HasField("kept_share") else 1 - left_out
    if kept < 1:
        back = percent(kept, 1)
        how += f"; the tokenizer reproduces {back} of the text, and only that counts"
    return how


def _by_subset(result: FinalScore) -> dict[str, float]:
    return {
        one.subset: one.score.bits_per_byte
        for one in sorted(result.subsets, key=lambda one: one.subset)
        if one.subset and one.score.HasField("bits_per_byte")
    }


def _together(
    observation: Observation, *things: tuple[ModelRef | CorpusRef, SubjectRelation]
) -> Observation:
    """Return the relation of a figure of several things: the weakest of theirs to the claim."""
    relation = observation.relation
    for _, one in things:
        relation = weaker(relation, one)
    named = [ref for ref, one in things if one is SubjectRelation.NAMED]
    return replace(
        observation,
        relation=relation,
        subject={**observation.subject, **unidentified(relation, *named)},
        inputs=tuple(input_of(ref) for ref, _ in things),
    )


def _doubted(*results: FinalScore) -> str:
    """Why corpus doubts its own figures, in words; such a figure decides nothing."""
    doubts = list(dict.fromkeys(one for result in results for one in result.doubts))
    return f"; in doubt, so it decides nothing: {'; '.join(doubts)}" if doubts else ""


def _published(claim: Claim, result: FinalScore) -> str:
    """The published figure for the same text, which confirms nothing here."""
    told = []
    for one in result.published:
        figure = one.by_subset.get(claim.subset, 0.0) if claim.subset else one.bits_per_byte
        if figure:
            how = f" ({one.derivation})" if one.derivation else ""
            told.append(f"Published for {one.model}: {figure:.4g}{how}, {one.source}.")
    return " ".join(told)


def _described(
    observation: Observation,
    corpus: CorpusSummary,
    plan: ScorePlan,
    result: FinalScore,
) -> Observation:
    """Add what a figure was made with: another corpus, sample or definition changes it."""
    what = f"{plan.spans} spans" if plan.spans else f"the first {plan.text_bytes:,} bytes"
    return replace(
        observation,
        subject={
            **observation.subject,
            "dataset": f"{corpus.ref.name} {corpus.ref.digest}",
            "sample": f"{what} of {', '.join(plan.subsets) or 'all subsets'}, {plan.split}",
            "definition": definition_name(result),
        },
        environment=environment(result.environment),
        engine=engine(result.compute.engine),
    )
