"""A Hugging Face directory's tokenizer and torch module.

Code in the directory is never run and pickles are never loaded. The tokenizer is exactly what
`tokenizer.json` says: libraries that rebuild it from its class's defaults can lose characters.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from services.corpus.bpb.models.model_directory import HuggingFaceModel
from services.corpus.bpb.models.quantisation import cannot_read, quantisation
from services.corpus.bpb.models.tensors import require_all, require_finite, require_tied
from services.corpus.bpb.models.weight_files import weight_files
from services.errors import ModelUnusable

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class HuggingFaceTokenizer:
    """Text to tokens and back."""

    def __init__(self, name: str, model: HuggingFaceModel) -> None:
        """Read tokenizer.json. Raises ModelUnusable when it can't be."""
        try:
            self._tokenizer = Tokenizer.from_file(str(model.directory / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more specific
            raise ModelUnusable(f"{name}: tokenizer.json cannot be read: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.prefix_token = model.prefix_token

    def encode(self, text: str, *, special_tokens: bool = False) -> list[int]:
        """Tokenize a text.

        Tokenizers read Unicode, which has no lone surrogates: each is read as U+FFFD, and as the
        tokens then don't decode to the text, such a document counts as one that does not
        round-trip.
        """
        readable = _LONE_SURROGATE.sub("\ufffd", text)
        tokens: list[int] = self._tokenizer.encode(readable, add_special_tokens=special_tokens).ids
        return tokens

    def token_starts(self, text: str, *, special_tokens: bool = False) -> list[int]:
        """Return the first byte of each token that `encode` makes of a text, not falling."""
        readable = _LONE_SURROGATE.sub("\ufffd", text)
        sizes = (len(character.encode()) for character in readable)
        places = list(itertools.accumulate(sizes, initial=0))
        starts, start, end = [], 0, 0
        encoding = self._tokenizer.encode(readable, add_special_tokens=special_tokens)
        for first, after in encoding.offsets:
            # What a tokenizer cuts off a token's front, as GPT-2's spaces, belongs to it too.
            start = max(start, min(first, end))
            end = max(end, after)
            starts.append(places[start])
        return starts

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=False)
        return text


def load_module(
    name: str, model: HuggingFaceModel, dtype: torch.dtype
) -> tuple[Any, tuple[str, ...]]:
    """Load the weights as a torch module on the CPU, ready to be evaluated.

    Return it with reasons to doubt its figures.

    Raises ModelUnusable when transformers can't load them, they are not all of a causal language
    model's, any is not a finite number, or a tied head is stored that is not the embedding.
    """
    config = json.loads((model.directory / "config.json").read_text(encoding="utf-8"))
    method = quantisation(config)
    try:
        with _quietly():
            read: Any = AutoModelForCausalLM.from_pretrained(
                model.directory,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # they are named below
                output_loading_info=True,
            )
    except Exception as error:  # the library raises nothing more specific
        problem = f"transformers cannot load it: {str(error).strip().partition(chr(10))[0]}"
        if method:
            problem = cannot_read(method, error)
        elif config.get("auto_map") and "code" in problem:
            problem = "it needs code of its own (auto_map in config.json), which is never run"
        raise ModelUnusable(f"{name}: {problem}") from error
    loaded, info = read
    doubts = require_all(name, loaded, info)
    require_finite(name, loaded)
    require_tied(name, loaded, weight_files(model.directory))
    return loaded.eval(), doubts


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep transformers from reporting to the log what is checked, and what is raised."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
