"""Language models on torch: the reference for the other engines, and the one for GPUs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from services.corpus.bpb.models.tokenizers.hugging_face_tokenizer import HuggingFaceTokenizer
from services.corpus.bpb.scored_windows import Window
from services.errors import ModelUnusable

# Larger batches leave a processor's caches, and smaller ones leave a GPU idle.
_BATCH_TOKENS = {"cpu": 1024, "cuda": 32_768}
# Positions whose logits become float32 at once: of all of a batch they would fill a GPU.
_ROWS = 2048
# Logits that are held at once, in numbers: 256 MB in float32. The logits of a whole window of
# 131,072 tokens would take 67 GB with a vocabulary of 128,000.
_LOGITS = 1 << 26
# Tokens that every model reads, if it reads any.
_FEW = 4


class TorchModel:
    """A LanguageModel that transformers runs, on the device and in the type of its module.

    Another number of threads, or another kind of processor, may move a sum in its last digits.
    """

    def __init__(self, tokenizer: HuggingFaceTokenizer, module: Any) -> None:
        self.prefix_token = tokenizer.prefix_token
        self.encode, self.decode = tokenizer.encode, tokenizer.decode
        self.token_starts = tokenizer.token_starts
        self.vocabulary = known_tokens(module)
        self._model = module
        self._device = next(module.parameters()).device
        self._keeps = "logits_to_keep" in inspect.signature(module.forward).parameters

    def batch_size(self, length: int) -> int:
        """Return how many windows fill the caches, or the GPU."""
        return max(1, _BATCH_TOKENS[self._device.type] // length)

    def log_likelihoods(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        """Return log p of every target, in nats.

        Raises ModelUnusable when the model fails on windows of this length.
        """
        try:
            with torch.inference_mode():
                if len(windows[0].targets) * self.vocabulary > _LOGITS and self._in_parts:
                    return [self._part_by_part(window) for window in windows]
                return self._at_once(windows)
        except (RuntimeError, IndexError, ValueError) as error:
            problem = str(error).strip().partition("\n")[0]
            kind = type(self._model).__name__
            if self._reads(windows[0].inputs[:_FEW]):
                raise ModelUnusable(
                    f"{kind} fails on a window of {len(windows[0].inputs)} tokens ({problem}); "
                    "choose a shorter one (max_length)"
                ) from error
            if isinstance(error, torch.OutOfMemoryError) or "CUDA error" in str(error):
                raise ModelUnusable(f"{kind} cannot run on {self._device} ({problem})") from error
            raise ModelUnusable(
                f"{kind} fails on every window ({problem}): sizes in config.json do not fit each "
                "other, or this version of transformers cannot run the model; compare config.json "
                "with that of the weights' source"
            ) from error

    def _reads(self, tokens: Sequence[int]) -> bool:
        """Try whether a window works."""
        try:
            with torch.inference_mode():
                self._model(torch.tensor([list(tokens)], device=self._device), use_cache=False)
        except (RuntimeError, IndexError, ValueError):
            return False
        return True

    def _at_once(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        # What follows a token doesn't change its likelihood, so no mask is needed.
        tokens = torch.tensor([list(window.inputs) for window in windows], device=self._device)
        scored = max(len(window.targets) for window in windows)
        keep = {"logits_to_keep": scored} if self._keeps else {}
        logits = self._model(tokens, use_cache=False, **keep).logits
        return [
            self._rows(row[len(row) - len(window.targets) :], window.targets)
            for row, window in zip(logits, windows, strict=True)
        ]

    def _part_by_part(self, window: Window) -> npt.NDArray[np.float32]:
        """Give the hidden states of a window to the model's head a few at a time."""
        tokens = torch.tensor([list(window.inputs)], device=self._device)
        body = self._model.base_model(tokens, use_cache=False)
        hidden = body.last_hidden_state[:, len(window.inputs) - len(window.targets) :]
        rows = max(1, _LOGITS // self.vocabulary)
        parts = []
        with _given(self._model) as given:
            for start in range(0, len(window.targets), rows):
                given.output = type(body)(last_hidden_state=hidden[:, start : start + rows])
                logits = self._model(tokens[:, :1], use_cache=False).logits[0]
                parts.append(self._rows(logits, window.targets[start : start + rows]))
        return np.concatenate(parts)

    def _rows(self, logits: torch.Tensor, targets: Sequence[int]) -> npt.NDArray[np.float32]:
        chosen = torch.tensor(list(targets), device=self._device).unsqueeze(1)
        parts = []
        for part, rows in zip(torch.split(logits, _ROWS), torch.split(chosen, _ROWS), strict=True):
            values = part.float()
            parts.append(values.gather(1, rows).squeeze(1) - values.logsumexp(1))
        found: npt.NDArray[np.float32] = torch.cat(parts).cpu().numpy()
        return found

    @cached_property
    def _in_parts(self) -> bool:
        """Try whether hidden states can be given to the head, which then gives the same logits."""
        tokens = torch.tensor([[0, 1, 2]], device=self._device) % self.vocabulary
        try:
            with torch.inference_mode():
                whole = self._model(tokens, use_cache=False).logits
                body = self._model.base_model(tokens, use_cache=False)
                with _given(self._model) as given:
                    given.output = type(body)(last_hidden_state=body.last_hidden_state[:, 1:])
                    parts = self._model(tokens[:, :1], use_cache=False).logits
            return bool(torch.allclose(whole[:, 1:], parts, rtol=1e-3, atol=1e-4))
        except Exception:  # noqa: BLE001  whatever a model's class raises, it is run whole
            return False


def known_tokens(module: Any) -> int:
    """How many tokens a model can both read and predict."""
    read = module.get_input_embeddings().weight.shape[0]
    head = module.get_output_embeddings()
    return int(read if head is None else min(read, head.weight.shape[0]))


class _Given(nn.Module):
    """A substitute for a base model that returns its input."""

    output: Any = None

    def forward(self, *_: Any, **__: Any) -> Any:
        return self.output


@contextmanager
def _given(model: Any) -> Iterator[_Given]:
    """Replace a model's base model by a substitute, so that only its head computes."""
    name, given = model.base_model_prefix, _Given()
    base = getattr(model, name)
    setattr(model, name, given)
    try:
        yield given
    finally:
        setattr(model, name, base)
