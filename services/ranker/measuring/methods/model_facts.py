"""Counts and shapes of the unmodified source model, as recorded at its export.

Never from the served graph: that one is folded, and its counts would change verdicts.
"""

from __future__ import annotations

from dataclasses import replace

from services.common.percent import percent
from services.ranker.claims.bounds import Equals, Value, ends
from services.ranker.claims.definition import (
    ALL_BUT_WEIGHTS,
    EVERY_PART,
    PARTS,
    SEGMENTATION,
    Against,
    Definition,
    Kind,
    Part,
    Plausible,
    Row,
)
from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Aspect, Basis, Claim, Source, SubjectRelation
from services.ranker.measuring.measurements import Measurements
from services.ranker.measuring.methods.registration import Measurement, depends_on, method
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import RESIZE_MODE_PAD, Model, SourceFacts, model_subject

_LEARNED_LAYERS = ("Linear", "Conv2d")


async def _facts(
    claim: Claim, measurements: Measurements
) -> tuple[SourceFacts, Model, SubjectRelation]:
    model, relation = await measurements.model(claim.artifact, depends_on(claim))
    if not model.HasField("source_facts"):
        raise UnobservableError(
            f"nothing was recorded of the model that {model.ref.name} was made of"
        )
    return model.source_facts, model, relation


def _observed(
    value: Value,
    model: Model,
    relation: SubjectRelation,
    note: str = "",
    *,
    sources: tuple[Source, ...] = (),
) -> Observation:
    return Observation(
        value=value,
        relation=relation,
        basis=Basis.MEASURED,
        subject_digest=model.ref.digest,
        subject=model_subject(model, relation),
        sources=sources,
        note=_about(model, note),
        recipe=recipe(model, relation),
    )


def _about(model: Model, note: str) -> str:
    return f"Observed on {model.ref.name} ({model.architecture}). {note}".rstrip()


def recipe(model: Model, relation: SubjectRelation) -> str:
    """Return the shell words that make the subject, before `assay claims` with its `--model`."""
    if relation is not SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS:
        return ""
    size = model.architecture.rpartition("-")[2]
    name = model.ref.name
    export = f"assay export --architecture {size} --random-weights 0 --out {name}"
    return f"{{ test -d {name} || {export}; }} && "


@method(
    1,
    Measurement.MODEL_FACTS,
    Definition(
        aspect=Aspect.PUBLICATION,
        kind=Kind.NUMBER,
        unit="classes",
        fact="classes",
        types=SEGMENTATION,
        depends_on=frozenset({Part.CLASSES, Part.WEIGHTS}),
        chance=Plausible(2, 1000, logarithmic=True, least=1),
    ),
)
async def class_count(claim: Claim, measurements: Measurements) -> Observation:
    """Number of classes, if their ids are 0, 1, 2, ... and each has a channel of the logits."""
    facts, model, relation = await _facts(claim, measurements)
    count = len(model.classes)
    if [one.id for one in model.classes] != list(range(count)) or facts.logits_shape[1] != count:
        raise UnobservableError(
            f"{model.ref.name} has {count} classes for {facts.logits_shape[1]} channels"
        )
    return _observed(Value(float(count), "classes"), model, relation)


@method(
    1,
    Measurement.MODEL_FACTS,
    Definition(
        aspect=Aspect.SHAPE,
        kind=Kind.TEXT,
        row=Row("4-8-16-32"),
        fact="strides",
        types=SEGMENTATION,
        depends_on=frozenset({Part.ARCHITECTURE}),
        chance=0.5,
    ),
)
async def stage_downsampling(claim: Claim, measurements: Measurements) -> Observation:
    """Input pixels a side for each output pixel of every encoder stage."""
    facts, model, relation = await _facts(claim, measurements)
    text = "-".join(str(stage.downsampling) for stage in facts.stages)
    return _observed(Value(text), model, relation)


@method(
    1,
    Measurement.MODEL_FACTS,
    Definition(
        aspect=Aspect.SHAPE,
        kind=Kind.TEXT,
        row=Row("3-8-27-3"),
        fact="depths",
        types=SEGMENTATION,
        depends_on=frozenset({Part.ARCHITECTURE}),
        chance=0.1,
    ),
)
async def stage_depths(claim: Claim, measurements: Measurements) -> Observation:
    """Transformer blocks of each encoder stage."""
    facts, model, relation = await _facts(claim, measurements)
    return _observed(Value("-".join(str(one.depth) for one in facts.stages)), model, relation)


