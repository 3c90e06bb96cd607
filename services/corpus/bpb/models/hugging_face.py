"""A Hugging Face directory's tokenizer and torch module.

Code in the directory is never run and pickles are never loaded. The tokenizer is exactly what
`tokenizer.json` says: libraries that rebuild it from its class's defaults can lose characters.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from services.corpus.bpb.models.model_directory import HuggingFaceModel
from services.errors import InvalidArgument

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class HuggingFaceTokenizer:
    """Text to tokens and back."""

    def __init__(self, name: str, model: HuggingFaceModel) -> None:
        """Read tokenizer.json. Raises InvalidArgument when it can't be, or lacks the prefix."""
        setting = f"language_models[{name!r}]"
        try:
            self._tokenizer = Tokenizer.from_file(str(model.directory / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more specific
            problem = f"tokenizer.json cannot be read: {error}"
            raise InvalidArgument(setting, problem) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        prefix = self._tokenizer.token_to_id(model.prefix)
        if prefix is None:
            problem = f"tokenizer.json does not have the special token {model.prefix!r}"
            raise InvalidArgument(setting, problem)
        self.prefix_token = int(prefix)
        self.size = int(self._tokenizer.get_vocab_size())

    def encode(self, text: str, *, special_tokens: bool = False) -> list[int]:
        """Tokenize a text.

        Tokenizers read Unicode, which has no lone surrogates: each is read as U+FFFD, and as the
        tokens then don't decode to the text, such a document counts as one that does not
        round-trip.
        """
        readable = _LONE_SURROGATE.sub("\ufffd", text)
        tokens: list[int] = self._tokenizer.encode(readable, add_special_tokens=special_tokens).ids
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=False)
        return text


def load_module(
    name: str, model: HuggingFaceModel, tokenizer: HuggingFaceTokenizer, dtype: torch.dtype
) -> Any:
    """Load the weights as a torch module on the CPU, ready to be evaluated.

    Raises InvalidArgument when transformers can't load them, or they are another tokenizer's.
    """
    setting = f"language_models[{name!r}]"
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model.directory,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        problem = f"transformers cannot load it: {str(error).strip().splitlines()[0]}"
        raise InvalidArgument(setting, problem) from error
    if "logits_to_keep" not in inspect.signature(loaded.forward).parameters:
        problem = f"{type(loaded).__name__} is not a kind of causal language model that is scored"
        raise InvalidArgument(setting, problem)
    embedded = int(loaded.get_input_embeddings().num_embeddings)
    if tokenizer.size > embedded:
        raise InvalidArgument(
            setting,
            f"the tokenizer has {tokenizer.size} tokens and the model {embedded}; they do not "
            "belong together",
        )
    return loaded.eval()
