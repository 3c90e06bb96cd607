"""Pictures with masks, from a folder to segment and back as evidence."""

from __future__ import annotations

from pathlib import Path

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import compare_pb2, evidence_pb2
from assay_rpc.segment.v1 import models_pb2, segment_pb2

from services.errors import InvalidArgument
from services.ranker.measuring.labelled_images import LabelledImage, labelled_images
from services.rpc.serving.listening import StartError
from tests.ranker.conftest import Ranker
from tests.ranker.servers_fake import MODEL

B4 = "segformer-b4-finetuned-ade-512-512"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two validation pictures, and one of the training set."""
    root = tmp_path / "ade20k"
    for name in ("images", "annotations"):
        (root / name).mkdir(parents=True)
    for stem in ("ADE_val_2", "ADE_val_1", "ADE_train_1"):
        (root / "images" / f"{stem}.jpg").write_bytes(f"image {stem}".encode())
        (root / "annotations" / f"{stem}.png").write_bytes(f"mask {stem}".encode())
    return root


def test_what_a_model_has_learnt_does_not_count(folder: Path) -> None:
    assert labelled_images(folder) == tuple(
        LabelledImage(folder / "images" / f"{n}.jpg", folder / "annotations" / f"{n}.png")
        for n in ("ADE_val_1", "ADE_val_2")
    )


def test_a_picture_without_its_mask_is_named(folder: Path) -> None:
    (folder / "annotations" / "ADE_val_2.png").unlink()
    with pytest.raises(InvalidArgument, match=r"ADE_val_2\.jpg has no ADE_val_2\.png"):
        labelled_images(folder)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="has no images/ADE_val_"):
        labelled_images(tmp_path)


async def test_a_folder_that_is_none_stops_the_start(ranker: Ranker, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="labelled_pictures"):
        await ranker.start(labelled_pictures=tmp_path / "missing")


def published() -> models_pb2.Model:
    model = models_pb2.Model()
    model.CopyFrom(MODEL)
    model.ref.name = B4
    model.weights = common_pb2.WEIGHTS_KIND_TRAINED
    return model


async def verify(ranker: Ranker, folder: Path) -> evidence_pb2.ClaimVerdict:
    ranker.segment.models = [published()]
    await ranker.start(labelled_pictures=folder)
    return (await ranker.verify(B4, "B1.4"))["B1.4"]


async def test_pictures_and_masks_are_sent_as_they_are(ranker: Ranker, folder: Path) -> None:
    verdict = await verify(ranker, folder)
    settings, *pairs = ranker.segment.evaluations[0]
    assert settings.settings.model == published().ref
    assert settings.settings.mask_values == segment_pb2.MASK_VALUES_ZERO_IS_NONE
    assert [(one.pair.image.encoded, one.pair.encoded) for one in pairs] == [
        (b"image ADE_val_1", b"mask ADE_val_1"),
        (b"image ADE_val_2", b"mask ADE_val_2"),
    ]
    assert verdict.verdict == evidence_pb2.VERDICT_NOT_TESTABLE_HERE
    assert verdict.evidence.value.number == 50.3
    assert verdict.sample.value.number == 45
    assert verdict.sample.n == 2
    # Nothing but its name says that these are the published weights.
    assert verdict.sample.relation == evidence_pb2.SUBJECT_RELATION_NAMED


async def test_the_comparison_has_what_was_measured_of_a_sample(
    ranker: Ranker, folder: Path
) -> None:
    verdict = await verify(ranker, folder)
    assert ranker.server is not None
    stub = await ranker.start()
    reply = await stub.Compare(compare_pb2.CompareRequest(left=B4, right="the-pile"))
    (compared,) = [one for one in reply.left.claims if one.claim.id == "B1.4"]
    assert compared.sample == verdict.sample
    assert not compared.HasField("change")


async def test_a_picture_that_is_gone_leaves_the_published_figure(
    ranker: Ranker, folder: Path
) -> None:
    ranker.segment.models = [published()]
    await ranker.start(labelled_pictures=folder)
    (folder / "images" / "ADE_val_1.jpg").unlink()
    verdict = (await ranker.verify(B4, "B1.4"))["B1.4"]
    assert verdict.evidence.value.number == 50.3
    assert not verdict.HasField("sample")
    assert verdict.reason.endswith(
        "(not measured: the ranker cannot read ADE_val_1.jpg or its mask: "
        "No such file or directory)"
    )


async def test_pictures_that_segment_refuses_leave_the_published_figure(
    ranker: Ranker, folder: Path
) -> None:
    ranker.segment.refuses_pictures = True
    verdict = await verify(ranker, folder)
    assert verdict.evidence.value.number == 50.3
    assert not verdict.HasField("sample")
    # gRPC now and then puts its own words in the place of segment's: a picture that is on its way
    # when the refusal comes fails, and that overwrites the status.
    assert "(not measured: segment gave no answer: segment refused with I" in verdict.reason


async def test_pictures_without_a_labelled_pixel_have_no_accuracy(
    ranker: Ranker, folder: Path
) -> None:
    ranker.segment.pixels_are_ignored = True
    verdict = await verify(ranker, folder)
    assert not verdict.HasField("sample")
    assert "segment found no labelled pixel in the pictures" in verdict.not_measured.message
