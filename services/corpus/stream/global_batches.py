"""An order of sequences in which every step is the same for any number of ranks.

The sequences of a stream are numbered. Step s has the `batch` sequences from s * batch on; rank r
of W gets the r-th W-th of each step. Where a run changes its number of ranks in the middle of a
step, the sequences of begun steps that nobody took ("strays") come first in the new order, then the
rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.corpus.stream.resume import start
from services.errors import InvalidArgument

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TokenPosition:
    """Where rank `rank` of `world_size` is: it has taken `taken` of its sequences of an order.

    The order is `strays`, then the sequences from `next` on. `options` digests what the sequences
    are, the size of a step included.
    """

    options: str
    strays: Spans
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


def steps_left(position: TokenPosition, total: int, batch: int, *, wrap: bool) -> tuple[int, int]:
    """Return the steps of the position's order, and the sequences that do not fill one.

    With `wrap` those make another step together with the first ones again.
    """
    left = _size(position.strays) + max(0, total - position.next)
    steps, rest = divmod(left, batch)
    return (steps + bool(rest), rest) if wrap else (steps, rest)


def sequence(position: TokenPosition, ahead: int, total: int, batch: int) -> int:
    """Return the number of the sequence that the rank takes `ahead` sequences from here."""
    each = batch // position.world_size
    step, within = divmod(position.taken + ahead, each)
    return _at(position, step * batch + position.rank * each + within, total)


def after(position: TokenPosition, sequences: int) -> TokenPosition:
    """Return the position once so many more of its sequences were taken."""
    return replace(position, taken=position.taken + sequences)


def redeal(
    positions: Sequence[TokenPosition], rank: int, world_size: int, total: int, batch: int
) -> TokenPosition:
    """Return where a rank of another world begins, given where all ranks of the last one are.

    Raises InvalidArgument where they are not those of every rank of one world, each once.
    """
    first = positions[0]
    own = beginning(first.options, rank, world_size, batch)
    ranks = sorted(position.rank for position in positions)
    base = {(one.options, one.strays, one.next, one.world_size) for one in positions}
    if len(base) > 1 or ranks != list(range(first.world_size)):
        raise InvalidArgument(
            "resume", f"needs the place of each of the {first.world_size} ranks of one run, once"
        )
    each = batch // first.world_size
    taken = [position.taken for position in positions]
    begun, ended = min(taken) // each, -(-max(taken) // each)
    left: list[int] = []
    for position in positions:
        for index in range(max(position.taken, begun * each), ended * each):
            step, within = divmod(index, each)
            left.append(step * batch + position.rank * each + within)
    size, reached = _size(first.strays), ended * batch
    strays = [_at(first, index, total) for index in sorted(left)]
    # Strays of the last order that no step has reached.
    strays += [_place(first, index) for index in range(reached, size)]
    return TokenPosition(
        own.options,
        _spans(strays),
        first.next + max(0, reached - size),
        world_size,
        rank,
        0,
    )


def _at(position: TokenPosition, index: int, total: int) -> int:
    """Return the index-th sequence of the order, and around again behind its end."""
    left = _size(position.strays) + max(0, total - position.next)
    return _place(position, index % left)


def _place(position: TokenPosition, index: int) -> int:
    for begin, end in position.strays:
        if index < end - begin:
            return begin + index
        index -= end - begin
    return position.next + index


def _size(spans: Spans) -> int:
    return sum(end - begin for begin, end in spans)


def _spans(numbers: Sequence[int]) -> Spans:
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1][1] += 1
        else:
            found.append([number, number + 1])
    return tuple((begin, end) for begin, end in found)
