"""The accuracy of a served model on labelled pictures."""

from __future__ import annotations

from services.common.percent import percent
from services.ranker.claims.bounds import Value
from services.ranker.claims.definition import (
    EVERY_PART,
    SEGMENTATION,
    Definition,
    Kind,
    Plausible,
)
from services.ranker.claims.evidence import Observation
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import Aspect, Basis, Claim, Input, SubjectRelation
from services.ranker.measuring.labelled_images import VALIDATION_CLASSES, VALIDATION_PICTURES
from services.ranker.measuring.measurements import Measurements
from services.ranker.measuring.methods.registration import Measurement, depends_on, method
from services.ranker.measuring.served import weaker
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import engine, model_subject


@method(
    1,
    Measurement.ACCURACY,
    Definition(
        aspect=Aspect.ACCURACY,
        kind=Kind.NUMBER,
        unit="%",
        fact="ade20k-miou",
        types=SEGMENTATION,
        depends_on=EVERY_PART,
        chance=Plausible(20, 65, least=0, most=100),
    ),
)
async def mean_iou(claim: Claim, measurements: Measurements) -> Observation:
    """Mean intersection over union of the published weights, in percent, at one scale.

    Always marked as a sample, which decides no accuracy: even on the whole validation set, pictures
    are resized as the model's own processor does, while published accuracy keeps their proportions.
    """
    model, relation = await measurements.model(claim.artifact, depends_on(claim))
    if len(model.classes) != VALIDATION_CLASSES:
        raise UnobservableError(
            f"{model.ref.name} has {len(model.classes)} classes, and the labelled pictures have "
            f"ADE20K's {VALIDATION_CLASSES}",
            UnmeasuredReason.DATA_MISSING,
        )
    accuracy = await measurements.accuracy(model)
    return Observation(
        value=Value(100 * accuracy.mean_iou, "%"),
        relation=weaker(SubjectRelation.SAMPLE, relation),
        basis=Basis.MEASURED,
        subject_digest=model.ref.digest,
        subject={**model_subject(model, relation), "pictures": accuracy.pictures_digest},
        n=accuracy.pictures,
        note=(
            f"Measured with {model.engine.id} on {accuracy.pictures:,} of the "
            f"{VALIDATION_PICTURES:,} validation pictures, each resized to the model's square; "
            f"{percent(accuracy.pixel_accuracy, 1)} of the pixels are right."
        ),
        engine=engine(model.engine),
        inputs=(Input(accuracy.pictures_digest, "images"),),
    )
