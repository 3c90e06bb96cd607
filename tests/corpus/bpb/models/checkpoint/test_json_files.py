"""Whatever is in the place of a file of JSON, the refusal says which file and what it holds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.corpus.bpb.models.checkpoint.folder_kinds import NotAModelError
from services.corpus.bpb.models.checkpoint.json_files import json_object
from services.corpus.bpb.models.checkpoint.model_directory import read_directory
from services.corpus.tokens.tokenizer import Tokenizers
from services.errors import InvalidArgument
from tests.corpus.bpb.models import folders

PYTHON = re.compile(r"\w+Error\b|Traceback|object has no attribute|object is not|NoneType")
OTHERS: dict[str, tuple[bytes | None, str]] = {
    "list": (b'[{"model_type": "llama"}]', "that holds a list, not a JSON object"),
    "text": (b'"llama"', "that holds a text, not"),
    "number": (b"12", "that holds a number, not"),
    "null": (b"null", "that holds null, not"),
    "truth": (b"true", "that holds true or false, not"),
    "cut short": (b'{"model_type": "lla', "that is not JSON: Unterminated string"),
    "two": (b"{}{}", "that is not JSON: Extra data"),
    "page": (b"<!doctype html><p>Not found", "that is not JSON: Expecting value"),
    "deep": (b"[" * 200_000, "that is not JSON: it is nested too deeply"),
    "not UTF-8": (b'{"a": "\xff"}', r"that is not UTF-8 \(byte 7\)"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "begins with a byte order mark"),
    "mark": (b'\xef\xbb\xbf{"a": 1}', "begins with a byte order mark"),
    "empty": (b"", "has an empty"),
    "blank": (b" \n", "has an empty"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
    "folder": (None, "has a folder called"),
}
FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "lm.json",
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A folder in which every one of the files is read."""
    return folders.write(
        tmp_path / "model", tokenizer_config={}, special_tokens_map={}, generation_config={}
    )


def put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
        path.mkdir()
    else:
        path.write_bytes(content)


@pytest.mark.torch  # transformers is asked for the defaults of special tokens, if it is there
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", FILES)
def test_what_is_in_the_place_of_a_file_is_said(directory: Path, name: str, other: str) -> None:
    content, told = OTHERS[other]
    if name == "model.safetensors.index.json":
        (directory / "model.safetensors").unlink()
    if name == "lm.json" and content is None:
        pytest.skip("a folder of that name is no byte-level model, and is left alone")
    put(directory / name, content)
    with pytest.raises(InvalidArgument, match=told) as refused:
        read_directory("m", directory)
    message = str(refused.value)
    assert name in message
    assert not PYTHON.search(message), message


CHANGES: list[tuple[str, Any, str]] = [
    ("config", {"vocab_size": 7}, "config.json without 'model_type', a text"),
    ("config", {**folders.CONFIG, "model_type": 3}, "whose 'model_type' is a number, not a text"),
    ("config", {**folders.CONFIG, "text_config": []}, "whose 'text_config' is a list, not an obj"),
    ("config", {**folders.CONFIG, "quantization_config": "gptq"}, "'quantization_config' is a te"),
    ("config", {**folders.CONFIG, "architectures": "X"}, "'architectures' is a text, not a list"),
    ("config", {**folders.CONFIG, "vocab_size": "7"}, "a vocabulary of '7' tokens"),
    ("tokenizer", {"model": []}, "whose 'model' is a list, not an object"),
    ("tokenizer", {**folders.TOKENIZER, "added_tokens": {}}, "'added_tokens' is an object"),
    ("tokenizer", {**folders.TOKENIZER, "added_tokens": ["<s>"]}, "a text among its added_tokens"),
    (
        "tokenizer",
        {**folders.TOKENIZER, "added_tokens": [{"id": 1}]},
        "an added token without 'content', a text",
    ),
    (
        "tokenizer",
        {"model": {"vocab": 5}},
        "vocab does not map tokens to their ids: it holds a num",
    ),
    ("tokenizer", {"model": {"vocab": {"a": "0"}}}, "their ids: it holds a text"),
    ("tokenizer", {"model": {"vocab": {"a": None}}}, "their ids: it holds null"),
    ("tokenizer", {"model": {"vocab": [1, 2]}}, "their ids: it holds a list"),
    ("tokenizer_config", {"added_tokens_decoder": []}, "'added_tokens_decoder' is a list"),
    ("tokenizer_config", {"added_tokens_decoder": {"a": {}}}, "has an object under 'a'"),
    ("tokenizer_config", {"added_tokens_decoder": {"1": 2}}, "has a number under '1'"),
    ("tokenizer_config", {"model_max_length": "64"}, "'model_max_length' is a text, not a num"),
]


