"""An order of sequences in which every step is the same for any number of ranks.

The sequences of a stream are numbered. Step s has the `batch` sequences from s * batch on; rank r
of W gets the r-th W-th of each step. Where a run changes its number of ranks within steps, what is
left of those is dealt first, step by step; the steps behind them stay what they are. With `wrap` a
number may be beyond the last sequence, and means one from the first on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from services.corpus.stream.resume import start
from services.errors import InvalidArgument

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TokenPosition:
    """Where rank `rank` of `world_size` is: it has taken `taken` of its sequences of an order.

    The order is `begun`, what an earlier world left of steps that it had begun, then the steps from
    the sequence `next` on, which begins one. `options` digests what the sequences are, the size of
    a step included.
    """

    options: str
    begun: Spans
    next: int
    world_size: int
    rank: int
    taken: int


def beginning(options: str, rank: int, world_size: int, batch: int) -> TokenPosition:
    """Return the position of a rank before its first sequence.

    Raises InvalidArgument for a rank that there is not, and where the ranks do not divide a step.
    """
    start(rank, world_size)
    if batch % world_size:
        raise InvalidArgument(
            "tokens.global_batch",
            f"{batch} sequences cannot be divided equally among {world_size} ranks; give a "
            "multiple of their number",
        )
    return TokenPosition(options, (), 0, world_size, rank, 0)


def require_a_step(total: int, batch: int, world_size: int) -> None:
    """Raise InvalidArgument where the sequences of a selection do not make one step."""
    if total >= batch:
        return
    largest = total - total % world_size
    advice = (
        f"the largest that fits {world_size} ranks is {largest}"
        if largest
        else f"{world_size} ranks need {world_size}: take shorter sequences or more documents"
    )
    raise InvalidArgument(
        "tokens.global_batch",
        f"is {batch}, and the selection has {total} sequences, which make no step; {advice}",
    )


def steps_of(total: int, batch: int, *, wrap: bool) -> tuple[int, int]:
    """Return the steps of so many sequences, and the sequences that do not fill one.

    With `wrap` those make another step together with the first ones again.
    """
    steps, rest = divmod(total, batch)
    return (steps + bool(rest), rest) if wrap else (steps, rest)


def left(position: TokenPosition, total: int, batch: int, *, wrap: bool) -> int:
    """Return how many sequences the rank has left.

    Ranks differ by one for each step that an earlier world had begun.
    """
    steps, _ = steps_of(total, batch, wrap=wrap)
    whole = (steps - position.next // batch) * (batch // position.world_size)
    return max(0, len(_own_of_begun(position, batch)) + whole - position.taken)


def numbers(position: TokenPosition, total: int, batch: int, *, wrap: bool) -> Iterator[int]:
    """Iterate the numbers of the sequences that the rank has left; they are of step n // batch."""
    own = _own_of_begun(position, batch)
    each = batch // position.world_size
    steps, _ = steps_of(total, batch, wrap=wrap)
    first, skipped = divmod(max(0, position.taken - len(own)), each)
    begins = range(position.next + first * batch + position.rank * each, steps * batch, batch)
    return chain(
        own[position.taken :].tolist(),
        chain.from_iterable(range(begin + skipped, begin + each) for begin in begins[:1]),
        chain.from_iterable(range(begin, begin + each) for begin in begins[1:]),
    )


def check(position: TokenPosition, total: int, batch: int, *, wrap: bool) -> None:
    """Raise InvalidArgument for a place that no run over so many sequences comes to."""
    steps, _ = steps_of(total, batch, wrap=wrap)
    begun = [0, *(bound for span in position.begun for bound in span), position.next]
    if begun != sorted(begun) or position.next > steps * batch or position.next % batch:
        raise InvalidArgument(
            "cursor", f"has a position that {total} sequences in steps of {batch} do not have"
        )


def after(position: TokenPosition, sequences: int) -> TokenPosition:
    """Return the position once so many more of its sequences were taken."""
    return replace(position, taken=position.taken + sequences)


def redeal(
    positions: Sequence[TokenPosition], rank: int, world_size: int, batch: int
) -> TokenPosition:
    """Return where a rank of another world begins, given where all ranks of the last one are.

    Raises InvalidArgument if they are not those of every rank of one world, each once.
    """
    first = positions[0]
    own = beginning(first.options, rank, world_size, batch)
    ranks = sorted(position.rank for position in positions)
    base = {(one.options, one.begun, one.next, one.world_size) for one in positions}
    if len(base) > 1 or ranks != list(range(first.world_size)):
        raise InvalidArgument(
            "resume", f"needs the place of each of the {first.world_size} ranks of one run, once"
        )
    each = batch // first.world_size
    left_over: list[int] = []
    taken: dict[TokenPosition, int] = {}
    for position in positions:
        before = _own_of_begun(position, batch)
        left_over += before[position.taken :].tolist()
        taken[position] = max(0, position.taken - len(before))
    ended = -(-max(taken.values()) // each)
    for position, count in taken.items():
        for index in range(count, ended * each):
            step, within = divmod(index, each)
            left_over.append(first.next + step * batch + position.rank * each + within)
    return replace(own, begun=_spans(sorted(left_over)), next=first.next + ended * batch)


def _own_of_begun(position: TokenPosition, batch: int) -> npt.NDArray[np.int64]:
    """The rank's part of what was left of begun steps: of each step an equal part, or one less."""
    if not position.begun:
        return np.zeros(0, np.int64)
    every = np.concatenate([np.arange(begin, end) for begin, end in position.begun])
    _, first, of_step, sizes = np.unique(
        every // batch, return_index=True, return_inverse=True, return_counts=True
    )
    place, size = np.arange(len(every)) - first[of_step], sizes[of_step]
    lowest, behind = (
        size * rank // position.world_size for rank in (position.rank, position.rank + 1)
    )
    own: npt.NDArray[np.int64] = every[(lowest <= place) & (place < behind)]
    return own


def _spans(numbers: Sequence[int]) -> Spans:
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1][1] += 1
        else:
            found.append([number, number + 1])
    return tuple((begin, end) for begin, end in found)
