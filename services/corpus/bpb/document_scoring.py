"""Scores a document with a model: text to tokens to windows to batches to sums.

The result is a function of the document, the model and the definition. Batches hold windows of one
length and one document, so a document's figure does not depend on its neighbours, and nothing is
padded.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from services.common.statistics.samples.spans import NAT_UNITS, span_ends
from services.corpus.bpb.definition import Definition, Preset
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.models.language_model import LanguageModel
from services.corpus.bpb.scored_windows import (
    Window,
    guide_windows,
    packed_windows,
    rolling_windows,
    unscored,
)
from services.corpus.shards.documents import Document
from services.errors import ModelUnusable, TooLarge

Progress = Callable[[int], None]
Range = tuple[int, int]
"""The first byte or token of a range, and the one after its last."""

_WHITESPACE = re.compile(r"\s+")


def score_document(
    model: LanguageModel,
    definition: Definition,
    document: Document,
    progress: Progress = lambda _: None,
    spans: frozenset[int] | None = None,
) -> DocumentScore:
    """Score one document by a resolved definition, or only the spans of these numbers.

    Before every batch and at the end `progress` is called with the tokens scored since the last
    call; an error that it raises ends the scoring. An excluded document is scored as far as
    possible. Raises ModelUnusable for a likelihood that is not a finite number, and TooLarge for a
    document that takes more memory than is left.
    """
    if spans is not None:
        return _score_spans(model, definition, document, progress, spans)
    text, tokens, excluded = _read(model, definition, document)
    size, words = len(document.text), count_words(text)
    if excluded is Exclusion.TOKEN_OUT_OF_RANGE:
        return DocumentScore(document.id, document.subset, 0.0, size, 0, excluded, words)
    sums: list[float] = []
    counted = 0
    windows = list(_windows(tokens, definition))
    for window, row in _likelihoods(model, windows, document.id, progress):
        sums.append(_total(window, row))
        counted += window.counted
    if definition.counts_scored_bytes:
        with naming(document):
            size -= _unscored_bytes(model, definition, text, len(tokens))
    nats = _negative(sums)
    return DocumentScore(document.id, document.subset, nats, size, counted, excluded, words)


def score_ranges(
    model: LanguageModel,
    definition: Definition,
    document: Document,
    ranges: Sequence[Range],
    progress: Progress = lambda _: None,
) -> tuple[DocumentScore, list[list[float]]]:
    """Score the tokens whose first byte is in one of some ranges, ascending, of a document.

    Returns the score over these, and -log p of each token of each range. The whole document is
    tokenized, and the windows that meet a range are run, so a token has the same context as when
    the whole document is scored. Raises what `score_document` raises.
    """
    text, tokens, excluded = _read(model, definition, document)
    size = sum(end - first for first, end in ranges)
    if excluded in {Exclusion.TOKEN_OUT_OF_RANGE, Exclusion.EMPTY}:
        nothing = DocumentScore(document.id, document.subset, 0.0, size, 0, excluded)
        return nothing, [[] for _ in ranges]
    with naming(document):
        found = model.token_starts(text, special_tokens=bool(definition.special_tokens))
    starts = np.asarray(found)
    wanted = [_pair(np.searchsorted(starts, ends)) for ends in ranges]
    nats = _token_nats(model, definition, tokens, wanted, document=document.id, progress=progress)
    total = math.fsum(itertools.chain.from_iterable(nats))
    count = sum(map(len, nats))
    return DocumentScore(document.id, document.subset, total, size, count, excluded), nats


def score_after(
    model: LanguageModel,
    definition: Definition,
    document: Document,
    context: bytes,
    progress: Progress = lambda _: None,
) -> tuple[DocumentScore, list[float]]:
    """Score a document after a context, which is read but not scored.

    The two are tokenized separately, so that no token has bytes of both. Also returns -log p of
    each token. Raises what `score_document` raises.
    """
    text, tokens, excluded = _read(model, definition, document)
    size, words = len(document.text), count_words(text)
    with naming(document):
        before = model.encode(context.decode("utf-8", "surrogatepass"))
    if excluded is None and max(before, default=0) >= model.vocabulary:
        excluded = Exclusion.TOKEN_OUT_OF_RANGE
    if excluded in {Exclusion.TOKEN_OUT_OF_RANGE, Exclusion.EMPTY}:
        return DocumentScore(document.id, document.subset, 0.0, size, 0, excluded, words), []
    both = [*before, *tokens]
    place = (len(before), len(both))
    [nats] = _token_nats(model, definition, both, [place], document=document.id, progress=progress)
    total = math.fsum(nats)
    count = len(nats)
    return DocumentScore(document.id, document.subset, total, size, count, excluded, words), nats


def _token_nats(
    model: LanguageModel,
    definition: Definition,
    tokens: Sequence[int],
    ranges: Sequence[Range],
    *,
    document: str,
    progress: Progress,
) -> list[list[float]]:
    """Return -log p of the scored tokens in each of some ranges of tokens."""
    likely: dict[int, float] = {}
    windows, firsts = [], []
    # Without a prefix the first token is not scored.
    first = 0 if definition.prefix_token is not None else 1
    for window in _windows(tokens, definition):
        end = first + len(window.targets)
        if any(begin < end and first < after for begin, after in ranges):
            windows.append(window)
            firsts.append(first)
        first = end
    scored = _likelihoods(model, windows, document, progress)
    for begin, (window, row) in zip(firsts, scored, strict=True):
        weight = window.counted / len(window.targets)
        likely.update((begin + place, weight * value) for place, value in enumerate(row))
    return [
        [0.0 - likely[place] for place in range(begin, after) if place in likely]
        for begin, after in ranges
    ]


def _pair(values: npt.NDArray[np.int64]) -> Range:
    first, after = values.tolist()
    return first, after


def count_words(text: str) -> int:
    """Count words as lm-evaluation-harness does: the number of runs of whitespace, plus one."""
    return len(_WHITESPACE.split(text))


def _score_spans(
    model: LanguageModel,
    definition: Definition,
    document: Document,
    progress: Progress,
    spans: frozenset[int],
) -> DocumentScore:
    ends = span_ends(document.text)
    places = list(itertools.pairwise([0, *ends]))
    numbers = sorted(spans)
    score, nats = score_ranges(
        model, definition, document, [places[number] for number in numbers], progress
    )
    units = (round(math.fsum(one) * NAT_UNITS) for one in nats)
    return DocumentScore(
        score.id,
        score.subset,
        score.nats,
        score.text_bytes,
        score.tokens,
        score.excluded,
        None,
        tuple(zip(numbers, units, strict=True)),
    )


@contextmanager
def naming(document: Document) -> Iterator[None]:
    """Name the document in the error if it takes more memory than is left."""
    try:
        yield
    except TooLarge as error:
        raise TooLarge(f"document {document.id}: {error}") from error


def _read(
    model: LanguageModel, definition: Definition, document: Document
) -> tuple[str, list[int], Exclusion | None]:
    """Return the text, its tokens, and the reason to exclude it, if any."""
    # A lone surrogate, three bytes in WTF-8, is one in the string too; models handle it themselves.
    text = document.text.decode("utf-8", "surrogatepass")
    with naming(document):
        tokens = model.encode(text)
        excluded = None if model.decode(tokens) == text else Exclusion.NOT_ROUND_TRIPPING
        if definition.special_tokens:
            tokens = model.encode(text, special_tokens=True)
    if not document.text:
        excluded = Exclusion.EMPTY
    elif max(tokens, default=0) >= model.vocabulary:
        excluded = Exclusion.TOKEN_OUT_OF_RANGE
    return text, tokens, excluded


def _likelihoods(
    model: LanguageModel, windows: Sequence[Window], document: str, progress: Progress
) -> Iterator[tuple[Window, list[float]]]:
    """Run windows, and yield each with log p of its targets."""
    scored = 0
    for batch in _batches(windows, model.batch_size):
        progress(scored)
        scored = sum(window.counted for window in batch)
        for window, row in zip(batch, model.log_likelihoods(batch), strict=True):
            if not np.isfinite(row).all():
                raise ModelUnusable(
                    "the model gave a likelihood that is not a finite number for document "
                    f"{document}; nothing was counted"
                )
            yield window, row.tolist()
    progress(scored)


def _unscored_bytes(model: LanguageModel, definition: Definition, text: str, tokens: int) -> int:
    starts = model.token_starts(text, special_tokens=bool(definition.special_tokens))
    ends = [*starts[1:], len(text.encode("utf-8", "surrogatepass"))]
    left = unscored(tokens, definition.prefix_token, definition.max_length)
    return sum(ends[place] - starts[place] for place in left)


def _total(window: Window, row: Sequence[float]) -> float:
    total = math.fsum(row)
    if window.counted != len(window.targets):
        total *= window.counted / len(window.targets)
    return total


def _negative(sums: Iterable[float]) -> float:
    """Subtract from 0, so that the sum of nothing is 0 and not -0."""
    return 0.0 - math.fsum(sums)


def _windows(tokens: Sequence[int], definition: Definition) -> Iterator[Window]:
    if definition.follows_guide:
        return guide_windows(tokens, definition.max_length, definition.stride)
    if definition.preset is Preset.LEVANTER:
        return packed_windows(tokens, definition.prefix_token, definition.max_length)
    return rolling_windows(
        tokens,
        definition.prefix_token,
        definition.max_length,
        definition.context_length,
        prefix_everywhere=definition.prefix_everywhere,
        filled_up=definition.preset is not Preset.PALOMA,
    )


def _batches(windows: Sequence[Window], batch_size: Callable[[int], int]) -> Iterator[list[Window]]:
    """Group windows whose inputs have one length, in order."""
    for length, group in itertools.groupby(windows, lambda window: len(window.inputs)):
        size, alike = batch_size(length), list(group)
        for first in range(0, len(alike), size):
            yield alike[first : first + size]
