"""The packaged model: whole, small, licensed, and as accurate as its card says."""

import re

import numpy as np
import pytest

from services.segment.ade20k import ADE20K_CLASSES
from services.segment.manifest import MODEL_FILE, read_manifest, verify_files
from services.segment.reference import MODEL_DIRECTORY
from services.segment.reference.card import CARD_FILE, checked_on
from services.segment.reference.evaluate import (
    HELD_OUT_SEED,
    Predictor,
    accuracy,
    evaluate,
    model_input,
    upsample,
)
from services.segment.reference.scenes.draw import draw_scene
from services.segment.reference.scenes.labels import DRAWN

LIMIT = 4 << 20
# Of the figure over all held-out scenes: the test takes a few of them only.
MARGIN = 0.06


def _card() -> str:
    return (MODEL_DIRECTORY / CARD_FILE).read_text()


def test_the_directory_is_a_model() -> None:
    manifest = read_manifest(MODEL_DIRECTORY)
    verify_files(MODEL_DIRECTORY, manifest)
    assert manifest.name == "segformer-reference"
    assert manifest.weights == "reference"
    assert manifest.license.id == "Apache-2.0"
    assert not manifest.license.research_only
    assert tuple(item.name for item in manifest.classes) == ADE20K_CLASSES
    assert manifest.parity is not None
    assert manifest.parity.label_agreement >= 0.999
    assert manifest.facts is not None
    assert manifest.facts.parameters < 1_000_000


def test_the_file_is_small_and_names_no_machine() -> None:
    data = (MODEL_DIRECTORY / MODEL_FILE).read_bytes()
    assert len(data) <= LIMIT
    assert b"site-packages" not in data
    assert b".py" not in data


def test_the_card_is_of_this_model() -> None:
    assert read_manifest(MODEL_DIRECTORY).digests[MODEL_FILE] in _card()
    assert "not photographs" in _card()


def test_the_card_names_every_engine_that_was_checked() -> None:
    assert checked_on(read_manifest(MODEL_DIRECTORY)) in _card()
    for tried in ("onnxruntime-cpu, fp32", "openvino-cpu, fp32"):
        assert f"{tried}: logits differ by up to" in _card()
    assert "openvino-cpu, bf16 with avx512_core_bf16: logits differ by up to" in _card()


@pytest.mark.slow
def test_accuracy_on_held_out_scenes() -> None:
    stated = re.search(r"mean IoU ([\d.]+)", _card())
    assert stated is not None
    found = evaluate(MODEL_DIRECTORY, range(HELD_OUT_SEED, HELD_OUT_SEED + 20))
    assert found.mean_iou > float(stated[1]) - MARGIN


def test_only_drawn_classes_win() -> None:
    predictor = Predictor(MODEL_DIRECTORY)
    graph = predictor.manifest.graph
    pixels = model_input(draw_scene(3, 200, 300)[0], predictor.manifest.preprocessing)
    for tried in (pixels, np.zeros_like(pixels), pixels[:, :, ::-1] * 3):
        labels = predictor.run(np.ascontiguousarray(tried), graph.labels)
        assert set(np.unique(labels)) <= set(DRAWN)


def test_upsampling_is_that_of_pixel_centres() -> None:
    line = np.array([0, 1], np.float32).reshape(1, 2, 1)
    assert upsample(line, 1, 4)[0, :, 0].tolist() == [0, 0.25, 0.75, 1]


def test_accuracy_of_a_confusion_matrix() -> None:
    confusion = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    found = accuracy(confusion)
    assert found.iou == {0: 0.75, 1: 0.8}
    assert found.mean_iou == pytest.approx(0.775)
    assert found.pixel_accuracy == 0.875
