"""Findings of an examination; a failed examination is a finding too."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from services.cli.extras import missing_library
from services.errors import AssayError


class Level(enum.StrEnum):
    """How much a finding matters."""

    FINE = "fine"
    OFF = "off"
    """Not set up, and nothing needs it."""
    WARNING = "warning"
    WRONG = "wrong"
    """A command will fail for it."""


@dataclass(frozen=True)
class Finding:
    """A finding about a subject, and the remedy if something is wrong."""

    subject: str
    level: Level
    found: str
    remedy: str = ""


Examination = Callable[[], Iterable[Finding]]


def findings(subject: str, examination: Examination) -> Iterator[Finding]:
    """All findings of the examination; an error in it becomes a finding too."""
    try:
        yield from examination()
    except ModuleNotFoundError as error:
        yield Finding(subject, Level.WARNING, missing_library(error.name or "", subject))
    except (AssayError, OSError, ValueError) as error:
        yield Finding(subject, Level.WRONG, str(error))
