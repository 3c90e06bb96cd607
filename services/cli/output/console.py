"""What the commands print with: results to stdout, everything else to stderr."""

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


# Highlighting off: numbers are coloured where colour means something, nowhere else.
class _Console(Console):
    """A console whose reader may leave: `main` ends the command then, as for any other output."""

    def on_broken_pipe(self) -> None:
        """Let the error through; rich would end the process with status 1."""
        raise BrokenPipeError


# Piped or logged, tables get room for sentences.
_PIPED_WIDTH = 120
OUT = _Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
ERR = _Console(stderr=True, highlight=False)
_SILENT = _Console(stderr=True, quiet=True)
for _console in (OUT, ERR):
    # Manifests, documents and servers' messages are written by others.
    _console.push_render_hook(SafeText())


class Format(enum.StrEnum):
    """How tables are printed; without a choice as fits where they go."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MD = "md"


_format: Format | None = None
_quiet = False


@contextlib.contextmanager
def printing(quiet: bool = False, chosen: Format | None = None) -> Iterator[None]:
    """Within it, `quiet` leaves out notes and progress, and tables are printed as `chosen`.

    Warnings and errors are still printed. With CSV nothing but tables goes to stdout.
    """
    global _quiet, _format
    before = _quiet, _format, OUT.quiet
    _quiet, _format, OUT.quiet = quiet, chosen, chosen is Format.CSV
    try:
        yield
    finally:
        _quiet, _format, OUT.quiet = before


def chosen_format() -> Format | None:
    """What `--format` says."""
    return _format


def progress_console() -> Console:
    """Where progress is drawn: stderr, or nowhere with `--quiet`."""
    return _SILENT if _quiet else ERR


def print_json(value: Any) -> None:
    """Prints one JSON document to stdout."""
    sys.stdout.write(escaped(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def warn(message: str) -> None:
    """Tells the user what makes the result another one than was meant."""
    ERR.print(message, style="yellow", markup=False, soft_wrap=True)


def note_written(path: Path | str) -> None:
    """Tells where a result was written, beside those that are printed."""
    note(f"written to {path}")


def note(message: str) -> None:
    """Tells the user something that is no part of the result, unless `--quiet`."""
    if not _quiet:
        ERR.print(message, style="dim", markup=False, soft_wrap=True)