@method(
    1,
    Measurement.MODEL_FACTS,
    Definition(
        aspect=Aspect.SHAPE,
        kind=Kind.TEXT,
        row=Row("64-128-320-512"),
        fact="widths",
        types=SEGMENTATION,
        depends_on=frozenset({Part.ARCHITECTURE}),
        chance=0.1,
    ),
)
async def stage_widths(claim: Claim, measurements: Measurements) -> Observation:
    """Channels of each encoder stage."""
    facts, model, relation = await _facts(claim, measurements)
    return _observed(Value("-".join(str(one.width) for one in facts.stages)), model, relation)


@method(
    1,
    Measurement.MODEL_FACTS,
    Definition(
        aspect=Aspect.SIZE,
        kind=Kind.NUMBER,
        unit="convolutions",
        fact="convolutions",
        types=SEGMENTATION,
        depends_on=frozenset({Part.ARCHITECTURE}),
        chance=Plausible(0, 500, least=0),
    ),
)
async def convolution_count(claim: Claim, measurements: Measurements) -> Observation:
    """Convolution modules of the whole model."""
    facts, model, relation = await _facts(claim, measurements)
    total = sum(count for kind, count in facts.modules.items() if kind.startswith("Conv"))
    roles = ", ".join(f"{count} {role}" for role, count in sorted(facts.convolutions.items()))
    return _observed(Value(float(total), "convolutions"), model, relation, f"By role: {roles}.")


@method(
    1,
    Measurement.MODEL_FACTS,
    Definition(
        aspect=Aspect.SHAPE,
        kind=Kind.NUMBER,
        unit="layers",
        fact="decoder-structure",
        types=SEGMENTATION,
        depends_on=frozenset({Part.ARCHITECTURE}),
        chance=Plausible(1, 30, logarithmic=True, least=0),
    ),
)
async def head_layer_count(claim: Claim, measurements: Measurements) -> Observation:
    """Layers of the decode head with their own weights, without normalisation."""
    facts, model, relation = await _facts(claim, measurements)
    total = sum(facts.head_modules.get(kind, 0) for kind in _LEARNED_LAYERS)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(facts.head_modules.items()))
    return _observed(Value(float(total), "layers"), model, relation, f"Its modules: {kinds}.")


@method(
    1,
    Measurement.MODEL_FACTS,
    Definition(
        aspect=Aspect.SIZE,
        kind=Kind.NUMBER,
        unit="parameters",
        fact="parameters",
        types=SEGMENTATION,
        depends_on=frozenset({Part.ARCHITECTURE, Part.CLASSES}),
        chance=Plausible(1e5, 1e10, logarithmic=True, least=0),
        other=PARTS,
    ),
)
async def parameter_count(claim: Claim, measurements: Measurements) -> Observation:
    """Parameters of the whole model.

    A number stated for one of its parts says nothing about the whole, in any language.
    """
    facts, model, relation = await _facts(claim, measurements)
    if part := _part_meant(claim, facts):
        raise UnobservableError(
            f"{facts.parameters_by_part[part]:,} of the {facts.parameters:,} parameters of "
            f"{model.ref.name} are its {part}'s, and whether the claim is about those is not said",
            remedy="claim what the whole has, or say under `undecidable` that nothing measures it",
        )
    found = _observed(Value(float(facts.parameters), "parameters"), model, relation)
    return replace(found, conditions="of the whole model")


def _part_meant(claim: Claim, facts: SourceFacts) -> str:
    """The part whose parameters a claim states instead of the whole's; empty for none."""
    bound, whole = claim.bound, facts.parameters
    if not isinstance(bound, Equals) or bound.tolerance > _ROUNDED * bound.value:
        return ""
    low, high = ends(bound)
    if low <= whole <= high:
        return ""
    parts = facts.parameters_by_part.items()
    return next((name for name, count in parts if low <= count <= high), "")


_ROUNDED = 0.25
"""How far the printed form of a number may be rounded."""


