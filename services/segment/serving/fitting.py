"""Fits batches into the device's memory: a batch that does not fit is computed in halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import structlog

from services.errors import AssayError, Overloaded
from services.segment.engines.engine import Engine, Floats, OnDevice, Output

# Messages of allocators: ONNX Runtime's arena, CUDA, cuDNN and the processor's.
_WORDS = ("out of memory", "failed to allocate memory", "alloc_failed", "bad_alloc")
_RETRY_SECONDS = 1.0
_log = structlog.get_logger(__name__)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an engine's error means that memory ran out; such errors share no class."""
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in _WORDS)


class FittingBatches:
    """Runs one engine's batches in parts that fit. Used only in the engine's thread."""

    def __init__(self, name: str, engine: Engine) -> None:
        self._name = name
        self._engine = engine
        self._most: int | None = None

    def run(self, batch: Sequence[Floats | OnDevice]) -> list[Output]:
        """Compute a batch in parts that fit; this engine may have prepared some of its pictures.

        Raises Overloaded for a picture that does not fit even alone, and what the engine raises.
        """
        outputs: list[Output] = []
        while len(outputs) < len(batch):
            part = batch[len(outputs) : len(outputs) + (self._most or len(batch))]
            try:
                # Inputs on a device are there because this engine put them there.
                outputs += self._engine.run(cast("list[Floats]", part))
            except AssayError:
                raise
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise Overloaded(
                        "the device has no memory for this picture now", _RETRY_SECONDS
                    ) from error
                self._most = len(part) // 2
                _log.warning(
                    "out of memory: smaller batches from now on",
                    model=self._name,
                    pictures=len(part),
                    most=self._most,
                    error=str(error)[:300],
                )
        return outputs
