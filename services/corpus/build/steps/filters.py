"""Filters by name: length, repetition, and the shape of words.

All return True to keep a document. Default limits are those of Rae et al. 2021 (Gopher), Table A1
and Appendix A.1.1.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from services.corpus.build.steps.plugins import load_function
from services.errors import InvalidArgument

_WORD = re.compile(r"\S+")
_LETTER = re.compile(r"[^\W\d_]")


def length(
    text: str,
    *,
    min_characters: int = 0,
    max_characters: int = 0,
    min_words: int = 0,
    max_words: int = 0,
) -> bool:
    """Whether a text has so many characters and words; 0 is no limit."""
    if len(text) < min_characters or (max_characters and len(text) > max_characters):
        return False
    if not min_words and not max_words:
        return True
    words = sum(1 for _ in _WORD.finditer(text))
    return words >= min_words and not (max_words and words > max_words)


def repetition(
    text: str, *, max_line_share: float = 0.3, max_phrase_share: float = 0.2, phrase_words: int = 2
) -> bool:
    """Whether a text repeats little of itself.

    `max_line_share` limits the share of lines that stand there before, `max_phrase_share` the share
    of the characters that the most common phrase of `phrase_words` words makes up.
    """
    lines = [line.strip() for line in text.splitlines() if not line.isspace() and line]
    if lines and (len(lines) - len(set(lines))) / len(lines) > max_line_share:
        return False
    words = _WORD.findall(text)
    phrases = Counter(zip(*(words[start:] for start in range(phrase_words)), strict=False))
    if not phrases:
        return True
    # Of equally common ones the longest, so that the answer does not depend on an order.
    phrase, count = max(phrases.items(), key=lambda one: (one[1], sum(map(len, one[0]))))
    characters = sum(map(len, words))
    return count == 1 or count * sum(map(len, phrase)) / characters <= max_phrase_share


def word_shape(
    text: str,
    *,
    min_mean_length: float = 3.0,
    max_mean_length: float = 10.0,
    min_letters_share: float = 0.8,
    max_symbols_per_word: float = 0.1,
) -> bool:
    """Whether words are as long as words are, have letters, and few "#" and "..." among them."""
    words = _WORD.findall(text)
    if not words:
        return False
    mean = sum(map(len, words)) / len(words)
    with_letters = sum(1 for word in words if _LETTER.search(word))
    symbols = text.count("#") + text.count("...") + text.count("…")
    return (
        min_mean_length <= mean <= max_mean_length
        and with_letters / len(words) >= min_letters_share
        and symbols / len(words) <= max_symbols_per_word
    )


FILTERS: Mapping[str, Callable[..., bool]] = {
    function.__name__: function for function in (length, repetition, word_shape)
}


def filter_of(name: str, options: Mapping[str, Any], where: str) -> Callable[..., Any]:
    """Return a filter by its name, or a plug-in, once its options are seen to be its own.

    Raises InvalidArgument.
    """
    function = FILTERS.get(name) or load_filter(name, where)
    try:
        inspect.signature(function).bind("", **options)
    except TypeError as error:
        raise InvalidArgument(f"{where}.options", f"are not those of {name} ({error})") from None
    except ValueError:
        pass  # a function that does not say what it takes
    if name in FILTERS:
        wrong = [
            (f"{where}.options.{key}", f"must be a number, not {value!r}")
            for key, value in options.items()
            if isinstance(value, bool) or not isinstance(value, int | float)
        ]
        if wrong:
            raise InvalidArgument(*wrong[0], *wrong[1:])
    return function


def load_filter(name: str, where: str) -> Callable[..., Any]:
    """Load a plug-in. Raises InvalidArgument naming the filters that there are."""
    if ":" not in name:
        known = ", ".join(FILTERS)
        raise InvalidArgument(
            f"{where}.function",
            f"{name!r} is not a filter; filters are {known}, and module:function",
        )
    return load_function(name, f"{where}.function")
