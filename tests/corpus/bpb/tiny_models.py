"""Small causal language models of three families with random weights, as Hugging Face folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FAMILIES = ("gpt2", "gpt_neox", "llama")
MAX_LENGTH = 96
_END = "<|endoftext|>"


def make(family: str, directory: Path, seed: int = 0) -> Path:
    """Write a model of the family, whose tokens are bytes, and return its directory.

    A test that calls this is skipped where torch is not installed.
    """
    torch = pytest.importorskip("torch", reason="needs the score extra")
    hub = pytest.importorskip("transformers", reason="needs the score extra")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: number for number, character in enumerate([*alphabet, _END])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([_END])
    torch.manual_seed(seed)
    shape: dict[str, Any] = {"vocab_size": len(vocabulary), "initializer_range": 0.2}
    wide: dict[str, Any] = {
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_LENGTH,
    }
    model: Any
    if family == "gpt2":
        small: dict[str, Any] = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": MAX_LENGTH}
        model = hub.GPT2LMHeadModel(hub.GPT2Config(**small, **shape))
    elif family == "gpt_neox":
        sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128}
        model = hub.GPTNeoXForCausalLM(hub.GPTNeoXConfig(**sizes, **wide, **shape))
    else:
        grouped: dict[str, Any] = {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_key_value_heads": 2,
        }
        model = hub.LlamaForCausalLM(hub.LlamaConfig(**grouped, **wide, **shape))
    directory.mkdir(parents=True)
    model.save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    special = {"bos_token": _END, "eos_token": _END}
    (directory / "tokenizer_config.json").write_text(json.dumps(special))
    return directory
