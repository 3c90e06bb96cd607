"""What was measured is what was claimed: of another configuration, nothing is said."""

from __future__ import annotations

import pytest
from assay_rpc.common.v1 import common_pb2

from services.ranker.claims.definition import ALL_BUT_WEIGHTS, EVERY_PART, Part
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import (
    Artifact,
    ArtifactType,
    Configuration,
    License,
    SubjectRelation,
)
from services.ranker.measuring.subjects import nearest_model
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import Model
from tests.ranker.peers_fake import B4_RANDOM, changed, ref

RANDOM = SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS
EXACT = SubjectRelation.EXACT
NAMED = SubjectRelation.NAMED
CITYSCAPES = "segformer-b4-cityscapes"
WEIGHTS = "sha256:" + "77" * 32


def wanted(name: str = CITYSCAPES, subject: str = "segformer-b4", **stated: object) -> Artifact:
    return Artifact(
        id=name,
        name=name,
        type=ArtifactType.SEGMENTATION_MODEL,
        description="",
        license=License("MIT", "MIT"),
        pricing="",
        capabilities=(),
        claims=(),
        published=None,
        digest="",
        subject=subject,
        configuration=Configuration(**stated),  # type: ignore[arg-type]
    )


WHOLE = wanted(classes=19, input=(1024, 1024))


def random_weights(classes: int, size: int) -> Model:
    return changed(
        B4_RANDOM,
        classes=B4_RANDOM.classes[:classes],
        preprocessing=changed(B4_RANDOM.preprocessing, height=size, width=size),
    )


def trained(name: str, model: Model = B4_RANDOM, **more: object) -> Model:
    return changed(model, ref=ref(name, "ab"), weights=common_pb2.WEIGHTS_KIND_TRAINED, **more)


@pytest.mark.parametrize(
    ("classes", "size", "parts", "differs"),
    [
        (150, 512, {Part.ARCHITECTURE}, ""),
        (150, 512, {Part.ARCHITECTURE, Part.CLASSES}, "classes (150, not 19)"),
        (19, 512, {Part.ARCHITECTURE, Part.CLASSES}, ""),
        (19, 512, ALL_BUT_WEIGHTS, "input size (512x512, not 1024x1024)"),
        (19, 1024, ALL_BUT_WEIGHTS, ""),
        (19, 1024, EVERY_PART, "weights (random)"),
        (150, 512, ALL_BUT_WEIGHTS, "classes (150, not 19)"),
    ],
)
def test_a_stand_in_is_like_it_in_all_that_the_fact_depends_on(
    classes: int, size: int, parts: set[Part], differs: str
) -> None:
    model = random_weights(classes, size)
    if not differs:
        assert nearest_model([model], WHOLE, parts) == (model, RANDOM)
        return
    with pytest.raises(UnobservableError) as error:
        nearest_model([model], WHOLE, parts)
    assert differs in str(error.value)
    assert error.value.reason is UnmeasuredReason.OTHER_SUBJECT


@pytest.mark.parametrize("part", [Part.CLASSES, Part.INPUT])
def test_a_part_that_the_manifest_leaves_open_is_like_nothing(part: Part) -> None:
    with pytest.raises(UnobservableError, match="the manifest does not say") as error:
        nearest_model([B4_RANDOM], wanted(), {Part.ARCHITECTURE, part})
    assert f"state its {Part.CLASSES.value} and {Part.INPUT.value}" in error.value.remedy


def test_a_name_shows_nothing_that_depends_on_weights() -> None:
    named = trained(CITYSCAPES, random_weights(19, 1024))
    for parts in (EVERY_PART, frozenset({Part.WEIGHTS}), frozenset({Part.CLASSES, Part.WEIGHTS})):
        assert nearest_model([B4_RANDOM, named], WHOLE, parts) == (named, NAMED)
    # What does not is the same of anything that is like it in all that is stated.
    assert nearest_model([B4_RANDOM, named], WHOLE, ALL_BUT_WEIGHTS) == (named, EXACT)
    # A manifest that leaves parts open is of nothing that it could be told by.
    for part in Part:
        relation = EXACT if part is Part.ARCHITECTURE else NAMED
        assert nearest_model([named], wanted(), {part}) == (named, relation)


def test_only_files_of_weights_tell_a_model() -> None:
    """Any export of a family has the same classes, preprocessing and licence."""
    stated = wanted(classes=150, input=(512, 512), digest=WEIGHTS)
    other = trained("mine", digests={"source/preprocessor_config.json": WEIGHTS})
    with pytest.raises(UnobservableError, match="which differs in weights"):
        nearest_model([other], stated, {Part.WEIGHTS})


@pytest.mark.parametrize(
    "other",
    [
        trained(CITYSCAPES),  # with ADE20K's classes, at 512x512
        trained(CITYSCAPES, random_weights(19, 512)),
        trained(CITYSCAPES, random_weights(19, 1024), architecture="segformer-b0"),
    ],
)
@pytest.mark.parametrize("part", Part)
def test_a_model_that_lies_about_its_name_shows_nothing(other: Model, part: Part) -> None:
    with pytest.raises(
        UnobservableError, match=f"the segment service has {CITYSCAPES}, which differs in"
    ):
        nearest_model([other], WHOLE, {part})


