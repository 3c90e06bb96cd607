"""Hugging Face causal language models on the CPU, in float32.

Code in the directory is never run and pickles are never loaded. The tokenizer is exactly what
`tokenizer.json` says: libraries that rebuild it from its class's defaults can lose characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from services.corpus.bpb.model_directory import HuggingFaceModel
from services.corpus.bpb.windows import Window
from services.errors import InvalidArgument

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_BATCH_TOKENS = 1024
_LARGE = 30_000_000  # parameters


class TorchModel:
    """A LanguageModel that transformers runs.

    A small model runs on one thread, which is as fast for it and leaves the other processors to
    other calls; a large one on as many as torch is set to (OMP_NUM_THREADS). Another number of
    threads, or another kind of processor, may move a sum in its last digits.
    """

    def __init__(self, name: str, model: HuggingFaceModel) -> None:
        """Load tokenizer and weights.

        Raises InvalidArgument when they do not go together or transformers can't load them.
        """
        self._setting = f"language_models[{name!r}]"
        self._tokenizer = self._load_tokenizer(model)
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            loaded = AutoModelForCausalLM.from_pretrained(
                model.directory,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            problem = f"transformers cannot load it: {str(error).strip().splitlines()[0]}"
            raise InvalidArgument(self._setting, problem) from error
        self._model: Any = loaded.eval()  # type: ignore[no-untyped-call]
        if model.parameters < _LARGE:
            torch.set_num_threads(1)
        embedded = int(self._model.get_input_embeddings().num_embeddings)
        tokens = self._tokenizer.get_vocab_size()
        if tokens > embedded:
            raise InvalidArgument(
                self._setting,
                f"the tokenizer has {tokens} tokens and the model {embedded}; they do not belong "
                "together",
            )

    def _load_tokenizer(self, model: HuggingFaceModel) -> Tokenizer:
        try:
            tokenizer = Tokenizer.from_file(str(model.directory / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more specific
            problem = f"tokenizer.json cannot be read: {error}"
            raise InvalidArgument(self._setting, problem) from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        prefix = tokenizer.token_to_id(model.prefix)
        if prefix is None:
            raise InvalidArgument(
                self._setting, f"tokenizer.json does not have the special token {model.prefix!r}"
            )
        self._prefix_token = int(prefix)
        return tokenizer

    @property
    def prefix_token(self) -> int:
        """Id of the beginning-of-sequence token, or of the end-of-sequence one without it."""
        return self._prefix_token

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

    def batch_size(self, length: int) -> int:
        """Windows that together hold about 1,024 tokens: larger batches leave the caches."""
        return max(1, _BATCH_TOKENS // length)

    def log_likelihoods(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        """Return log p of every target, in nats."""
        tokens = torch.tensor([list(window.inputs) for window in windows])
        with torch.inference_mode():
            logits = self._model(tokens, use_cache=False).logits.float()
            results = []
            for row, window in zip(logits, windows, strict=True):
                scored = row[-len(window.targets) :]
                chosen = scored.gather(1, torch.tensor(list(window.targets)).unsqueeze(1))
                values = chosen.squeeze(1) - scored.logsumexp(1)
                results.append(values.numpy())
        return results
