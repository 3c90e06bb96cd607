"""Rolling windows: how a document longer than a model's window is cut for scoring.

With L the longest input and c the tokens of context that each window after the first keeps
(c = 1 is lm-evaluation-harness's `loglikelihood_rolling`; c = L / 2 the Pile paper's): the first
window reads a prefix token and scores the first min(L, n) tokens. Each later one scores the next
w = min(L - c + 1, what is left) and reads the L tokens before the last of them, so the last window
is filled up from the back. Every token is scored exactly once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """One call of the model.

    `inputs` are the token ids that it reads, at most L. `targets` are the ids that it is to
    predict, for the last `len(targets)` positions of `inputs`: targets[-1] follows inputs[-1].
    """

    inputs: Sequence[int]
    targets: Sequence[int]


def rolling_windows(
    tokens: Sequence[int], prefix: int, max_length: int, context_length: int = 1
) -> Iterator[Window]:
    """Cut `tokens` into windows that score each of them once; none when there are no tokens.

    `prefix` is the id of the token before the first one, `max_length` L and `context_length` c
    above, with 1 <= c <= L.
    """
    if not 1 <= context_length <= max_length:
        raise ValueError(f"context_length is {context_length}, must be 1 to {max_length}")
    if not tokens:
        return
    first = min(max_length, len(tokens))
    yield Window([prefix, *tokens[: first - 1]], tokens[:first])
    done = first
    while done < len(tokens):
        width = min(max_length - context_length + 1, len(tokens) - done)
        end = done + width
        yield Window(tokens[end - max_length - 1 : end - 1], tokens[done:end])
        done = end
