"""Language models on torch: the reference for the other engines, and the one for GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from services.corpus.bpb.models.hugging_face import HuggingFaceTokenizer
from services.corpus.bpb.windows import Window

# Larger batches leave a processor's caches, and smaller ones leave a GPU idle.
_BATCH_TOKENS = {"cpu": 1024, "cuda": 32_768}
# Positions whose logits become float32 at once: of all of a batch they would fill a GPU.
_ROWS = 2048


class TorchModel:
    """A LanguageModel that transformers runs, on the device and in the type of its module.

    Another number of threads, or another kind of processor, may move a sum in its last digits.
    """

    def __init__(self, tokenizer: HuggingFaceTokenizer, module: Any) -> None:
        self.prefix_token = tokenizer.prefix_token
        self.encode, self.decode = tokenizer.encode, tokenizer.decode
        self._model = module
        self._device = next(module.parameters()).device

    def batch_size(self, length: int) -> int:
        """Return how many windows fill the caches, or the GPU."""
        return max(1, _BATCH_TOKENS[self._device.type] // length)

    def log_likelihoods(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        """Return log p of every target, in nats. Shorter windows are filled up on the right."""
        longest = max(len(window.inputs) for window in windows)
        tokens = torch.zeros((len(windows), longest), dtype=torch.int64)
        # What follows a token doesn't change its likelihood, so no mask is needed.
        for row, window in zip(tokens, windows, strict=True):
            row[: len(window.inputs)] = torch.tensor(list(window.inputs))
        # Positions before this one only give context.
        first = min(len(window.inputs) - len(window.targets) for window in windows)
        with torch.inference_mode():
            logits = self._model(
                tokens.to(self._device), use_cache=False, logits_to_keep=longest - first
            ).logits
            rows = [self._row(row, first, w) for row, w in zip(logits, windows, strict=True)]
            return [row.cpu().numpy() for row in rows]

    def _row(self, logits: torch.Tensor, first: int, window: Window) -> torch.Tensor:
        end = len(window.inputs) - first
        scored = logits[end - len(window.targets) : end]
        targets = torch.tensor(list(window.targets), device=self._device).unsqueeze(1)
        parts = []
        for part, chosen in zip(
            torch.split(scored, _ROWS), torch.split(targets, _ROWS), strict=True
        ):
            values = part.float()
            parts.append(values.gather(1, chosen).squeeze(1) - values.logsumexp(1))
        return torch.cat(parts)
