"""MinHash signatures of texts, of the runs of their words, by rensa.

Two signatures agree in about the share of hashes that is the Jaccard similarity of the texts' sets
of runs. The same text has the same signature on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.corpus.contamination.ngrams import power_of, roll
from services.corpus.contamination.words import Words
from services.errors import Unsupported

Signatures = NDArray[np.uint32]
"""Of n documents: (n, hashes)."""

SEED = 42
_BATCH = 1 << 20
_NONE = np.iinfo(np.uint32).max


class Signer:
    """Signs texts, which are taken one after the other: memory is 4 bytes a hash and text."""

    def __init__(self, hashes: int, run_words: int) -> None:
        """Sign runs of `run_words` words. Raises Unsupported where rensa is missing."""
        self._rensa = _rensa()
        self._hashes, self._run_words = hashes, run_words
        self._power = power_of(run_words)
        self._waiting: list[NDArray[np.uint64]] = []
        self._size = 0
        self._signed: list[Signatures] = []

    def add(self, words: Words) -> None:
        """Take a text. One of fewer words than a run has is its words."""
        runs = roll(words.hashes, self._run_words, self._power)
        self._waiting.append(runs if runs.size else words.hashes)
        self._size += self._waiting[-1].size
        if self._size > _BATCH:
            self._sign()

    def signatures(self) -> Signatures:
        """Return the signatures of all texts; those without a word have none (`has_words`)."""
        self._sign()
        return np.concatenate([np.empty((0, self._hashes), np.uint32), *self._signed])

    def _sign(self) -> None:
        if not self._waiting:
            return
        sizes = np.array([one.size for one in self._waiting])
        offsets = np.cumsum([0, *sizes], dtype=np.uint64)
        matrix = self._rensa.digest_matrix_from_flat_token_hashes(
            np.concatenate(self._waiting), offsets, self._hashes, SEED
        )
        rows = np.array(matrix.to_rows(), np.uint32)
        rows[sizes == 0] = _NONE
        self._signed.append(rows)
        self._waiting, self._size = [], 0


def has_words(signatures: Signatures) -> NDArray[np.bool_]:
    """Say of each signature whether it is of a text with words: (n,)."""
    found: NDArray[np.bool_] = (signatures != _NONE).any(axis=1)
    return found


def algorithm() -> str:
    """Name the algorithm, which signatures depend on. Raises Unsupported as `Signer`."""
    return f"rensa R-MinHash {_rensa().ALGORITHM_VERSION}"


def _rensa() -> Any:
    try:
        from rensa import RMinHash  # noqa: PLC0415  an extra
    except ImportError as error:
        raise Unsupported(
            "near duplicates are found with rensa, which is not installed: pip install "
            "'assay-services[build]', or 'assay-services[corpus-audit]' for audits alone"
        ) from error
    return RMinHash
