"""Where a document repeats a test text."""

from __future__ import annotations

from dataclasses import dataclass

N = 13
"""Words of an n-gram in the Pile and in lm-evaluation-harness."""
MOST_WORDS = 1_000
"""The largest n."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A run of words of a document that a test text has too, as long as it goes on.

    `test` is the id of the text. Places are bytes of the document's and of the text's UTF-8, from
    the first character that is compared to one past the last; `words` is the run's length.
    """

    test: str
    start: int
    end: int
    test_start: int
    test_end: int
    words: int
