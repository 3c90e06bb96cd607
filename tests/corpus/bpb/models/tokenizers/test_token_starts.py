"""Which byte a token begins at, for tokenizers of several kinds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the score extra")
pytest.importorskip("transformers", reason="needs the score extra")

import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import GPT2Config, GPT2LMHeadModel

from services.common.statistics.samples.spans import NAT_UNITS, span_ends
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models.checkpoint.model_directory import HuggingFaceModel, read_directory
from services.corpus.bpb.models.compute import TORCH, Compute
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.models.tokenizers.hugging_face_tokenizer import HuggingFaceTokenizer
from tests.corpus.bpb import tiny_models
from tests.corpus.bpb.fakes import document

pytestmark = pytest.mark.torch

TEXT = (
    "The  quick brown f\u00f6x\n\n jumps \U0001f600\U0001f469\u200d over\tthe la\u0301zy dog. " * 4
)


def byte_level(*, trim: bool) -> Tokenizer:
    """As GPT-2's, and with what its tokenizer.json asks for: spaces are cut off a token's front."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=trim)
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator([TEXT], trainer)
    return made


def sentencepiece() -> Tokenizer:
    """As Llama 2's: spaces are marked, unknown characters are bytes."""
    vocabulary = {"<s>": 0, **{f"<0x{byte:02X}>": byte + 1 for byte in range(256)}}
    for character in "\u2581Thequickbrownjumpsovtlazydg.":
        vocabulary.setdefault(character, len(vocabulary))
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    made.add_special_tokens(["<s>"])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A <s>", special_tokens=[("<s>", 0)]
    )
    return made


MADE = {
    "bytes": byte_level(trim=False),
    "trimmed": byte_level(trim=True),
    "sentencepiece": sentencepiece(),
}


@pytest.fixture(scope="module", params=MADE)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with one of the tokenizers."""
    path = tiny_models.make("gpt2", tmp_path_factory.mktemp("m") / request.param)
    made: Tokenizer = MADE[request.param]
    made.save(str(path / "tokenizer.json"))
    config: dict[str, Any] = json.loads((path / "config.json").read_text())
    _resize(path, config, made.get_vocab_size())
    special = {"bos_token": "<s>"} if request.param == "sentencepiece" else {}
    (path / "tokenizer_config.json").write_text(json.dumps(special))
    return path


def read_tokenizer(folder: Path) -> HuggingFaceTokenizer:
    found = read_directory("m", folder)
    assert isinstance(found, HuggingFaceModel)
    return HuggingFaceTokenizer("m", found)


def _resize(path: Path, config: dict[str, Any], size: int) -> None:
    torch.manual_seed(1)
    names = ("n_embd", "n_layer", "n_head", "n_positions", "initializer_range")
    shape = {name: config[name] for name in names}
    model = GPT2LMHeadModel(GPT2Config(**shape, vocab_size=size, bos_token_id=0))
    model.save_pretrained(path)


@given(text=st.text(st.characters(codec="utf-8"), max_size=40) | st.just(TEXT))
def test_tokens_start_in_order_inside_the_text(folder: Path, text: str) -> None:
    tokenizer = read_tokenizer(folder)
    size = len(text.encode())
    for special in (False, True):
        starts = tokenizer.token_starts(text, special_tokens=special)
        assert len(starts) == len(tokenizer.encode(text, special_tokens=special))
        assert starts == sorted(starts)
        assert not text or all(0 <= start < size for start in starts)
        boundaries = {0}
        for character in text:
            boundaries.add(max(boundaries) + len(character.encode()))
        assert boundaries >= set(starts)


def test_a_space_belongs_to_the_token_that_has_it(folder: Path) -> None:
    tokenizer = read_tokenizer(folder)
    for start, token in zip(tokenizer.token_starts(TEXT), tokenizer.encode(TEXT), strict=True):
        if "sentencepiece" not in str(folder):  # which decodes no token by itself
            shown = tokenizer.decode([token])
            if "\ufffd" not in shown:
                assert TEXT.encode()[start:].startswith(shown.encode())


def test_spans_of_a_model_add_up(folder: Path) -> None:
    registry = Registry({"m": folder})
    model = registry.load("m", Compute(TORCH))
    definition = Definition().resolve(registry.describe("m"))
    text = document(TEXT * 100)
    whole = score_document(model, definition, text)
    numbers = range(len(span_ends(text.text)))
    assert len(numbers) > 5
    assert whole.excluded is None
    every = score_document(model, definition, text, spans=frozenset(numbers))
    assert every.nats == pytest.approx(whole.nats, rel=1e-12)
    assert sum(units for _, units in every.spans) == pytest.approx(
        whole.nats * NAT_UNITS, abs=len(numbers)
    )
    for number, units in every.spans[::3]:
        alone = score_document(model, definition, text, spans=frozenset({number}))
        assert dict(alone.spans)[number] == pytest.approx(units, abs=20)