@pytest.mark.torch
@pytest.mark.parametrize(("name", "content", "told"), CHANGES)
def test_an_entry_of_another_kind_is_said(
    directory: Path, name: str, content: Any, told: str
) -> None:
    (directory / f"{name}.json").write_text(json.dumps(content))
    with pytest.raises(InvalidArgument, match=told) as refused:
        read_directory("m", directory)
    assert not PYTHON.search(str(refused.value))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "without 'weight_map', an object"),
        ({"weight_map": ["a.safetensors"]}, "'weight_map' is a list, not an object"),
        ({"weight_map": {}}, "with no file in its weight_map"),
        ({"weight_map": {"a": 5}}, "with a number as the name of a file"),
        ({"weight_map": {"a": "b.safetensors", "c": None}}, "with null as the name of a file"),
        ({"weight_map": {"a": "b.safetensors"}}, "has no b.safetensors, which"),
    ],
)
def test_an_index_of_weights_is_one_of_names(directory: Path, content: Any, told: str) -> None:
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors.index.json").write_text(json.dumps(content))
    with pytest.raises(InvalidArgument, match=told):
        read_directory("m", directory)


@pytest.mark.torch
@pytest.mark.parametrize(
    "header", [b"[]", b"{", b'{"a": 1}', b'{"a": {"dtype": "F32"}}', b"\xff\xff"]
)
def test_a_header_of_weights_that_is_none_is_said(directory: Path, header: bytes) -> None:
    size = len(header).to_bytes(8, "little")
    (directory / "model.safetensors").write_bytes(size + header)
    with pytest.raises(InvalidArgument, match=r"has a model\.safetensors") as refused:
        read_directory("m", directory)
    assert not PYTHON.search(str(refused.value))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "model_type",
                    "vocab_size",
                    "text_config",
                    "vocab",
                    "model",
                    "added_tokens",
                    "content",
                    "id",
                    "bos_token",
                    "added_tokens_decoder",
                    "1",
                    "model_max_length",
                    "bos_token_id",
                    "license",
                    "format",
                ]
            ),
            inner,
        )
    ),
    max_leaves=8,
)


@pytest.mark.torch
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), content=VALUES)
def test_no_json_gives_an_error_of_python(directory: Path, name: str, content: Any) -> None:
    path = directory / name
    before = path.read_bytes() if path.exists() else None
    path.write_text(json.dumps(content))
    message = ""
    try:
        read_directory("m", directory)
    except InvalidArgument as refused:
        message = str(refused)
    finally:
        path.unlink() if before is None else path.write_bytes(before)
    assert not PYTHON.search(message), message


@pytest.mark.torch
@pytest.mark.parametrize("other", ["list", "cut short", "folder", "empty"])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_alone_is_refused_in_the_same_words(
    directory: Path, name: str, other: str
) -> None:
    pytest.importorskip("tokenizers", reason="needs the score extra")
    content, told = OTHERS[other]
    (directory / "tokenizer.json").write_text(
        json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}})
    )
    put(directory / name, content)
    with pytest.raises(InvalidArgument, match=told):
        Tokenizers({"m": directory}).open("m")


@pytest.mark.parametrize("other", OTHERS)
def test_an_adapters_config_is_refused_in_the_same_words(tmp_path: Path, other: str) -> None:
    content, told = OTHERS[other]
    put(tmp_path / "adapter_config.json", content)
    with pytest.raises(NotAModelError, match=told):
        json_object(tmp_path / "adapter_config.json")
