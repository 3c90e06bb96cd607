"""Causal language models of many families, tiny and with random weights, and their true figures.

The true figures are computed without any of the project's code: transformers in double precision,
all logits at once, and lm-evaluation-harness's windows, written a second time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from benchmarks.bpb.random_models import write_byte_tokenizer

LENGTH = 96
PREFIX = 256
# Sizes, by the names that families use: each takes those that its configuration has.
_SIZES: dict[str, Any] = {
    "vocab_size": 257,
    "hidden_size": 64,
    "d_model": 64,
    "n_embd": 64,
    "word_embed_proj_dim": 32,
    "num_hidden_layers": 2,
    "num_layers": 2,
    "n_layer": 2,
    "n_layers": 2,
    "decoder_layers": 2,
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "decoder_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "ffn_dim": 96,
    "decoder_ffn_dim": 96,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "attention_hidden_size": 64,
    "state_size": 8,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "n_positions": LENGTH,
    "max_position_embeddings": LENGTH,
    "max_seq_len": LENGTH,
    "context_length": LENGTH,
    "sliding_window": 32,
    "initializer_range": 0.1,
    "pad_token_id": 0,
    "bos_token_id": PREFIX,
    "eos_token_id": PREFIX,
}
# Families, by transformers' name, with the sizes that each needs instead.
FAMILIES: dict[str, dict[str, Any]] = {
    "bloom": {},
    "codegen": {"rotary_dim": 8},
    "cohere": {},
    "cohere2": {},
    "ctrl": {},
    "deepseek_v2": {},
    "deepseek_v3": {"head_dim": 8},
    "ernie4_5": {},
    "exaone4": {},
    "falcon": {},
    "falcon_mamba": {},
    "gemma": {},
    "gemma2": {},
    "gemma3_text": {},
    "glm4": {},
    "gpt2": {},
    "gpt_bigcode": {},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 32},
    "gpt_neox": {},
    "gpt_oss": {},
    "gptj": {"rotary_dim": 8},
    "granite": {},
    "jamba": {},
    "llama": {},
    "mamba": {},
    "mamba2": {"num_heads": 8},
    "mistral": {},
    "mixtral": {},
    "mpt": {},
    "olmo2": {},
    "openai-gpt": {},
    "opt": {},
    "persimmon": {},
    "phi": {},
    "phi3": {},
    "qwen2": {},
    "qwen2_moe": {},
    "qwen3": {},
    "qwen3_moe": {},
    "recurrent_gemma": {},
    "rwkv": {},
    "smollm3": {},
    "stablelm": {},
    "starcoder2": {},
}
_SCANS = {"mamba_n_heads": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 16}
# Further ones: hybrids with state-space layers, experts, short sliding windows, sparse attention.
FURTHER: dict[str, dict[str, Any]] = {
    "afmoe": {},
    "apertus": {},
    "arcee": {},
    "bamba": {**_SCANS, "attn_layer_indices": [1]},
    "biogpt": {},
    "cohere2_moe": {},
    "deepseek_v32": {
        "head_dim": 8,
        "num_key_value_heads": 4,
        "index_topk": 16,
        "index_head_dim": 16,
        "index_n_heads": 4,
    },
    "diffllama": {},
    "doge": {},
    "ernie4_5_moe": {},
    "falcon_h1": {**_SCANS, "mamba_d_ssm": 64, "mamba_d_head": 8},
    "flex_olmo": {},
    "glm": {},
    "glm4_moe": {},
    "granitemoe": {},
    "granitemoehybrid": {
        **_SCANS,
        "layer_types": ["mamba", "attention"],
        "shared_intermediate_size": 32,
    },
    "helium": {},
    "hunyuan_v1_moe": {},
    "jetmoe": {},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "llama4_text": {},
    "longcat_flash": {
        "head_dim": 8,
        "num_key_value_heads": 4,
        "ffn_hidden_size": 96,
        "expert_ffn_hidden_size": 32,
        "zero_expert_num": 2,
        "moe_topk": 2,
    },
    "minimax": {},
    "minimax_m2": {},
    "modernbert-decoder": {},
    "nanochat": {},
    "nemotron": {},
    "nemotron_h": {
        "mamba_num_heads": 8,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "n_groups": 1,
        "chunk_size": 16,
        "layers_block_type": ["mamba", "attention"],
    },
    "olmo3": {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    "olmoe": {},
    "phimoe": {},
    "qwen3_next": {
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "seed_oss": {},
    "xglm": {},
    "xlstm": {},
}
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "\tdef f(x):\r\n\t\treturn x  # tabs, and lines of another system\r\n",
    "  Two spaces, caf\u00e9, \u4e2d\u6587 and \U0001f600.",
    "A short text.",
    "Of a document longer than a window, the last one is filled up from the back. " * 5,
)


def make(family: str, directory: Path) -> Path:
    """Write a model of the family into a new folder and return it; seed 0."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    kind: Any = CONFIG_MAPPING[family]
    known, own = kind(), (FAMILIES | FURTHER)[family]
    sizes = {
        name: value
        for name, value in _SIZES.items()
        if hasattr(known, name)
        and name not in own
        and not isinstance(getattr(kind, name, None), property)
    }
    torch.manual_seed(0)
    config = kind(**sizes, **own)
    model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(directory)
    write_byte_tokenizer(directory)
    return directory


@contextmanager
def _doubles() -> Iterator[None]:
    """Make double precision torch's default: XGLM's mask has the least double as a constant."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Expected:
    """A folder's model in double precision."""

    def __init__(self, directory: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        model: Any = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float64, experts_implementation="eager"
        )
        self._model = model.eval()

    def nats(self, text: str, length: int) -> float:
        """Return -log p of a text, by windows of `length` tokens."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        whole = [PREFIX, *tokens]
        likelihoods = []
        for end in range(length, len(tokens) + length, length):
            stop = min(end, len(tokens))
            start = max(0, stop - length)
            new = stop - (end - length)
            with torch.inference_mode(), _doubles():
                logits = self._model(torch.tensor([whole[start:stop]]), use_cache=False).logits[0]
            rows = logits.log_softmax(1)[-new:]
            likelihoods += [
                float(row[token])
                for row, token in zip(rows, tokens[stop - new : stop], strict=True)
            ]
        return -math.fsum(likelihoods)
