"""Weights of one kind under the config.json of another that has the same tensors."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the score extra")
pytest.importorskip("transformers", reason="needs the score extra")

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from services.corpus.bpb.models.checks.parity import trial_text
from services.corpus.bpb.models.compute import TORCH, Compute
from services.corpus.bpb.models.registry import Registry
from services.errors import ModelUnusable
from tests.corpus.bpb import tiny_models

pytestmark = [pytest.mark.torch, pytest.mark.slow]
NORMS = {"llama": 0.1, "gemma": 0.1 - 1}
"""The weight of a norm that multiplies by a tenth."""


def model_of(kind: str, path: Path, *, called: str) -> Path:
    """A model that knows how often bytes come, as `kind` computes, whose config says `called`."""
    tiny_models.make("llama", path)
    weights = load_file(path / "model.safetensors")
    counts = Counter(trial_text().encode())
    tokenizer = json.loads((path / "tokenizer.json").read_text())
    letters = Tokenizer.from_file(str(path / "tokenizer.json"))
    often = torch.full((len(tokenizer["model"]["vocab"]),), 0.5)
    for byte, count in counts.items():
        if byte < 0x80:
            often[letters.encode(chr(byte)).ids[0]] = count
    for name, tensor in weights.items():
        if "norm" in name:
            tensor.fill_(NORMS[kind])
        elif "o_proj" in name or "down_proj" in name:
            tensor.fill_(0.0)  # nothing is added to the embedding
    width = weights["model.embed_tokens.weight"].shape[1]
    weights["model.embed_tokens.weight"].fill_(1.0)
    rows = (often / often.sum()).log() / (0.1 * width)
    weights["lm_head.weight"] = rows[:, None].expand(-1, width).contiguous()
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    config: dict[str, Any] = json.loads((path / "config.json").read_text())
    config |= {"model_type": called, "architectures": None, "tie_word_embeddings": False}
    config["head_dim"] = config["hidden_size"] // config["num_attention_heads"]
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("kind", "called"), [("llama", "gemma"), ("gemma", "llama"), ("llama", "granite")]
)
def test_weights_of_another_kind_are_refused_with_both_figures(
    tmp_path: Path, kind: str, called: str
) -> None:
    path = model_of(kind, tmp_path / "model", called=called)
    if called == "granite":  # it divides logits by a number of its own
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**config, "logits_scaling": 0.05}))
    with pytest.raises(ModelUnusable) as refused:
        Registry({"m": path}).load("m", Compute(TORCH))
    message = str(refused.value)
    assert f"config.json says {called}, and the weights are of the kind {kind}" in message
    assert "(5.55 are chance)" in message


@pytest.mark.parametrize("kind", ["llama", "gemma"])
def test_weights_under_their_own_config_are_not(tmp_path: Path, kind: str) -> None:
    path = model_of(kind, tmp_path / "model", called=kind)
    assert not any(
        "chance" in one for one in Registry({"m": path}).start("m", Compute(TORCH)).doubts
    )


@pytest.mark.parametrize("called", ["llama", "gemma"])
def test_weights_that_predict_nothing_as_any_kind_are_doubted_and_no_more(
    tmp_path: Path, called: str
) -> None:
    path = tiny_models.make("llama", tmp_path / "model")
    config = json.loads((path / "config.json").read_text())
    config |= {"model_type": called, "architectures": None, "head_dim": 16}
    (path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    doubts = Registry({"m": path}).start("m", Compute(TORCH)).doubts
    assert any("no better than by chance" in one for one in doubts)


def test_a_real_llama_under_gemmas_config_is_refused(tmp_path: Path, data_dir: Path) -> None:
    source = data_dir / "lm" / "tinystories-656k"
    path = tmp_path / "model"
    path.mkdir()
    for file in source.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    config = json.loads((path / "config.json").read_text())
    size = config["hidden_size"] // config["num_attention_heads"]
    config |= {"model_type": "gemma", "architectures": ["GemmaForCausalLM"], "head_dim": size}
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnusable, match="the weights are of the kind llama"):
        Registry({"m": path}).load("m", Compute(TORCH))
