"""Steps a Hugging Face model with its own cache of keys and values, on torch, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


class TorchStepper:
    """A Stepper around a transformers causal language model."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._cache: Any = None
        self._rows = 0

    def begin(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Read tokens [rows, length]; return logits [rows, vocabulary] after the last."""
        self._cache = None
        return self._read(tokens)

    def step(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Read one token of each row."""
        return self._read(tokens[:, None])

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows."""
        self._cache.batch_select_indices(torch.tensor(list(rows)))

    def _read(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            output = self._module(
                input_ids=torch.from_numpy(tokens),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
            self._cache = output.past_key_values
            logits: npt.NDArray[np.float32] = output.logits[:, -1].float().numpy()
        return logits
