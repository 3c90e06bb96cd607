"""The folded decode head is the decode head."""

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


from services.segment.engines.parity import probe_inputs  # noqa: E402
from services.segment.export.checkpoint import load_checkpoint  # noqa: E402
from services.segment.export.folding import FoldedSegformer  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("size", [(64, 64), (50, 83), (33, 129)])
def test_folded_logits(tiny_checkpoint: Callable[..., Path], size: tuple[int, int]) -> None:
    model = load_checkpoint(tiny_checkpoint(), print).model
    before = {key: value.clone() for key, value in model.state_dict().items()}
    pixels = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits, labels = FoldedSegformer(model, torch.uint8).eval()(pixels)
        source = model(pixels).logits.permute(0, 2, 3, 1)
    torch.testing.assert_close(logits, source, atol=1e-5, rtol=1e-5)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), source.argmax(-1))
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.data
def test_real_weights_on_real_pictures(data_dir: Path) -> None:
    loaded = load_checkpoint(data_dir / "segformer" / "b0-ade", print)
    folded = FoldedSegformer(loaded.model, torch.uint8).eval()
    pictures = sorted((data_dir / "ade20k" / "images").iterdir())[:3]
    differing = 0
    for pixels in probe_inputs(loaded.preprocessing, pictures)[3:-1]:
        with torch.inference_mode():
            _, labels = folded(torch.from_numpy(pixels))
            source = loaded.model(torch.from_numpy(pixels)).logits.argmax(1)
        differing += int((labels.long() != source).sum())
    assert differing == 0


@pytest.mark.data
def test_what_a_real_checkpoint_says_of_itself(data_dir: Path) -> None:
    loaded = load_checkpoint(data_dir / "segformer" / "b0-ade", print)
    assert loaded.name == "nvidia/segformer-b0-finetuned-ade-512-512"
    assert loaded.license.research_only
    assert len(loaded.classes) == 150
    assert loaded.classes[7] == "bed"
    assert (loaded.preprocessing.height, loaded.preprocessing.resample) == (512, "bilinear")
