"""Text as bytes, for byte-level models."""

from __future__ import annotations

from collections.abc import Sequence


class ByteTokenizer:
    """Tokens are the bytes of the text's WTF-8. Every text round-trips."""

    def __init__(self, prefix_token: int) -> None:
        """Take the id of the token that stands before a document."""
        self._prefix_token = prefix_token

    @property
    def prefix_token(self) -> int:
        """Id of the token that stands before a document."""
        return self._prefix_token

    @property
    def vocabulary(self) -> int:
        """Bytes, and the token that stands before them."""
        return max(256, self._prefix_token + 1)

    def encode(self, text: str, *, special_tokens: bool = False) -> list[int]:  # noqa: ARG002
        """Return the bytes of the text; a lone surrogate gives its three (WTF-8)."""
        return list(text.encode("utf-8", "surrogatepass"))

    def token_starts(self, text: str, *, special_tokens: bool = False) -> range:  # noqa: ARG002
        """Return the first byte of each token."""
        return range(len(text.encode("utf-8", "surrogatepass")))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of bytes that `encode` made."""
        return bytes(tokens).decode("utf-8", "surrogatepass")
