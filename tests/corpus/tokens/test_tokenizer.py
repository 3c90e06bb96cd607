"""Tokenizers that cannot be streamed from are told, whatever their library raises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.corpus.tokens.tokenizer import Tokenizers
from services.errors import InvalidArgument, TooLarge

_TOO_LARGE = 1 << 32
# Without them transformers is asked, which imports torch.
_NO_SPECIAL_TOKENS = {"bos_token": None, "eos_token": None}


def _words(ids: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer.json of whole words."""
    return {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, **ids}, "unk_token": "<unk>"},
    }


def _written(folder: Path, files: dict[str, Any]) -> Tokenizers:
    around = {"config.json": {}, "tokenizer_config.json": _NO_SPECIAL_TOKENS}
    for name, content in (around | files).items():
        (folder / name).write_text(json.dumps(content))
    return Tokenizers({"mine": folder})


def test_ids_of_any_32_bits_are_taken(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    content = _words({"most": _TOO_LARGE - 1})
    tokenizer = _written(tmp_path, {"tokenizer.json": content}).open("mine")
    assert (tokenizer.vocabulary, tokenizer.id_bytes) == (_TOO_LARGE, 4)
    assert tokenizer.cutter.cut([b"most other"])[0].tolist() == [_TOO_LARGE - 1, 0]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (_words({"more": _TOO_LARGE}), "4294967296"),
        (_words({"less": -1}), "-1"),
        (_words({"half": 1.5}), "1.5"),
        ({}, "Model missing"),
        ([1], "not a JSON object"),
    ],
)
def test_a_file_that_the_library_refuses_is_told(
    tmp_path: Path, content: Any, problem: str
) -> None:
    pytest.importorskip("tokenizers")
    opened = _written(tmp_path, {"tokenizer.json": content})
    with pytest.raises(InvalidArgument, match=rf"'mine' has no tokenizer.*{problem}"):
        opened.open("mine")


@pytest.mark.parametrize("token", [_TOO_LARGE, -1])
def test_a_byte_models_separator_is_of_32_bits(tmp_path: Path, token: int) -> None:
    with pytest.raises(InvalidArgument, match=f"prefix_token {token}, which is not of 32 bits"):
        _written(tmp_path, {"lm.json": {"prefix_token": token}}).open("mine")


def test_texts_that_take_more_memory_than_is_left_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tokenizers")
    opened = _written(tmp_path, {"tokenizer.json": _words({"a": 1})}).open("mine")
    monkeypatch.setattr("services.corpus.tokenizing_memory._ALWAYS_BYTES", 100_000)
    monkeypatch.setattr("services.common.memory.left", lambda: 150_000)
    assert len(opened.cutter.cut([b"a " * 500])[0]) == 500
    with pytest.raises(TooLarge, match="tokenizing 1,200 bytes"):
        opened.cutter.cut([b"a " * 300, b"a " * 300])
