"""Tokenizers with more tokens than their model, and what shows that one is another model's."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the score extra")
pytest.importorskip("transformers", reason="needs the score extra")

import transformers

from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_after, score_document
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.models.checkpoint.model_directory import HuggingFaceModel, read_directory
from services.corpus.bpb.models.checks.doubts import tokenizer_doubts
from services.corpus.bpb.models.compute import OPENVINO, TORCH, Compute
from services.corpus.bpb.models.registry import REFERENCE, Registry
from services.corpus.bpb.models.tokenizers.hugging_face_tokenizer import HuggingFaceTokenizer
from services.errors import ModelUnusable, TooLarge
from tests.corpus.bpb import tiny_models
from tests.corpus.bpb.fakes import document

pytestmark = pytest.mark.torch


def edit(directory: Path, file: str, change: Callable[[Any], None]) -> None:
    content = json.loads((directory / file).read_text())
    change(content)
    (directory / file).write_text(json.dumps(content))


def add_token(directory: Path, number: int, text: str) -> None:
    def change(content: Any) -> None:
        content["added_tokens"].append(
            {**content["added_tokens"][0], "id": number, "content": text}
        )

    edit(directory, "tokenizer.json", change)


@pytest.mark.parametrize("engine", [TORCH, OPENVINO])
def test_documents_that_reach_past_the_embedding_are_left_out(tmp_path: Path, engine: str) -> None:
    if engine == OPENVINO:
        pytest.importorskip("openvino", reason="needs the openvino extra")
    plain = tiny_models.make("llama", tmp_path / "plain")
    padded = tiny_models.make("llama", tmp_path / "padded")
    add_token(padded, 257, "[PAD]")
    registry = Registry({"plain": plain, "padded": padded})
    definition = Definition().resolve(registry.describe("padded"))
    texts = [document("some text"), document("a [PAD] here")]
    before = score_document(registry.load("plain", Compute(engine)), definition, texts[0])
    model = registry.load("padded", Compute(engine))
    first, second = (score_document(model, definition, text) for text in texts)
    assert first.nats == before.nats
    assert first.excluded is None
    assert second.excluded is Exclusion.TOKEN_OUT_OF_RANGE


def test_a_tokenizer_that_gives_plain_english_other_tokens_is_another_models(
    tmp_path: Path,
) -> None:
    directory = tiny_models.make("gpt2", tmp_path / "m")
    add_token(directory, 257, "the")
    with pytest.raises(ModelUnusable, match=r"gives token 257 .* the model has 257"):
        Registry({"m": directory}).load("m", Compute(TORCH))


def test_a_window_that_the_model_fails_on_is_named_with_the_kind(tmp_path: Path) -> None:
    directory = tiny_models.make("gpt2", tmp_path / "m")
    config = transformers.RobertaConfig(
        vocab_size=257,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=70,  # of which two are never used
        is_decoder=True,
        pad_token_id=0,
    )
    transformers.RobertaForCausalLM(config).save_pretrained(directory)
    registry = Registry({"m": directory})
    problem = r"RobertaForCausalLM fails on a window of 70 tokens .*choose a shorter one"
    full, short = (Definition(length).resolve(registry.describe("m")) for length in (70, 64))
    model = registry.load("m", Compute(TORCH))
    with pytest.raises(ModelUnusable, match=problem):
        score_document(model, full, document("x" * 200))
    assert score_document(model, short, document("x" * 200)).tokens == 200


def test_sizes_that_do_not_fit_each_other_are_no_matter_of_the_window(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the score extra")
    directory = tiny_models.make("gpt2", tmp_path / "m")
    config = transformers.DeepseekV3Config(
        vocab_size=257,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
        q_lora_rank=8,
        kv_lora_rank=8,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=16,
        head_dim=16,  # qk_rope_head_dim, in this kind
        first_k_dense_replace=1,
        max_position_embeddings=64,
    )
    transformers.DeepseekV3ForCausalLM(config).save_pretrained(directory)
    with pytest.raises(ModelUnusable, match=r"fails on every window .*compare config\.json"):
        Registry({"m": directory}).load("m", Compute(TORCH))


@pytest.mark.parametrize("method", ["encode", "token_starts", "decode"])
def test_other_threads_run_while_a_long_document_is_read(tmp_path: Path, method: str) -> None:
    found = read_directory("m", tiny_models.make("gpt2", tmp_path / "m"))
    assert isinstance(found, HuggingFaceModel)
    tokenizer = HuggingFaceTokenizer("m", found)
    text = "A quick fox. " * 100_000
    given: Any = tokenizer.encode(text) if method == "decode" else text
    turns, ended = 0, threading.Event()

    def count() -> None:
        nonlocal turns
        while not ended.wait(0.002):
            turns += 1

    other = threading.Thread(target=count)
    other.start()
    getattr(tokenizer, method)(given)
    ended.set()
    other.join()
    assert turns > 10


def signs(directory: Path, text: str = "plain", loss: float = 1.0) -> list[str]:
    found = read_directory("m", directory)
    assert isinstance(found, HuggingFaceModel)
    model = Registry({"m": directory}).load("m", Compute(TORCH))
    return list(tokenizer_doubts(found, model, text, loss))


def test_signs_of_another_models_tokenizer(tmp_path: Path) -> None:
    directory = tiny_models.make("gpt2", tmp_path / "m")
    edit(
        directory, "config.json", lambda config: config.update(bos_token_id=256, eos_token_id=[256])
    )
    assert signs(directory) == []
    assert "no better than by chance (5.60" in signs(directory, loss=5.6)[0]
    # As a model whose weights are all 0 does.
    assert "no better than by chance (5.55" in signs(directory, loss=math.log(257) - 1e-6)[0]
    edit(directory, "config.json", lambda config: config.update(eos_token_id=[3, 4]))
    assert signs(directory) == ["config.json has the eos_token_id [3, 4], and the tokenizer 256"]
    added = {"256": {"content": "<|im_end|>"}}
    edit(
        directory,
        "tokenizer_config.json",
        lambda config: config.update(added_tokens_decoder=added),
    )
    assert signs(directory)[1] == (
        "token 256 is '<|im_end|>' in tokenizer_config.json and '<|endoftext|>' in tokenizer.json"
    )


def test_code_that_is_not_run_is_a_sign(tmp_path: Path) -> None:
    directory = tiny_models.make("gpt2", tmp_path / "m")
    own = {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}
    ids = {"bos_token_id": 256, "eos_token_id": 256}
    edit(directory, "config.json", lambda config: config.update(auto_map=own, **ids))
    cutter = {"AutoTokenizer": [None, "mine.Tokenizer"]}
    edit(directory, "tokenizer_config.json", lambda config: config.update(auto_map=cutter))
    model, tokenizer = signs(directory)
    assert "(mine.Model), which is never run: the figures are of transformers' own gpt2" in model
    assert "(mine.Tokenizer), which is never run: the tokens are those of tokenizer.json" in (
        tokenizer
    )


def test_a_tokenizer_that_loses_english_is_a_sign(tmp_path: Path) -> None:
    directory = tiny_models.make("gpt2", tmp_path / "m")
    edit(
        directory,
        "tokenizer.json",
        lambda content: content.update(normalizer={"type": "Lowercase"}),
    )
    assert any(
        "cannot reproduce plain English" in sign for sign in signs(directory, "Plain English")
    )


def test_what_predicts_no_better_than_chance_is_said_with_the_model(tmp_path: Path) -> None:
    directory = tiny_models.make("gpt2", tmp_path / "m")
    loaded = Registry({"m": directory}).start("m", Compute(TORCH))
    assert any("no better than by chance" in doubt for doubt in loaded.doubts)
    assert Registry({}).start(REFERENCE).doubts == ()


def test_a_document_that_takes_more_memory_than_is_left_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would end the process, with all that it serves."""
    registry = Registry({"m": tiny_models.make("llama", tmp_path / "m")})
    model = registry.load("m", Compute(TORCH))
    definition = Definition().resolve(registry.describe("m"))
    monkeypatch.setattr("services.corpus.tokenizing_memory._ALWAYS_BYTES", 100_000)
    monkeypatch.setattr("services.common.memory.left", lambda: 150_000)
    assert score_document(model, definition, document("x" * 1000)).excluded is None
    large = document("\u20ac" * 1000)
    named = rf"document {re.escape(large.id)}: tokenizing 3,000 bytes .+ 0 MB .+--max-text-bytes"
    for spans in (None, frozenset({0})):
        with pytest.raises(TooLarge, match=named):
            score_document(model, definition, large, spans=spans)
    with pytest.raises(TooLarge, match=r"document .+: tokenizing 1,000 bytes"):  # and their places
        score_document(model, definition, document("x" * 1000), spans=frozenset({0}))
    with pytest.raises(TooLarge, match=r"document .+: tokenizing 3,000 bytes"):
        score_after(model, definition, document("x"), large.text)
