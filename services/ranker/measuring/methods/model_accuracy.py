"""How right a served model's labels are, on pictures whose labels are at hand."""

from __future__ import annotations

from services.ranker.claims.evidence import Observation
from services.ranker.claims.labelled import VALIDATION_PICTURES
from services.ranker.claims.model import Basis, Claim, SubjectRelation, Value
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.measuring.probes import Probes, UnobservableError


@method(1, Measurement.ACCURACY)
async def mean_iou(claim: Claim, probes: Probes) -> Observation:
    """Mean intersection over union of the published weights, in percent, at one scale.

    Always of a sample, which decides no accuracy: even on the whole validation set pictures are
    resized as the model's own processor does, and published figures keep their proportions.
    """
    model, relation = await probes.model(claim.artifact)
    if relation is not SubjectRelation.EXACT:
        raise UnobservableError(f"segment does not serve its published weights, but {model.name}")
    figures = await probes.accuracy(model)
    return Observation(
        value=Value(100 * figures.mean_iou, "%"),
        relation=SubjectRelation.SAMPLE,
        basis=Basis.MEASURED,
        subject_digest=model.digest,
        n=figures.pictures,
        note=(
            f"Measured with {model.engine} on {figures.pictures:,} of the "
            f"{VALIDATION_PICTURES:,} validation pictures, each resized to the model's square; "
            f"{figures.pixel_accuracy:.1%} of the pixels are right."
        ),
        inputs=(figures.pictures_digest,),
    )
