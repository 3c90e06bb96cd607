"""Bits per byte as a yardstick, from scoring a language model on held-out documents."""

from __future__ import annotations

from services.ranker.evidence import Observation
from services.ranker.methods.registration import Measurement, method
from services.ranker.model import Basis, Claim, Value
from services.ranker.probes import Probes

_BITS_OF_A_BYTE = 8.0
"""What a model that knows nothing needs; one that knows something needs less."""


@method(1, Measurement.BITS_PER_BYTE)
async def bits_per_byte_defined(claim: Claim, probes: Probes) -> Observation:
    """Whether held-out documents give one figure overall and one by subset, less being better.

    That the subsets add up to the whole has been checked when the figures came in.
    """
    corpus, relation = await probes.corpus(claim.artifact)
    figures = await probes.bits_per_byte(corpus)
    scored = {name: one for name, one in figures.subsets.items() if one.text_bytes}
    defined = bool(scored) and 0 < figures.overall.bits_per_byte < _BITS_OF_A_BYTE
    listed = ", ".join(f"{name} {one.bits_per_byte:.3f}" for name, one in sorted(scored.items()))
    return Observation(
        value=Value(defined),
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=corpus.digest,
        n=figures.overall.documents,
        environment=figures.environment,
        inputs=(figures.model_digest,),
        note=(
            f"{figures.model} needs {figures.overall.bits_per_byte:.3f} bits per byte over "
            f"{figures.overall.documents} held-out documents of {corpus.name} "
            f"({corpus.kind.value.lower()}); by subset: {listed}."
        ),
    )