def test_a_digest_tells_the_thing_itself_from_what_has_its_name() -> None:
    stated = wanted(classes=150, input=(512, 512), digest=WEIGHTS)
    named = trained(CITYSCAPES)
    with pytest.raises(UnobservableError, match="no file of it has the manifest's digest"):
        nearest_model([named], stated, {Part.WEIGHTS})
    under_another_name = trained("mine", digests={"source/model.safetensors": WEIGHTS})
    found = nearest_model([named, under_another_name], stated, EVERY_PART)
    assert found == (under_another_name, EXACT)
    # The same weights at another size are the same weights, and have no shapes in common.
    larger = changed(
        under_another_name,
        preprocessing=changed(B4_RANDOM.preprocessing, height=640, width=640),
    )
    assert nearest_model([larger], stated, {Part.WEIGHTS}) == (larger, EXACT)
    with pytest.raises(UnobservableError, match="input size"):
        nearest_model([larger], stated, ALL_BUT_WEIGHTS)


def test_weights_do_not_say_which_size_of_pictures_a_manifest_is_about() -> None:
    model = trained("mine", digests={"source/model.safetensors": WEIGHTS})
    left_open = wanted(digest=WEIGHTS)
    for part in (Part.ARCHITECTURE, Part.CLASSES, Part.WEIGHTS):
        assert nearest_model([model], left_open, {part}) == (model, EXACT)
    unsaid = r"mine, which differs in input size \(512x512, and the manifest does not say"
    with pytest.raises(UnobservableError, match=unsaid) as error:
        nearest_model([model], left_open, ALL_BUT_WEIGHTS)
    assert "state its classes and input size" in error.value.remedy
    served = wanted(digest=model.ref.digest)  # of the model as it is served, with its size
    assert nearest_model([model], served, EVERY_PART) == (model, EXACT)
    stated = wanted(digest=WEIGHTS, input=(512, 512))
    assert nearest_model([model], stated, EVERY_PART) == (model, EXACT)


@pytest.mark.parametrize(
    ("file", "whole"),
    [
        ("model.safetensors", True),
        ("pytorch_model.bin", True),
        ("segformer.b4.512x512.ade.160k.pth", True),
        ("tf_model.h5", True),
        ("model-00001-of-00002.safetensors", False),
        ("pytorch_model-00002-of-00002.bin", False),
        ("model.safetensors.index.json", False),
    ],
)
def test_one_of_several_files_of_weights_tells_no_model(file: str, *, whole: bool) -> None:
    stated = wanted(classes=150, input=(512, 512), digest=WEIGHTS)
    model = trained("mine", digests={f"source/{file}": WEIGHTS})
    if whole:
        assert nearest_model([model], stated, EVERY_PART) == (model, EXACT)
        return
    with pytest.raises(UnobservableError, match="differs in weights"):
        nearest_model([model], stated, EVERY_PART)


def test_nothing_of_its_architecture_is_said_to_be_so() -> None:
    with pytest.raises(UnobservableError, match="has no model of this architecture") as error:
        nearest_model([B4_RANDOM], wanted("deeplab", "deeplabv3-resnet101"), {Part.ARCHITECTURE})
    assert error.value.reason is UnmeasuredReason.NOT_SERVED
    assert "--model DIR" in error.value.remedy
    with pytest.raises(UnobservableError, match="serves no model"):
        nearest_model([], WHOLE, {Part.ARCHITECTURE})


def test_a_manifest_without_a_digest_is_told_that_of_the_model_that_is_served() -> None:
    served = trained("another", digests={"source/model.safetensors": WEIGHTS})
    with pytest.raises(UnobservableError, match="differs in weights") as error:
        nearest_model([served], wanted(classes=150, input=(512, 512)), EVERY_PART)
    assert (
        f"if another is this artifact, add to its manifest digest: {WEIGHTS} and a higher"
        in error.value.remedy
    )
    assert str(error.value).count("weights") == 1
    with pytest.raises(UnobservableError, match="classes") as error:
        nearest_model([served], wanted(classes=19, input=(512, 512)), EVERY_PART)
    assert "digest:" not in error.value.remedy  # it cannot be it


def test_an_architecture_in_capitals_is_the_same() -> None:
    served = random_weights(19, 1024)
    mine = wanted(subject="SegFormer-B4", classes=19, input=(1024, 1024))
    assert nearest_model([served], mine, ALL_BUT_WEIGHTS) == (served, RANDOM)


@pytest.mark.parametrize("architecture", ["segformer-custom", "imported-onnx"])
def test_an_architecture_without_a_name_of_its_own_agrees_with_nothing(architecture: str) -> None:
    """Two of them may have nothing in common but that."""
    served = trained("mine", architecture=architecture)
    size = served.preprocessing.height, served.preprocessing.width
    mine = wanted("mine", architecture, classes=len(served.classes), input=size)
    found, relation = nearest_model([served], mine, ALL_BUT_WEIGHTS)
    assert (found, relation) == (served, NAMED)
    stated = wanted("mine", architecture, digest=served.ref.digest)
    assert nearest_model([served], stated, {Part.ARCHITECTURE})[1] is EXACT
    other = changed(served, ref=ref("drawn", "cd"), weights=common_pb2.WEIGHTS_KIND_RANDOM)
    with pytest.raises(UnobservableError, match="is of many"):
        nearest_model([other], mine, ALL_BUT_WEIGHTS)
