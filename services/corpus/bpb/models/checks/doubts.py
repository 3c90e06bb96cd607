"""Reasons to doubt a model's figures: weak signs, which are reported but refuse no model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from services.corpus.bpb.models.checkpoint.json_files import json_object, optional_json
from services.corpus.bpb.models.checkpoint.model_directory import HuggingFaceModel
from services.corpus.bpb.models.language_model import LanguageModel

_ROUNDING = 1e-3  # nats, of a model that gives every token the same probability


def tokenizer_doubts(
    found: HuggingFaceModel, model: LanguageModel, text: str, nats_per_token: float
) -> Iterator[str]:
    """Give a sentence for every sign that a folder's tokenizer is another model's.

    `text` is the one that models are tried on, `nats_per_token` the mean loss of `model` there.
    """
    config = json_object(found.directory / "config.json")
    for key, number in (("bos_token_id", found.bos_token), ("eos_token_id", found.eos_token)):
        named = config.get(key)
        ids = named if isinstance(named, list) else [named]
        if named is not None and number is not None and number not in ids:
            yield f"config.json has the {key} {named}, and the tokenizer {number}"
    settings = optional_json(found.directory / "tokenizer_config.json")
    if code := _own_code(config, "AutoModelForCausalLM"):
        yield (
            f"config.json names code of the folder's own ({code}), which is never run: the figures "
            f"are of transformers' own {found.architecture} with these weights"
        )
    if code := _own_code(settings, "AutoTokenizer"):
        yield (
            f"tokenizer_config.json names code of the folder's own ({code}), which is never run: "
            "the tokens are those of tokenizer.json"
        )
    added = settings.get("added_tokens_decoder")
    stored = optional_json(found.directory / "tokenizer.json").get("added_tokens") or ()
    there = {int(token["id"]): token["content"] for token in stored}
    for number, token in (added or {}).items():
        if there.get(int(number), token["content"]) != token["content"]:
            yield (
                f"token {number} is {token['content']!r} in tokenizer_config.json and "
                f"{there[int(number)]!r} in tokenizer.json"
            )
    if model.decode(model.encode(text)) != text:
        yield "the tokenizer cannot reproduce plain English and Python"
    yield from chance_doubts(model, nats_per_token)


def _own_code(config: Mapping[str, Any], wanted: str) -> str:
    """Name the code of a folder that would replace a library's class; empty if there is none."""
    named = config.get("auto_map")
    code = named.get(wanted) if isinstance(named, dict) else None
    codes = code if isinstance(code, list) else [code]
    return next((one for one in codes if isinstance(one, str)), "")


def chance_doubts(model: LanguageModel, nats_per_token: float) -> Iterator[str]:
    """Give a sentence for a mean loss on the trial text that is no better than a guess."""
    chance = math.log(model.vocabulary)
    if nats_per_token > chance - _ROUNDING:
        yield (
            f"it predicts English and Python no better than by chance ({nats_per_token:.2f} nats a "
            f"token; {chance:.2f} are chance): it is not trained, or has another model's tokenizer"
        )
