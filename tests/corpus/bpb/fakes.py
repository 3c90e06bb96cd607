"""A language model for tests, made by hand: every likelihood is known."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.common.license import License
from services.corpus.bpb.definition import Definition, Preset
from services.corpus.bpb.models.language_model import ModelInfo
from services.corpus.bpb.scored_windows import Window
from services.corpus.shards.documents import Document

PREFIX = 1000


class UniformModel:
    """Tokens are characters' code points (1000 and above are lost); each has probability 1/8.

    `poison` is a token whose likelihood is NaN. Scoring waits for `gate` when there is one, and
    says through `reached` that it does.
    """

    def __init__(self, *, poison: int = -1, gate: threading.Event | None = None) -> None:
        self.poison = poison
        self.gate = gate
        self.reached = threading.Event()
        self.batches: list[list[Window]] = []

    @property
    def prefix_token(self) -> int:
        return PREFIX

    @property
    def vocabulary(self) -> int:
        return PREFIX + 1

    def encode(self, text: str, *, special_tokens: bool = False) -> list[int]:
        return [PREFIX] * special_tokens + [min(ord(c), PREFIX) for c in text]

    def token_starts(self, text: str, *, special_tokens: bool = False) -> list[int]:
        sizes = [len(c.encode("utf-8", "surrogatepass")) for c in text]
        starts = list(itertools.accumulate(sizes, initial=0))[: len(text)]
        return [0] * special_tokens + starts

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))

    def batch_size(self, length: int) -> int:
        return 3

    def log_likelihoods(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        self.batches.append(list(windows))
        self.reached.set()
        if self.gate is not None:
            assert self.gate.wait(30)
        rows = []
        for window in windows:
            row = np.full(len(window.targets), -math.log(8), np.float32)
            row[np.array(window.targets) == self.poison] = np.nan
            rows.append(row)
        return rows


def document(text: str | bytes, subset: str = "a", name: str = "d") -> Document:
    """A document with this text."""
    data = text.encode() if isinstance(text, str) else text
    return Document(f"test.jsonl.zst:{name}", subset, data, b"", "test.jsonl.zst", 0)


def info(max_length: int, prefix_token: int | None = PREFIX) -> ModelInfo:
    """What a made-up model is."""
    return ModelInfo(
        name="m",
        version="1",
        digest="sha256:00",
        architecture="gpt2",
        max_length=max_length,
        parameters=1,
        license=License("MIT", "MIT License"),
        reference=False,
        engine="none",
        vocabulary=2000,
        bos_token=prefix_token,
        eos_token=None,
    )


def resolved(
    max_length: int,
    prefix_token: int | None = PREFIX,
    *,
    special_tokens: bool = False,
    preset: Preset = Preset.LM_EVAL,
) -> Definition:
    """A definition spelled out for a model whose beginning of sequence is `prefix_token`."""
    return Definition(special_tokens=special_tokens, preset=preset).resolve(
        info(max_length, prefix_token)
    )
