"""Consoles of the commands: results to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import enum
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from services.cli.output.safe_text import SafeText, escaped


# Highlighting off: numbers are coloured only if the colour has a meaning.
class _Console(Console):
    """A console whose reader may leave: `main` then ends the command, as for any other output."""

    def on_broken_pipe(self) -> None:
        """Pass the error on; rich would end the process with status 1."""
        raise BrokenPipeError


# In a pipe or a log, tables have room for sentences.
_PIPED_WIDTH = 120
OUT = _Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
ERR = _Console(stderr=True, highlight=False)
_SILENT = _Console(stderr=True, quiet=True)
for _console in (OUT, ERR):
    # Others write manifests, documents and servers' messages.
    _console.push_render_hook(SafeText())


class Format(enum.StrEnum):
    """How tables are printed; the default depends on where they go."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MD = "md"


_format: Format | None = None
_quiet = False


@contextlib.contextmanager
def printing(quiet: bool = False, chosen: Format | None = None) -> Iterator[None]:
    """Within the block, `quiet` hides notes and progress, and tables are printed as `chosen`.

    Warnings and errors are still printed. With CSV only tables go to stdout.
    """
    global _quiet, _format
    before = _quiet, _format, OUT.quiet
    _quiet, _format, OUT.quiet = quiet, chosen, chosen is Format.CSV
    try:
        yield
    finally:
        _quiet, _format, OUT.quiet = before


def chosen_format() -> Format | None:
    """The value of `--format`."""
    return _format


def progress_console() -> Console:
    """The console for progress: stderr, or nowhere with `--quiet`."""
    return _SILENT if _quiet else ERR


def print_json(value: Any) -> None:
    """Prints one JSON document to stdout."""
    sys.stdout.write(escaped(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def warn(message: str) -> None:
    """Tells the user why the result differs from what was intended."""
    ERR.print(message, style="yellow", markup=False, soft_wrap=True)


def note_written(path: Path | str) -> None:
    """Tells the user where a result was written, in addition to printed results."""
    note(f"written to {path}")


def note(message: str) -> None:
    """Tells the user something that is not part of the result, unless `--quiet`."""
    if not _quiet:
        ERR.print(message, style="dim", markup=False, soft_wrap=True)
