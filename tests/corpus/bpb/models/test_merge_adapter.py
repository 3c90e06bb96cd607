"""A merged adapter gives what its base and the adapter give together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the score extra")
pytest.importorskip("transformers", reason="needs the score extra")

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from services.corpus.bpb.models.checkpoint.model_directory import HuggingFaceModel, read_directory
from services.corpus.bpb.models.checkpoint.torch_module import load_module
from services.corpus.bpb.models.compute import TORCH, Compute
from services.corpus.bpb.models.merge_adapter import CannotMergeError, merge
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.scored_windows import Window
from services.errors import InvalidArgument
from tests.corpus.bpb import tiny_models

pytestmark = pytest.mark.torch
WINDOW = Window(list(range(40)), list(range(1, 41)))
RANK, ALPHA = 3, 7.0


class _Beside(nn.Module):
    """A linear layer with an adapter beside it, as PEFT computes it."""

    def __init__(self, layer: nn.Module, a: Tensor, b: Tensor, scale: float) -> None:
        super().__init__()
        self.layer, self.a, self.b, self.scale = layer, a, b, scale

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(x) + (x @ self.a.T @ self.b.T) * self.scale
        return result


def adapter(directory: Path, tensors: dict[str, Tensor], **config: Any) -> Path:
    directory.mkdir(exist_ok=True)
    content = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, **config}
    (directory / "adapter_config.json").write_text(json.dumps(content))
    save_file(tensors, directory / "adapter_model.safetensors")
    return directory


def pair(place: str, width: int, height: int) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        f"base_model.model.{place}.lora_A.weight": torch.randn(RANK, width),
        f"base_model.model.{place}.lora_B.weight": torch.randn(height, RANK),
    }


@pytest.mark.parametrize(
    ("family", "place", "config", "scale"),
    [
        ("llama", "model.layers.1.mlp.up_proj", {}, ALPHA / RANK),
        ("llama", "model.layers.1.mlp.up_proj", {"use_rslora": True}, ALPHA / RANK**0.5),
        ("llama", "model.layers.0.self_attn.q_proj", {"alpha_pattern": {"q_proj": 2}}, 2 / RANK),
        ("gpt2", "transformer.h.1.attn.c_attn", {"fan_in_fan_out": True}, ALPHA / RANK),
    ],
)
def test_likelihoods_are_those_of_both(
    tmp_path: Path, family: str, place: str, config: dict[str, Any], scale: float
) -> None:
    base = tiny_models.make(family, tmp_path / "base")
    found = read_directory("m", base)
    assert isinstance(found, HuggingFaceModel)
    module, _ = load_module("m", found, torch.float32)
    shape = module.get_submodule(place).weight.shape
    height, width = reversed(shape) if config.get("fan_in_fan_out") else shape
    tensors = pair(place, width, height)
    merge(base, adapter(tmp_path / "adapter", tensors, **config), tmp_path / "out")
    a, b = tensors.values()
    module.set_submodule(place, _Beside(module.get_submodule(place), a, b, scale))
    with torch.inference_mode():
        logits = module(torch.tensor([list(WINDOW.inputs)])).logits[0]
    wanted = logits.log_softmax(1).gather(1, torch.tensor(list(WINDOW.targets))[:, None])[:, 0]
    merged = Registry({"m": tmp_path / "out"}).load("m", Compute(TORCH))
    assert merged.log_likelihoods([WINDOW])[0] == pytest.approx(wanted.numpy(), abs=1e-4)
    alone = Registry({"m": base}).load("m", Compute(TORCH))
    assert abs(alone.log_likelihoods([WINDOW])[0] - wanted.numpy()).max() > 0.01


def test_modules_that_were_trained_whole_replace_the_bases(tmp_path: Path) -> None:
    base = tiny_models.make("llama", tmp_path / "base")
    head = torch.ones(257, 64)
    tensors = {"base_model.model.lm_head.weight": head}
    merge(base, adapter(tmp_path / "adapter", tensors), tmp_path / "out")
    assert load_file(tmp_path / "out" / "model.safetensors")["lm_head.weight"].equal(head)


@pytest.mark.parametrize(
    ("tensors", "config", "problem"),
    [
        ({}, {"peft_type": "IA3"}, "of kind IA3"),
        ({}, {"use_dora": True}, "trained with use_dora; merge it with PEFT"),
        (pair("model.layers.9.mlp.up_proj", 64, 128), {}, "which the base does not have"),
        (pair("model.layers.1.mlp.up_proj", 32, 128), {}, r"is \(128, 32\)"),
        (
            {"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(3, 4)},
            {},
            "no linear",
        ),
        ({"base_model.model.x.lora_A.weight": torch.ones(3, 4)}, {}, "and no .*lora_B"),
    ],
)
def test_what_cannot_be_merged(
    tmp_path: Path, tensors: dict[str, Tensor], config: dict[str, Any], problem: str
) -> None:
    base = tiny_models.make("llama", tmp_path / "base")
    with pytest.raises(CannotMergeError, match=problem):
        merge(base, adapter(tmp_path / "adapter", tensors, **config), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_adapter_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="merge_adapter BASE"):
        read_directory("m", adapter(tmp_path / "adapter", {}))
