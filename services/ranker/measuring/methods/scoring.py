"""Bits per byte as a yardstick, from scoring a language model on held-out documents."""

from __future__ import annotations

from services.ranker.claims.bounds import Value
from services.ranker.claims.definition import (
    DATA,
    Definition,
    Kind,
)
from services.ranker.claims.evidence import Observation
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import Aspect, Basis, Claim
from services.ranker.measuring.measurements import Budget, Measurements
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.measuring.served import held_out
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import (
    ScorePlan,
    corpus_label,
    corpus_subject,
    engine,
    environment,
    input_of,
)

_FEW, _MANY = 6, 60
"""Number of documents that show that the metric can be computed."""


@method(
    3,
    Measurement.BITS_PER_BYTE,
    Definition(
        aspect=Aspect.METRIC,
        kind=Kind.BOOLEAN,
        fact="bits-per-byte",
        types=DATA,
        sample_decides=True,
        chance=0.5,
    ),
)
async def bits_per_byte_defined(claim: Claim, measurements: Measurements) -> Observation:
    """Whether held-out documents give one figure overall and one by subset, less being better.

    Less is better by construction: the figure is the length of the text as the model would encode
    it. A citation says over which subsets the metric is defined; the run shows that it can be
    computed. That the subsets add up to the whole was checked when the figures came in.
    """
    corpus, relation = await measurements.corpus(claim.artifact)
    documents = _MANY if measurements.budget is Budget.FULL else _FEW
    result = await measurements.score(
        corpus,
        await measurements.reference_model(),
        ScorePlan(held_out(corpus), documents=documents),
    )
    if result.doubts:
        raise UnobservableError(
            f"what {result.model.name} scored is in doubt: {'; '.join(result.doubts)}",
            UnmeasuredReason.FAILED,
        )
    published = measurements.published(claim)
    scored = {one.subset: one.score for one in result.subsets if one.score.text_bytes}
    if not scored:
        raise UnobservableError(
            f"{result.model.name} scored no text of the {held_out(corpus)} split of "
            f"{corpus_label(corpus)}",
            UnmeasuredReason.DATA_MISSING,
            f"give documents of it: --shards {corpus.ref.name}=DIR",
        )
    listed = ", ".join(f"{name} {one.bits_per_byte:.3f}" for name, one in sorted(scored.items()))
    return Observation(
        # The number of bits shows how good the model is; the metric can be computed in any case.
        value=Value(True),
        relation=relation,
        basis=Basis.DERIVED,
        subject_digest=corpus.ref.digest,
        subject=corpus_subject(corpus, relation),
        n=result.overall.documents,
        environment=environment(result.environment),
        engine=engine(result.compute.engine),
        sources=published.sources if published else (),
        inputs=(input_of(result.model),),
        breakdown={name: one.bits_per_byte for name, one in sorted(scored.items())},
        breakdown_unit="bits per byte",
        note=(
            "Less is better by construction, for it is the length of the text as the model would "
            "encode it; that it is defined over all subsets is cited. Computed here on "
            f"{result.overall.documents} held-out documents of {len(scored)} subsets of "
            f"{corpus_label(corpus)}: {result.model.name} needs "
            f"{result.overall.bits_per_byte:.3f} bits per byte; by subset: {listed}."
        ),
    )
