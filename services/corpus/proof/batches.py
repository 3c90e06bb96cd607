"""The order of calls in which the documents of a batch are coded, and decoded.

Both sides run `code_batch`. Nothing in it depends on whether a row's tokens are known or come out
of the code, so the stepper gets the same calls, with the same shapes, on both sides.

Windows are those of the definition. The documents of a batch go through them in step: all first
windows together, then all second ones. A first window begins with the prefix token, and every later
one reads exactly L tokens, so all rows are always at the same position. Nothing is padded, and a
row leaves at the end of its window. The tokens before the first one that any row scores are read in
one call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from services.corpus.bpb.definition import Definition
from services.corpus.bpb.scored_windows import Window, rolling_windows
from services.corpus.proof.frequencies import Distribution
from services.corpus.proof.stepper import Stepper

_PREFIX = -1  # stands for the prefix token among places in a document


class Row(Protocol):
    """A document on its way into or out of its code."""

    @property
    def length(self) -> int:
        """How many tokens it has."""
        ...

    @property
    def tokens(self) -> Sequence[int]:
        """Its tokens, as far as they are known: at least those already coded."""
        ...

    def code(self, distribution: Distribution, row: int) -> None:
        """Code its next token by a row of the distribution."""
        ...


def code_batch(
    stepper: Stepper,
    definition: Definition,
    rows: Sequence[Row],
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Code all tokens of all rows by a resolved definition that scores every token once.

    `progress` is called with the tokens coded since its last call; what it raises ends the work.
    """
    if definition.prefix_token is None:
        raise ValueError("the first token is coded after a prefix token, and there is none")
    # One window at a time: how many a row has is what the file says, and that may be anything.
    plans = [
        rolling_windows(
            range(row.length), _PREFIX, definition.max_length, definition.context_length
        )
        for row in rows
    ]
    while True:
        turn = [(row, next(plan, None)) for row, plan in zip(rows, plans, strict=True)]
        active = [(row, window) for row, window in turn if window is not None]
        if not active:
            return
        _code_windows(
            stepper,
            definition.prefix_token,
            [row for row, _ in active],
            [window for _, window in active],
            progress,
        )


def _code_windows(
    stepper: Stepper,
    prefix: int,
    rows: list[Row],
    windows: list[Window],
    progress: Callable[[int], None],
) -> None:
    def token(row: Row, place: int) -> int:
        return prefix if place == _PREFIX else row.tokens[place]

    # The place in its window after which a row's first scored token comes.
    first = [len(window.inputs) - len(window.targets) for window in windows]
    at = min(first)
    lead = [
        [token(row, window.inputs[place]) for place in range(at + 1)]
        for row, window in zip(rows, windows, strict=True)
    ]
    logits = stepper.begin(np.array(lead, np.int64))
    going = list(range(len(rows)))
    while True:
        coding = [k for k, i in enumerate(going) if at >= first[i]]
        distribution = Distribution(logits if len(coding) == len(going) else logits[coding])
        for k, place in enumerate(coding):
            rows[going[place]].code(distribution, k)
        progress(len(coding))
        at += 1
        staying = [k for k, i in enumerate(going) if at < len(windows[i].inputs)]
        if not staying:
            return
        if len(staying) < len(going):
            stepper.keep(staying)
            going = [going[k] for k in staying]
        following = [token(rows[i], windows[i].inputs[at]) for i in going]
        logits = stepper.step(np.array(following, np.int64))
