"""The reference byte model, one byte at a time, in numpy.

The same computation as `services.corpus.bpb.reference.model`, with what it keeps of the past: keys
and values of the block that a row is in and the one before, the last two inputs of each short
convolution, and for the suffix matches how many tokens up to each earlier place equal the last
ones. A step costs as much as its own position instead of the whole window.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.corpus.proof.engines.byte_weights import BlockWeights, ByteWeights

Array = npt.NDArray[np.float32]

_BYTES = 256
_SIZE = 32  # of a head
# How many equal tokens make a match one level longer.
_LENGTHS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32)
_SHARPNESS = (1.0, 2.5)
_FLOOR = np.float32(1e-3)
_EPSILON = np.float32(1e-6)
_LEVELS = np.array([sum(n >= length for length in _LENGTHS) for n in range(33)], np.int64)


class ByteStepper:
    """A Stepper of the reference byte model."""

    def __init__(self, weights: ByteWeights, max_length: int) -> None:
        self._weights = weights
        self._block = len(weights.cos) // 2
        self._limit = max_length
        exponents = np.outer(np.array(_SHARPNESS), np.arange(len(_LENGTHS) + 1))
        self._match_weights = np.exp(exponents)
        self._at = 0

    def begin(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Read tokens [rows, length] one after the other."""
        rows = len(tokens)
        width = self._weights.embed.shape[1]
        self._at = 0
        self._tokens = np.zeros((rows, self._limit), np.int16)
        self._matches = np.zeros((rows, self._limit), np.uint8)
        self._layers = [
            _Layer(block, rows, width, self._block, self._weights) for block in self._weights.blocks
        ]
        for column in tokens.T:
            logits = self.step(column)
        return logits

    def step(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Read one token of each row."""
        weights = self._weights
        share, level = self._suffix_shares(tokens)
        predictions = np.log(share + _FLOOR)  # [rows, 2, 256]
        x: Array = weights.embed[tokens] + weights.embed_level[level]
        known: Array = (share + _FLOOR).reshape(len(x), -1)
        x = _norm(x + known @ weights.embed_predictions)
        for layer in self._layers:
            x = layer.step(x, self._at)
        x = _norm(x)
        gates = x @ weights.gate + weights.gate_bias
        self._at += 1
        head: Array = x @ weights.head + weights.head_bias
        logits: Array = head + gates[:, :1] * predictions[:, 0] + gates[:, 1:] * predictions[:, 1]
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows."""
        chosen = list(rows)
        self._tokens, self._matches = self._tokens[chosen], self._matches[chosen]
        for layer in self._layers:
            layer.keep(chosen)

    def _suffix_shares(self, tokens: npt.NDArray[np.int64]) -> tuple[Array, npt.NDArray[np.int64]]:
        """Which byte followed earlier occurrences of the last ones: [rows, 2, 256], [rows]."""
        at, rows = self._at, len(tokens)
        self._tokens[:, at] = tokens
        # How many tokens up to each earlier place equal those up to this one.
        lengths = np.zeros((rows, at), np.uint8)
        lengths[:, 1:] = self._matches[:, : max(at - 1, 0)]
        lengths += 1
        lengths *= self._tokens[:, :at] == self._tokens[:, at : at + 1]
        np.minimum(lengths, _LENGTHS[-1], out=lengths)
        self._matches[:, :at] = lengths
        row, place = np.nonzero(lengths)
        levels = _LEVELS[lengths[row, place]]
        cells = row * _BYTES + self._tokens[row, place + 1]
        shares = []
        for weight in self._match_weights:
            found = np.bincount(cells, weight[levels], rows * _BYTES).reshape(rows, _BYTES)
            shares.append(found / (found.sum(axis=1, keepdims=True) + 1))
        longest = _LEVELS[lengths.max(axis=1)] if at else np.zeros(rows, np.int64)
        return np.stack(shares, axis=1).astype(np.float32), longest


class _Layer:
    """One block of the model and what it keeps of the past."""

    def __init__(
        self, weights: BlockWeights, rows: int, width: int, block: int, whole: ByteWeights
    ) -> None:
        self._weights = weights
        self._block = block
        self._heads = width // _SIZE
        self._cos, self._sin = whole.cos, whole.sin
        shape = (rows, self._heads, 2 * block, _SIZE)
        self._keys = np.zeros(shape, np.float32)  # turned by their place
        self._values = np.zeros(shape, np.float32)
        self._plain = np.zeros((rows, self._heads, block, _SIZE), np.float32)
        self._before = np.zeros((2, rows, width), np.float32)

    def keep(self, rows: list[int]) -> None:
        self._keys, self._values = self._keys[rows], self._values[rows]
        self._plain, self._before = self._plain[rows], self._before[:, rows]

    def step(self, x: Array, at: int) -> Array:
        x = x + self._attend(self._mix(_norm(x)), at) @ self._weights.project
        inner: Array = _norm(x) @ self._weights.expand
        np.maximum(inner, 0, out=inner)
        np.square(inner, out=inner)
        result: Array = x + inner @ self._weights.contract
        return result

    def _mix(self, x: Array) -> Array:
        two_before, one_before, now = self._weights.mix
        mixed: Array = x * now + (self._before[0] * two_before + self._before[1] * one_before)
        self._before = np.stack([self._before[1], x])
        return mixed

    def _attend(self, h: Array, at: int) -> Array:
        block, offset = self._block, at % self._block
        if offset == 0 and at:
            # The block becomes the one before: its keys are turned as from there.
            self._keys[:, :, :block] = self._turn(self._plain, slice(0, block))
            self._values[:, :, :block] = self._values[:, :, block:]
        rows = len(h)
        split = (h @ self._weights.query_key_value).reshape(rows, 3, self._heads, 1, _SIZE)
        here = slice(block + offset, block + offset + 1)
        query = self._turn(_norm(split[:, 0]), here)
        key = _norm(split[:, 1])
        self._plain[:, :, offset : offset + 1] = key
        self._keys[:, :, here] = self._turn(key, here)
        self._values[:, :, here] = split[:, 2]
        seen = slice(0 if at >= block else block, here.stop)
        scores: Array = query @ self._keys[:, :, seen].transpose(0, 1, 3, 2)
        np.multiply(scores, np.float32(_SIZE**-0.5), out=scores)
        np.subtract(scores, scores.max(axis=-1, keepdims=True), out=scores)
        np.exp(scores, out=scores)
        np.divide(scores, scores.sum(axis=-1, keepdims=True), out=scores)
        merged: Array = (scores @ self._values[:, :, seen]).reshape(rows, -1)
        return merged

    def _turn(self, x: Array, places: slice) -> Array:
        """Rotate [..., places, size] by their place in two blocks."""
        half = _SIZE // 2
        a, b = x[..., :half], x[..., half:]
        cos, sin = self._cos[places], self._sin[places]
        return np.concatenate((a * cos - b * sin, a * sin + b * cos), axis=-1)


def _norm(x: Array) -> Array:
    scale = np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + _EPSILON)
    result: Array = x / scale
    return result
