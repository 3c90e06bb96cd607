"""What scoring needs of a language model, whatever runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.common.license import License
from services.corpus.bpb.scored_windows import Window


@dataclass(frozen=True)
class ModelInfo:
    """What a model is, known without loading it.

    `digest` is "sha256:<hex>" over `files`, the digests of the model's files by name (config,
    tokenizer, every file of weights: all that its figures depend on), `max_length` its
    longest window in tokens, `parameters` their count, `reference` true for a small stand-in that
    this project trained, `engine` what runs it. Tokens have ids below `vocabulary`; `bos_token` and
    `eos_token` are those of the beginning and the end of a sequence, None if there is none.
    """

    name: str
    version: str
    digest: str
    architecture: str
    max_length: int
    parameters: int
    license: License
    reference: bool
    engine: str
    vocabulary: int
    bos_token: int | None
    eos_token: int | None
    files: Mapping[str, str] = field(default_factory=dict)
    max_length_assumed: bool = False
    """Whether no file states `max_length`, which is then what lm-evaluation-harness takes."""


class LanguageModel(Protocol):
    """A loaded causal language model. Used by one thread at a time."""

    @property
    def prefix_token(self) -> int | None:
        """Id of the token that stands before a document: BOS where there is one, else EOS."""
        ...

    @property
    def vocabulary(self) -> int:
        """How many tokens the model knows: the ids below this. Its tokenizer may know more."""
        ...

    def encode(self, text: str, *, special_tokens: bool = False) -> list[int]:
        """Tokenize a text, which may hold lone surrogates.

        `special_tokens` adds those that the tokenizer puts around a text by itself.
        """
        ...

    def token_starts(self, text: str, *, special_tokens: bool = False) -> Sequence[int]:
        """Return the first byte of each token that `encode` makes of a text, not falling.

        Tokens of one character all start at it; a special token belongs to what is before it.
        """
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens that `encode` made without special tokens."""
        ...

    def batch_size(self, length: int) -> int:
        """Return how many windows of `length` input tokens are best scored at once, at least 1."""
        ...

    def log_likelihoods(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        """Return log p of every target of every window, in nats.

        The windows' inputs are of one length: nothing is padded.
        """
        ...
