"""Parts of a simulation: trials, and cells that count how many intervals contain the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.common.statistics.estimate import Estimate
from services.common.statistics.interval import Interval, Kind, TooFewError
from services.common.statistics.student import student

COUNTS = (3, 5, 20, 200)
LEVELS = (0.95, 0.99)

Floats = npt.NDArray[np.float64]
Generator = np.random.Generator
Draw = Callable[[Generator, int], Floats]


@dataclass(frozen=True)
class Trial:
    """How to make an interval from data, the truth, and the peer's interval of the same data."""

    make: Callable[[], Interval]
    truth: float
    peer: Interval | None = None


@dataclass(frozen=True)
class Cell:
    """One simulation: the share of the reported intervals that contained the truth.

    `given` is the share of trials with an interval: the others `need` more data.
    """

    what: str
    population: str
    count: int
    level: float
    share: float | None
    peer: float | None = None
    needs: int | None = None
    given: float = 1.0

    @property
    def refused(self) -> bool:
        """Whether most trials had too little data."""
        return self.share is None or self.given < 0.5


def modes(
    generator: Generator, count: int, values: Sequence[float], shares: Sequence[float]
) -> Floats:
    """Draw from several values, each with its share."""
    chosen: Floats = generator.choice(np.array(values), count, p=shares)
    return chosen


def covered(
    what: str, population: str, count: int, *, level: float, trials: Iterable[Trial]
) -> Cell:
    """Count how often intervals, and the peer's of the same data, hold the truth."""
    ours: list[bool] = []
    peers: list[bool] = []
    needs, refused = None, 0
    for trial in trials:
        try:
            ours.append(trial.make().holds(trial.truth))
        except TooFewError as error:
            needs = error.need
            refused += 1
            continue
        if trial.peer is not None:
            peers.append(trial.peer.holds(trial.truth))
    return Cell(
        what,
        population,
        count,
        level,
        sum(ours) / len(ours) if ours else None,
        sum(peers) / len(peers) if peers else None,
        needs,
        len(ours) / (len(ours) + refused),
    )


def plain(values: Floats, level: float) -> Interval:
    """Student's interval of a mean: the services' today."""
    count = len(values)
    return student(
        Estimate(float(values.mean()), float(values.var(ddof=1)) / count, count - 1), level
    )


def peer_interval(low: float, high: float, level: float) -> Interval:
    """Return an interval of a peer's."""
    return Interval(low, high, level, Kind.CONFIDENCE, "peer@1")


def same(interval: Interval) -> Interval:
    """An interval that was made before."""
    return interval
