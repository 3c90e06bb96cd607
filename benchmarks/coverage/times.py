"""Seconds of runs from restarts, and ratios of two models' seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from benchmarks.coverage.cells import (
    Cell,
    Floats,
    Generator,
    Trial,
    covered,
    peer_interval,
    plain,
    same,
)
from services.common.statistics.speed import restarts, timing
from services.common.statistics.speed.speed_ratios import (
    PairedRestart,
    best_interval,
    ratio_interval,
)


def of_timings(repetitions: int, generator: Generator) -> Iterator[Cell]:
    """Seconds of a run from restarts, with and without other load; the peer is Student's."""
    for name, slow, share in (("one speed", 1.0, 0.0), ("two speeds", 1.3, 0.3)):

        def draw(count: int, slow: float = slow, share: float = share) -> Floats:
            speeds = np.where(generator.random(count) < share, slow, 1.0)
            found: Floats = speeds * np.exp(generator.normal(0.0, 0.01, count))
            return found

        truth = float(np.median(draw(2_000_001)))
        for load in (0.0, 0.05, 0.5):
            for count in (8, 16, 24):

                def trials(
                    draw: Callable[[int], Floats] = draw,
                    truth: float = truth,
                    load: float = load,
                    count: int = count,
                ) -> Iterator[Trial]:
                    for _ in range(repetitions):
                        slowed = 1 + 2.4 * load * generator.random(count)
                        seconds = draw(count) * slowed
                        felt = 1 + (slowed - 1) * generator.uniform(0.5, 1.0, count)
                        recorded = [
                            restarts.Restart(place, one, one, load, kernel)
                            for place, (one, kernel) in enumerate(
                                zip(seconds.tolist(), felt.tolist(), strict=True)
                            )
                        ]
                        logs = plain(np.log(seconds), 0.99)
                        ends = math.exp(logs.low or 0.0), math.exp(logs.high or 0.0)
                        found = timing.timing(recorded).interval
                        yield Trial(partial(same, found), truth, peer_interval(*ends, 0.99))

                which = f"{name}, {load} cores of others"
                yield covered("seconds of a run", which, count, level=0.99, trials=trials())


def of_ratios(repetitions: int, generator: Generator) -> Iterator[Cell]:
    """Ratios of two models, and the best of three batch sizes, from noise of 2 %."""

    def noise(count: int) -> list[float]:
        return list(np.exp(generator.normal(0.0, 0.02, count)).tolist())

    def pairs(count: int) -> list[PairedRestart]:
        # Other load of half a core slows the second model by up to a fifth less.
        less = (0.8 + 0.2 * generator.random(count)).tolist()
        both = zip(noise(count), less, strict=True)
        return [PairedRestart(1.1 * 1.5 * one, 1 + 0.5 * part, 0.5, 1.2) for one, part in both]

    for count, level in ((8, 0.99), (17, 0.99998)):
        trials = (
            Trial(partial(ratio_interval, pairs(count), level), 1.1) for _ in range(repetitions)
        )
        which = "half a core of others"
        yield covered("ratio of two models", which, count, level=level, trials=trials)
    batches = ({size: noise(10) for size in (1, 2, 4)} for _ in range(repetitions))
    best = (Trial(partial(best_interval, one, 0.99), 1.0) for one in batches)
    yield covered("best of three batch sizes", "all alike", 10, level=0.99, trials=best)
