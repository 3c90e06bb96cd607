"""What each rank of a run would get of a plan, without reading a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.corpus.stream import resume, spans
from services.corpus.stream.plan import StreamPlan
from services.corpus.stream.spans import Remainder

WINDOWS = 40
"""Parts of the stream whose mixtures are compared."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Simulation:
    """What the ranks get.

    `documents` and `text_bytes` are of each rank; `batches` whole batches of each. `dropped` and
    `repeated` are documents that equal shares leave out, or give twice. `shares` has for each
    subset its share of the text's bytes in each part of the stream, in the order of delivery;
    `drift` how far each part is from the whole: half the sum of the absolute differences, in
    [0, 1]. Parts are of whole units, so that a corpus of few units seems uneven.
    """

    documents: Numbers
    text_bytes: Numbers
    batches: Numbers
    dropped: int
    repeated: int
    shares: Mapping[str, npt.NDArray[np.float64]]
    drift: npt.NDArray[np.float64]
    overall: Mapping[str, float]
    """Each subset's share of all of the text's bytes."""


def simulate(
    plan: StreamPlan, world_size: int, batch: int, remainder: Remainder | None
) -> Simulation:
    """Deal a plan to ranks as StreamCorpus does: by units, or with `remainder` in equal spans.

    Raises InvalidArgument for a number of ranks that there cannot be.
    """
    dropped = repeated = 0
    if remainder is None:
        resume.start(0, world_size)
        rank = np.arange(plan.units) % world_size
        documents = _by_rank(rank, plan.counts, world_size)
        text_bytes = _by_rank(rank, plan.text_bytes, world_size)
    else:
        total = int(plan.counts.sum())
        whole = ((0, total),) if total else ()
        ranks = [spans.share(whole, r, world_size, batch, remainder) for r in range(world_size)]
        dropped, repeated = ranks[0].dropped, ranks[0].repeated
        documents = np.array([one.documents for one in ranks], np.int64)
        before = _BytesBefore(plan)
        text_bytes = np.array(
            [
                sum(before(end) - before(begin) for begin, end in one.position.spans)
                for one in ranks
            ],
            np.int64,
        )
    mixture = _mixture(plan)
    return Simulation(documents, text_bytes, documents // batch, dropped, repeated, *mixture)


def _by_rank(rank: Numbers, values: Numbers, world_size: int) -> Numbers:
    return np.bincount(rank, values, world_size).astype(np.int64)


class _BytesBefore:
    """Bytes of text before the n-th document of a plan."""

    def __init__(self, plan: StreamPlan) -> None:
        self._plan = plan
        self._documents = np.concatenate((np.zeros(1, np.int64), np.cumsum(plan.counts)))
        self._bytes = np.concatenate((np.zeros(1, np.int64), np.cumsum(plan.text_bytes)))

    def __call__(self, document: int) -> int:
        unit = int(np.searchsorted(self._documents, document, side="right")) - 1
        found = int(self._bytes[unit])
        if unit < self._plan.units:
            inside = document - int(self._documents[unit])
            found += int(self._plan.sizes_in_order(unit)[:inside].sum())
        return found


def _mixture(
    plan: StreamPlan,
) -> tuple[Mapping[str, npt.NDArray[np.float64]], npt.NDArray[np.float64], Mapping[str, float]]:
    ends = np.cumsum(plan.text_bytes)
    total = int(ends[-1]) if len(ends) else 0
    if not total:
        return {}, np.zeros(0), {}
    windows = min(WINDOWS, plan.units)
    window = np.minimum((ends - 1).clip(0) * windows // total, windows - 1)
    sums: dict[str, npt.NDArray[np.float64]] = {}
    for unit, number in enumerate(window.tolist()):
        for name, size in plan.subset_bytes(unit):
            sums.setdefault(name, np.zeros(windows))[number] += size
    names = sorted(sums)
    table = np.stack([sums[name] for name in names])
    whole = table.sum(axis=1) / table.sum()
    # No unit ends in a part that a large one reaches over: there is nothing to say of it.
    table = table[:, table.sum(axis=0) > 0]
    shares = table / table.sum(axis=0)
    drift = 0.5 * np.abs(shares - whole[:, None]).sum(axis=0)
    overall = dict(zip(names, whole.tolist(), strict=True))
    return dict(zip(names, shares, strict=True)), drift, overall


def spread(values: Sequence[int] | Numbers) -> float:
    """Return how much more the rank with most has than the one with least, of the mean."""
    numbers = np.asarray(values, np.float64)
    mean = float(numbers.mean()) if len(numbers) else 0.0
    return float(numbers.max() - numbers.min()) / mean if mean else 0.0
