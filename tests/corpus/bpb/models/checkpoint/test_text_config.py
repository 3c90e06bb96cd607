"""Windows and vocabularies are those that lm-evaluation-harness finds, whatever they are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.corpus.bpb.models.checkpoint.folder_kinds import NotAModelError
from services.corpus.bpb.models.checkpoint.text_config import read_text_config

pytest.importorskip("transformers", reason="needs the score extra")
pytestmark = pytest.mark.torch


def length(directory: Path, config: dict[str, Any], tokenizer: dict[str, Any] | None = None) -> int:
    (directory / "config.json").write_text(json.dumps(config))
    return read_text_config(directory, config, tokenizer or {}).max_length


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "gpt2", "n_positions": 8, "vocab_size": 7}, 8),
        ({"model_type": "gpt2", "max_position_embeddings": 9, "vocab_size": 7}, 9),
        # The table of positions has the size of n_positions, by default 1,024.
        ({"model_type": "gpt2", "n_ctx": 5, "vocab_size": 7}, 1024),
        ({"model_type": "rwkv", "context_length": 64}, 64),
        ({"model_type": "rwkv"}, 1024),
        ({"model_type": "mpt", "max_seq_len": 64}, 64),
        ({"model_type": "mpt", "max_seq_len": 65536}, 2048),
        ({"model_type": "mamba"}, 2048),
        ({"model_type": "mamba", "n_ctx": 5}, 5),
        ({"model_type": "llama"}, 2048),
        ({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}, 131072),
    ],
)
def test_the_window(tmp_path: Path, config: dict[str, Any], expected: int) -> None:
    assert length(tmp_path, config) == expected


@pytest.mark.parametrize(("limit", "expected"), [(300, 300), (10**30, 2048), (None, 2048)])
def test_the_tokenizers_limit_is_a_window_where_there_is_no_other(
    tmp_path: Path, limit: int | None, expected: int
) -> None:
    assert length(tmp_path, {"model_type": "mamba"}, {"model_max_length": limit}) == expected
    plain = {"model_type": "gpt2", "n_positions": 8, "vocab_size": 7}
    assert length(tmp_path, plain, {"model_max_length": limit}) == 8


def test_a_part_without_a_size_has_its_classs(tmp_path: Path) -> None:
    config = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}
    length(tmp_path, config)
    assert read_text_config(tmp_path, config, {}).vocabulary == 262_208


@pytest.mark.parametrize(
    ("config", "assumed"),
    [
        ({"model_type": "gpt2", "n_positions": 8, "vocab_size": 7}, False),
        ({"model_type": "llama"}, False),  # by its class
        ({"model_type": "mpt", "max_seq_len": 64}, False),
        ({"model_type": "mpt", "max_seq_len": 65536}, True),
        ({"model_type": "mamba"}, True),
    ],
)
def test_a_window_that_no_file_states_is_assumed(
    tmp_path: Path, config: dict[str, Any], assumed: bool
) -> None:
    length(tmp_path, config)
    assert read_text_config(tmp_path, config, {}).max_length_assumed is assumed


@pytest.mark.parametrize("size", [0, -1, "many", 2.5])
def test_sizes_that_are_none(tmp_path: Path, size: object) -> None:
    for key in ("vocab_size", "max_position_embeddings"):
        plain = {"model_type": "llama", "vocab_size": 7, "max_position_embeddings": 8, key: size}
        with pytest.raises(NotAModelError, match=f"by its config.json; set {key} to"):
            length(tmp_path, plain)
