"""Causal language models with random weights and published tokenizers, for benchmarks.

The values of weights change neither the work of a forward pass nor whether two programs agree.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

_END = "<|endoftext|>"
# Pythia's 14M, and its 160M, in shape.
_NEOX = {
    "neox-14m": {"hidden_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4},
    "neox-160m": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
}
NAMES = ("gpt2-small", *_NEOX)


def make(name: str, tokenizers: Path, directory: Path) -> Path:
    """Write the model `name` into a new folder of `directory` and return it; seed 0."""
    torch.manual_seed(0)
    model: Any
    if name in _NEOX:
        shape: dict[str, Any] = _NEOX[name]
        config = GPTNeoXConfig(
            vocab_size=50304,
            max_position_embeddings=2048,
            intermediate_size=4 * shape["hidden_size"],
            **shape,
        )
        model, tokenizer = GPTNeoXForCausalLM(config), "gpt-neox-20b-tokenizer.json"
    else:
        model = GPT2LMHeadModel(GPT2Config(n_embd=128, n_layer=4, n_head=4))
        tokenizer = "gpt2-tokenizer.json"
    out = directory / name
    model.save_pretrained(out)
    shutil.copyfile(tokenizers / tokenizer, out / "tokenizer.json")
    special = {"bos_token": _END, "eos_token": _END, "unk_token": _END}
    content = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    (out / "tokenizer_config.json").write_text(json.dumps(content), encoding="utf-8")
    return out


def write_byte_tokenizer(directory: Path) -> None:
    """Write a tokenizer whose tokens are bytes, 0 to 255, and an end of text, 256."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: number for number, character in enumerate([*alphabet, _END])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([_END])
    tokenizer.save(str(directory / "tokenizer.json"))
    content = {"bos_token": _END, "eos_token": _END}
    (directory / "tokenizer_config.json").write_text(json.dumps(content), encoding="utf-8")


def make_long_llama(directory: Path, vocabulary: int) -> Path:
    """Write a Llama of one small layer whose window is 131,072 tokens; seed 0."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=131_072,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    write_byte_tokenizer(directory)
    return directory
