"""Text from others made safe to show: no control characters, none that change its direction."""

from __future__ import annotations

import re
from typing import Final

UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""C0 except tab and newline, DEL, C1, characters that turn or hide the direction of text, and
surrogates, which represent bytes that are not UTF-8, as in names of files."""


def shown(text: str) -> str:
    """The text with each unsafe character replaced by "�"."""
    return UNSAFE.sub("\ufffd", text)
