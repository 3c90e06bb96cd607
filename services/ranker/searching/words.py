"""The words of an intent, and those that say nothing about what is wanted."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")

STOP_WORDS = frozenset(
    """
    a about after all also am an and any anything are as at be because been before being best but
    by can could did do does doing done each else every find for from get give given gives had has
    have having he her here him his how i if in into is it its itself just like made make makes
    making many me more most much my need needed needs no nor not nothing of on once one only or
    other our out over own please same she should so some something such take than that the their
    them then there these they thing things this those through to too under until up us use used
    uses using very want wanted wants was way we well were what when where whether which while who
    whom whose why will with without work works would you your
    """.split()  # noqa: SIM905  (a list of words reads better as words)
)
"""Function words, and words of asking ("find", "need") that say nothing of what is asked for."""


def words(text: str) -> list[str]:
    """The words of a text in lower case without accents, as FTS5's unicode61 cuts it."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(char for char in plain if not unicodedata.combining(char)))