@method(
    1,
    Measurement.MODEL_FACTS,
    Definition(
        aspect=Aspect.SIZE,
        kind=Kind.NUMBER,
        unit="1",
        fact="decoder-size",
        types=SEGMENTATION,
        depends_on=frozenset({Part.ARCHITECTURE, Part.CLASSES}),
        chance=Plausible(0.01, 10, logarithmic=True, least=0),
        against=Against(
            "DeepLabV3+'s decode head", ("deeplabv3+",), also="ResNet-101 R-101 R101 D8"
        ),
    ),
)
async def head_parameter_ratio(claim: Claim, measurements: Measurements) -> Observation:
    """Parameters of the decode head over those of DeepLabV3+'s, which are cited."""
    facts, model, relation = await _facts(claim, measurements)
    other = measurements.facts.figure("deeplabv3plus_r101_head_parameters")
    head = facts.parameters_by_part.get("decode_head")
    if head is None:
        raise UnobservableError(f"no parameters were recorded for {model.ref.name}'s decode head")
    note = (
        f"{head:,} parameters against {other.value:,.0f}, which is "
        f"{percent(1 - head / other.value)} "
        "fewer."
    )
    return _observed(Value(head / other.value, "1"), model, relation, note, sources=(other.source,))


@method(
    1,
    Measurement.MODEL_FACTS,
    Definition(
        aspect=Aspect.SHAPE,
        kind=Kind.TEXT,
        row=Row("150x128x128: channels, height, width", 3),
        fact="logits-shape",
        types=SEGMENTATION,
        depends_on=ALL_BUT_WEIGHTS,
        chance=0.1,
    ),
)
async def logits_shape(claim: Claim, measurements: Measurements) -> Observation:
    """Logits of one picture: channels, height and width, in order."""
    facts, model, relation = await _facts(claim, measurements)
    return _observed(Value("x".join(map(str, facts.logits_shape[1:]))), model, relation)


@method(
    1,
    Measurement.MODEL_FACTS,
    Definition(
        aspect=Aspect.SHAPE,
        kind=Kind.TEXT,
        row=Row("128x128: height, width", 2),
        fact="logits-shape",
        types=SEGMENTATION,
        depends_on=frozenset({Part.ARCHITECTURE, Part.INPUT}),
        chance=0.1,
    ),
)
async def logits_size(claim: Claim, measurements: Measurements) -> Observation:
    """Height and width of the logits of one picture."""
    facts, model, relation = await _facts(claim, measurements)
    height, width = model.preprocessing.height, model.preprocessing.width
    note = f"For an input of {height}x{width}; the labels are made by bilinear upsampling."
    return _observed(Value("x".join(map(str, facts.logits_shape[2:]))), model, relation, note)


@method(
    1,
    Measurement.MODEL_FACTS,
    Definition(
        aspect=Aspect.PUBLICATION,
        kind=Kind.BOOLEAN,
        fact="padding",
        types=SEGMENTATION,
        depends_on=frozenset({Part.WEIGHTS}),
        chance=0.5,
    ),
)
async def pads(claim: Claim, measurements: Measurements) -> Observation:
    """Whether pictures are padded to the input's size."""
    model, relation = await measurements.model(claim.artifact, depends_on(claim))
    wanted = model.preprocessing
    padded = wanted.resize_mode == RESIZE_MODE_PAD
    how = "padded" if padded else "resized"
    note = f"Pictures are {how} to {wanted.height}x{wanted.width}."
    return _observed(Value(padded), model, relation, note)


@method(
    2,
    Measurement.MODEL_FACTS,
    Definition(
        aspect=Aspect.ACCURACY,
        kind=Kind.NUMBER,
        unit="%",
        fact="onnx-loss",
        types=SEGMENTATION,
        depends_on=EVERY_PART,
        chance=Plausible(0, 20, least=0, most=100),
        against=Against("the same model before its export", ("export", "pytorch"), also="source"),
    ),
)
async def export_label_change(claim: Claim, measurements: Measurements) -> Observation:
    """Labels that the exported graph changes on the inputs that its export was checked on, in %.

    For orientation: these inputs replace the pictures of an accuracy measurement, and are too few
    to bound the loss on pictures.
    """
    model, relation = await measurements.model(claim.artifact, depends_on(claim))
    if not model.HasField("parity"):
        raise UnobservableError(f"no comparison with its source was recorded for {model.ref.name}")
    agreement = model.parity.label_agreement
    note = (
        f"{percent(agreement, 4)} of labels on the few inputs that the export was checked on "
        "equal the source model's; this says nothing about other pictures."
    )
    changed = Value(100 * (1 - agreement), "%")
    observation = _observed(changed, model, SubjectRelation.PROXY, note)
    return replace(observation, recipe=recipe(model, relation))
