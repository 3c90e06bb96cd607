"""Text from others made safe for a terminal: it cannot move the cursor or hide anything."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook
from rich.segment import Segment

from services.common.safe_text import UNSAFE, shown


def escaped(json_text: str) -> str:
    """JSON text in which each unsafe character of a string is escaped: the same document."""
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)


# A number with its sign and unit, or a dash alone.
_SIGNED = re.compile(r"[+-][\d.,]+( ?[%\w/]+)*|-")


def no_formula(text: str) -> str:
    """Return a CSV cell, with an apostrophe first if a spreadsheet would compute it."""
    formula = text.startswith(("=", "+", "-", "@", "\t", "\r")) and not _SIGNED.fullmatch(text)
    return f"'{text}" if formula else text


class SafeText(RenderHook):
    """Cleans everything that a rich console prints; the console's own styles stay."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Clean the renderables, as rich's base class defines."""
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
