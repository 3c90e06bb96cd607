"""Sizes that batches are filled up to, so that a GPU meets few shapes, each of them warm. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def bucket_sizes(max_batch: int) -> tuple[int, ...]:
    """Return the powers of two below `max_batch`, and `max_batch` itself, ascending."""
    if max_batch < 1:
        raise ValueError(f"a batch of {max_batch} pictures is none")
    powers = (1 << power for power in range(max_batch.bit_length()))
    return (*(size for size in powers if size < max_batch), max_batch)


def bucket(count: int, sizes: Sequence[int]) -> int:
    """Return the least of `sizes`, ascending, that holds `count` pictures.

    Raises ValueError if none does.
    """
    for size in sizes:
        if 0 < count <= size:
            return size
    raise ValueError(f"a batch of {count} pictures fits none of {tuple(sizes)}")
