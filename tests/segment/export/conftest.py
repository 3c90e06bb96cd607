"""A checkpoint small enough to load and export in a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

PREPROCESSOR = {"size": 64, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


@pytest.fixture
def tiny_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that saves a tiny SegFormer of three classes as a checkpoint."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    def save(name: str = "tiny", *, broken: bool = False) -> Path:
        config = transformers.SegformerConfig(
            depths=[1, 1, 1, 1],
            hidden_sizes=[8, 16, 24, 32],
            num_attention_heads=[1, 2, 3, 4],
            decoder_hidden_size=16,
            id2label={0: "sky", 1: " sea ", 2: "sand"},
        )
        torch.manual_seed(0)
        model = transformers.SegformerForSemanticSegmentation(config).eval()
        norm = model.decode_head.batch_norm
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.2, 3)
        if broken:
            model.decode_head.classifier.bias.data[1] = float("nan")
        directory = tmp_path / name
        model.save_pretrained(directory)
        (directory / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
        return directory

    return save
