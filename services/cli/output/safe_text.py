"""Text of others made safe for a terminal: it can neither move the cursor nor hide anything."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook
from rich.segment import Segment

# C0 but tab and newline, DEL, C1, and the characters that turn or hide the direction of text.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def shown(text: str) -> str:
    """The text with each unsafe character as a "�"."""
    return _UNSAFE.sub("\ufffd", text)


def escaped(json_text: str) -> str:
    """JSON text in which each unsafe character of a string is an escape: the same document."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)


class SafeText(RenderHook):
    """Cleans whatever a rich console prints; the console's own styles stay."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """As rich's base class says."""
        return [_Cleaned(one) for one in renderables]


class _Cleaned:
    """A renderable whose text is clean."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        for segment in console.render(self._inner, options):
            if segment.control:
                yield segment
            else:
                yield Segment(shown(segment.text), segment.style)
