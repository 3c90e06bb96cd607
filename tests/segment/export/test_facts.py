"""Facts of the unmodified models, from B0 to B5, against the published counts."""

import pytest

from services.segment.ade20k import ADE20K_CLASSES
from services.segment.export.architectures import ARCHITECTURES
from services.segment.manifest import StageFacts

pytest.importorskip("torch")
pytest.importorskip("transformers")

from services.segment.export.facts import architecture_facts
from services.segment.export.pipeline import random_config

pytestmark = pytest.mark.torch

# Whole model and decode head, 150 classes; millions as in the SegFormer paper's table 1.
PARAMETERS = {
    "b0": (3_752_694, 433_302, 3.8),
    "b1": (13_715_798, 564_374, 13.7),
    "b2": (27_461_974, 3_265_686, 27.5),
    "b3": (47_337_814, 3_265_686, 47.3),
    "b4": (64_108_374, 3_265_686, 64.1),
    "b5": (84_708_694, 3_265_686, 84.7),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters(name: str) -> None:
    facts = architecture_facts(random_config(name))
    total, head, millions = PARAMETERS[name]
    assert facts.parameters == total
    assert facts.parameters_by_part == {"encoder": total - head, "decode_head": head}
    assert facts.parameters / 1e6 == pytest.approx(millions, abs=0.05)
    assert facts.logits_shape == (1, len(ADE20K_CLASSES), 128, 128)


def test_b4() -> None:
    facts = architecture_facts(random_config("b4"))
    assert facts.convolutions == {
        "depthwise": 41,
        "patch_embedding": 4,
        "spatial_reduction": 38,
        "decode_head": 2,
    }
    assert facts.modules["Conv2d"] == 85
    head = {"Linear": 4, "Conv2d": 2, "BatchNorm2d": 1, "Dropout": 1, "ReLU": 1}
    assert facts.head_modules == head
    assert facts.stages == (
        StageFacts(depth=3, width=64, downsampling=4),
        StageFacts(depth=8, width=128, downsampling=8),
        StageFacts(depth=27, width=320, downsampling=16),
        StageFacts(depth=3, width=512, downsampling=32),
    )
    assert facts.decoder_width == 768


def test_logits_have_the_size_of_the_preprocessing() -> None:
    assert architecture_facts(random_config("b0"), 640, 416).logits_shape == (1, 150, 160, 104)
