"""The token before a document is lm-evaluation-harness's, and then what else the folder names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.corpus.bpb.models.checkpoint.folder_kinds import NotAModelError
from services.corpus.bpb.models.tokenizers.special_tokens import special_tokens
from tests.corpus.bpb import tiny_models
from tests.corpus.bpb.models import folders

END = 256


def found(
    directory: Path, config: dict[str, Any] | None = None, **contents: Any
) -> tuple[int | None, int | None]:
    folders.write(directory, **contents)
    return special_tokens(directory, config or {}, contents.get("tokenizer_config", {}))


def test_named_tokens_are_those(tmp_path: Path) -> None:
    named = {"bos_token": {"content": "<s>"}, "eos_token": "</s>"}
    assert found(tmp_path, {"bos_token_id": 0}, tokenizer_config=named) == (1, 2)
    null = {"bos_token": None, "eos_token": "</s>"}
    assert found(tmp_path, {"bos_token_id": 0}, tokenizer_config=null) == (None, 2)


def test_named_in_special_tokens_map(tmp_path: Path) -> None:
    named = {"bos_token": "</s>", "eos_token": None}
    assert found(tmp_path, tokenizer_config={}, special_tokens_map=named) == (2, None)


def test_vocabularies_that_are_lists_have_ids_too(tmp_path: Path) -> None:
    unigrams = {"model": {"vocab": [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0]]}}
    named = {"bos_token": "<s>", "eos_token": "</s>"}
    assert found(tmp_path, tokenizer=unigrams, tokenizer_config=named) == (1, 2)


@pytest.mark.torch
@pytest.mark.parametrize("named", [{"bos_token": None, "eos_token": None}, {}])
def test_config_and_generation_config_come_after_the_tokenizer(
    tmp_path: Path, named: dict[str, None]
) -> None:
    ids = {"bos_token_id": 0, "eos_token_id": [2, 1]}
    assert found(tmp_path, ids, tokenizer_config=named) == (0, 2)
    assert found(tmp_path, tokenizer_config=named, generation_config=ids) == (0, 2)
    beyond = {"bos_token_id": 3, "eos_token_id": -1}
    assert found(tmp_path, beyond, tokenizer_config=named, generation_config={}) == (None, None)


def test_the_only_special_token_is_the_last_resort(tmp_path: Path) -> None:
    tokenizer = {"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 1, "content": "<|e|>"}]}
    null = {"bos_token": None, "eos_token": None}
    assert found(tmp_path, tokenizer=tokenizer, tokenizer_config=null) == (None, None)
    tokenizer["added_tokens"][0]["special"] = True  # type: ignore[index]
    assert found(tmp_path, tokenizer=tokenizer, tokenizer_config=null) == (None, 1)


def test_a_named_token_that_the_tokenizer_lacks_shows_two_models(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match=r"bos_token '<go>' .* they are of two models"):
        found(tmp_path, tokenizer_config={"bos_token": "<go>", "eos_token": "</s>"})


@pytest.mark.torch
def test_a_class_of_tokenizers_has_its_own(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the score extra")
    directory = tiny_models.make("gpt2", tmp_path / "gpt2")
    for kept in ({"model_max_length": 1024}, {"eos_token": "<|endoftext|>"}):
        config = {"bos_token_id": 7}  # which lm-evaluation-harness does not look at
        (directory / "tokenizer_config.json").write_text("{}")
        assert special_tokens(directory, config, kept) == (END, END)
