"""Documents on their way into and out of their codes."""

from __future__ import annotations

from collections.abc import Sequence

from services.corpus.proof.frequencies import Distribution
from services.corpus.proof.range_coder import Decoder, Encoder


class EncodedRow:
    """A document whose tokens are known; collects its code and its nats, token by token."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = tokens
        self.nats: list[float] = []
        self._encoder = Encoder()

    @property
    def length(self) -> int:
        """How many tokens it has."""
        return len(self.tokens)

    def code(self, distribution: Distribution, row: int) -> None:
        """Code the next token."""
        token = self.tokens[len(self.nats)]
        self._encoder.encode(distribution.slice_of(row, token))
        self.nats.append(distribution.nats(row, token))

    def finish(self) -> tuple[bytes, int]:
        """Return the code and its length in bits."""
        return self._encoder.finish()


class DecodedRow:
    """A document of `length` tokens that come out of its code."""

    def __init__(self, code: bytes, length: int) -> None:
        self.length = length
        self.tokens: list[int] = []
        self.nats: list[float] = []
        self._decoder = Decoder(code)

    def code(self, distribution: Distribution, row: int) -> None:
        """Take the next token out of the code."""
        place = self._decoder.place(distribution.total(row))
        token, interval = distribution.find(row, place)
        self._decoder.consume(interval)
        self.tokens.append(token)
        self.nats.append(distribution.nats(row, token))
