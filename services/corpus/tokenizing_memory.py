"""Refuses texts that take more memory to tokenize than is left."""

from __future__ import annotations

from services.common import memory
from services.errors import TooLarge

TOKENS = 140
"""Bytes of memory for each byte of a text, at the peak of finding its tokens.

Measured on 10 MB: 128, 136 and 96 with the tokenizers of GPT-2, GPT-NeoX and a Llama of 512 tokens.
"""
PLACES = 170
"""The same, of finding where in the text each token begins too. Measured: 166."""

# Texts that take less are not checked: reading the limits takes longer than tokenizing them.
_ALWAYS_BYTES = 64 << 20


def require(size: int, each: int = TOKENS) -> None:
    """Raise TooLarge for `size` bytes of text that would end the process, with all that it serves.

    It reserves nothing: two large texts at the same time may both be let through.
    """
    needed = size * each
    left = memory.left() if needed > _ALWAYS_BYTES else None
    if left is not None and needed > left:
        raise TooLarge(
            f"tokenizing {size:,} bytes of text takes about {needed / 1e6:,.0f} MB, and "
            f"{max(left, 0) / 1e6:,.0f} MB of memory are left; give the process more, or leave "
            "texts of this size out (of a corpus: max_text_bytes, --max-text-bytes)"
        )
