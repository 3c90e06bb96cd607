"""How often the intervals of services/common/statistics hold the truth, in seeded simulations.

Each is made from 3, 5, 20 and 200 values (documents, restarts, operators) of populations that are
normal, skewed, heavy-tailed and of two modes; where it refuses, the result says how many it needs.
A row is the worst of the populations. The peer is what the services do today, on the same data, or
else the stated level.

    python -m benchmarks.interval_coverage
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import report
from services.common.statistics import outcomes, reliability
from services.common.statistics.distributions import normal_quantile
from services.common.statistics.estimate import Estimate
from services.common.statistics.interval import Interval, Kind, TooFewError
from services.common.statistics.means import mean_interval
from services.common.statistics.medians import median_interval, widest_median_interval
from services.common.statistics.samples import behind, levels
from services.common.statistics.samples.sampling import Key, Sampler
from services.common.statistics.samples.spans import NAT_UNITS
from services.common.statistics.shares import posterior_interval, share_interval
from services.common.statistics.speed import restarts, timing
from services.common.statistics.speed.speed_ratios import (
    PairedRestart,
    best_interval,
    ratio_interval,
)
from services.common.statistics.student import student

COUNTS = (3, 5, 20, 200)
LEVELS = (0.95, 0.99)
LEAST = {0.95: 0.93, 0.99: 0.98}
"""What an interval that states a level covers at least, or it refuses."""

_DOCUMENTS = 500
_REFRESH = 25  # samples of a population before it is drawn anew

Floats = npt.NDArray[np.float64]
Generator = np.random.Generator
Draw = Callable[[Generator, int], Floats]


@dataclass(frozen=True)
class Trial:
    """How an interval of some data is made, the truth, and the peer's interval of the same data."""

    make: Callable[[], Interval]
    truth: float
    peer: Interval | None = None


@dataclass(frozen=True)
class Population:
    """Independent values, with their mean and their median."""

    draw: Draw
    mean: float
    median: float


@dataclass(frozen=True)
class Cell:
    """One simulation: the share that covered of the intervals that were given.

    `given` is their share of all: the others were refused, for they `need` more.
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
        """Whether most of the data was too little."""
        return self.share is None or self.given < 0.5


def _modes(
    generator: Generator, count: int, values: Sequence[float], shares: Sequence[float]
) -> Floats:
    chosen: Floats = generator.choice(np.array(values), count, p=shares)
    return chosen


POPULATIONS: Mapping[str, Population] = {
    "normal": Population(lambda g, n: g.normal(3.0, 1.0, n), 3.0, 3.0),
    "skewed": Population(lambda g, n: np.exp(g.normal(0.0, 1.0, n)), math.exp(0.5), 1.0),
    "heavy-tailed": Population(lambda g, n: g.standard_t(2, n), 0.0, 0.0),
    "two modes": Population(
        lambda g, n: _modes(g, n, (1.0, 1.5), (0.9, 0.1)) + g.normal(0.0, 0.03, n),
        1.05,
        1.0 + 0.03 * normal_quantile(0.5 / 0.9),
    ),
}

SIZES: Mapping[str, Draw] = {
    "normal": lambda g, n: np.maximum(g.normal(5000, 1000, n), 300),
    "skewed": lambda g, n: 300 + g.exponential(5000, n),
    "heavy-tailed": lambda g, n: np.exp(g.normal(8, 2.3, n)),
    "two modes": lambda g, n: np.exp(_modes(g, n, (7.5, 11.0), (0.9, 0.1)) + g.normal(0.0, 0.4, n)),
}
"""Bytes of documents."""

DIFFERENCES: Mapping[str, Draw] = {
    "normal": lambda g, n: g.normal(0.02, 0.05, n),
    "skewed": lambda g, n: g.exponential(0.05, n),
    "heavy-tailed": lambda g, n: 0.02 + 0.05 * g.standard_t(3, n),
    "two modes": lambda g, n: _modes(g, n, (0.0, 0.1), (0.75, 0.25)) + g.normal(0.0, 0.02, n),
}
"""Of two models' nats a byte."""


def _level_rates(generator: Generator, sizes: Floats, spread: float) -> Floats:
    """Nats a byte that spread by a quarter, and fall with the size; `spread` is that of its log."""
    fall = 1 - 0.1 * np.clip((np.log(np.maximum(sizes, 1)) - 8) / max(spread, 0.1), -3, 3)
    rates: Floats = fall * np.exp(generator.normal(-(0.25**2) / 2, 0.25, len(sizes)))
    return rates


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


def of_values(what: str, repetitions: int, generator: Generator) -> Iterator[Cell]:
    """Medians and means of independent values; the peer is Student's."""
    function = median_interval if what == "median" else mean_interval
    for name, population in POPULATIONS.items():
        truth = population.median if what == "median" else population.mean
        for count in COUNTS:
            for level in LEVELS:
                draws = (population.draw(generator, count) for _ in range(repetitions))
                trials = (
                    Trial(partial(function, one.tolist(), level), truth, plain(one, level))
                    for one in draws
                )
                yield covered(
                    f"{what} of independent values", name, count, level=level, trials=trials
                )


def of_few_restarts(repetitions: int, generator: Generator) -> Iterator[Cell]:
    """The median's pair of extremes, at the level that it states itself."""
    for name, population in POPULATIONS.items():
        for count in (3, 5):
            draws = [population.draw(generator, count) for _ in range(repetitions)]
            found = [widest_median_interval(one.tolist(), 0.99) for one in draws]
            share = sum(one.holds(population.median) for one in found) / repetitions
            yield Cell("median, at its own level", name, count, found[0].level, share)


def of_shares(repetitions: int, generator: Generator) -> Iterator[Cell]:
    """Shares of trials, and the posterior where shares are spread as its prior says."""
    for share in (0.5, 0.9, 0.99):
        for count in COUNTS:
            for level in LEVELS:
                found = generator.binomial(count, share, repetitions).tolist()
                trials = (Trial(partial(share_interval, one, count, level), share) for one in found)
                name = f"share {share}"
                yield covered("share of trials", name, count, level=level, trials=trials)
    for count in COUNTS:
        for level in LEVELS:
            truths = generator.random(repetitions)
            found = generator.binomial(count, truths).tolist()
            trials = (
                Trial(partial(posterior_interval, 1 + one, 1 + count - one, level), truth)
                for one, truth in zip(found, truths.tolist(), strict=True)
            )
            yield covered("posterior of a share", "uniform", count, level=level, trials=trials)


def percentile(nats: Floats, sizes: Floats, level: float, generator: Generator) -> Interval:
    """Poisson bootstrap of bits per byte over documents: the services' before they drew bytes."""
    times = generator.poisson(1.0, (300, len(nats)))
    sums = times @ sizes
    replicates = (times @ nats)[sums > 0] / sums[sums > 0] / math.log(2)
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return peer_interval(float(low), float(high), level)


def peer_interval(low: float, high: float, level: float) -> Interval:
    """Return an interval of a peer's."""
    return Interval(low, high, level, Kind.CONFIDENCE, "peer@1")


@dataclass(frozen=True)
class Documents:
    """Bytes of documents, and their nats in 65,536ths."""

    sizes: Floats
    nats: Floats

    @classmethod
    def drawn(cls, sizes: Floats, rates: Floats) -> Documents:
        """Round to whole bytes and units of nats."""
        whole = np.maximum(np.rint(sizes), 1)
        return cls(whole, np.rint(rates * whole * NAT_UNITS))

    @property
    def bits_per_byte(self) -> float:
        """Of all of them."""
        return float(self.nats.sum() / self.sizes.sum()) / NAT_UNITS / math.log(2)

    def today(self, chosen: npt.NDArray[np.int64] | slice, level: float, g: Generator) -> Interval:
        """Today's interval from some of them."""
        return percentile(self.nats[chosen] / NAT_UNITS, self.sizes[chosen], level, g)


def population(name: str, difference: bool, generator: Generator) -> Documents:
    """Draw documents to sample from."""
    sizes = SIZES["skewed" if difference else name](generator, _DOCUMENTS)
    if difference:
        return Documents.drawn(sizes, DIFFERENCES[name](generator, _DOCUMENTS))
    return Documents.drawn(sizes, _level_rates(generator, sizes, float(np.log(sizes).std())))


def sampled(
    name: str, difference: bool, count: int, *, level: float, repetitions: int, generator: Generator
) -> Cell:
    """Bits per byte of these documents by a sample of their bytes, or a difference in it.

    Whole documents are drawn, which vary more in size than spans do.
    """
    interval = levels.difference_interval if difference else levels.level_interval

    def make(average: levels.Average) -> Interval:
        found = interval(average, level)
        if found is None:
            raise ValueError("a sample of everything has no interval")
        return found

    def trials() -> Iterator[Trial]:
        for repetition in range(repetitions):
            if repetition % _REFRESH == 0:
                documents = population(name, difference, generator)
                nats: dict[Key, int | None] = {
                    (str(place), 0): int(one) for place, one in enumerate(documents.nats)
                }
            sampler = Sampler(count, seed=int(generator.integers(1 << 62)))
            for place, size in enumerate(documents.sizes.astype(int).tolist()):
                sampler.add(str(place), "", [size])
            average = levels.whole({"": levels.subset_level(sampler.draw()[""], nats)})
            drawn = generator.choice(_DOCUMENTS, count, replace=False)
            peer = documents.today(drawn, level, generator)
            yield Trial(partial(make, average), documents.bits_per_byte, peer)

    what = "difference in bits per byte" if difference else "bits per byte"
    return covered(f"{what}, of these documents", name, count, level=level, trials=trials())


def of_samples(difference: bool, repetitions: int, generator: Generator) -> Iterator[Cell]:
    """Samples by bytes, of every population."""
    for name in DIFFERENCES if difference else SIZES:
        for count in COUNTS:
            for level in LEVELS:
                yield sampled(
                    name,
                    difference,
                    count,
                    level=level,
                    repetitions=repetitions if count >= levels.LEAST_FOR_LEVEL else 1,
                    generator=generator,
                )


def of_corpora(repetitions: int, generator: Generator) -> Iterator[Cell]:
    """Bits per byte of the corpus that scored documents are a random sample of."""
    for name, draw in SIZES.items():
        many = draw(generator, 500_000)
        spread = float(np.log(many).std())
        truth = Documents.drawn(many, _level_rates(generator, many, spread)).bits_per_byte
        for count in COUNTS:
            for level in LEVELS:

                def trials(
                    draw: Draw = draw,
                    spread: float = spread,
                    truth: float = truth,
                    count: int = count,
                    level: float = level,
                ) -> Iterator[Trial]:
                    for _ in range(repetitions):
                        sizes = draw(generator, count)
                        documents = Documents.drawn(sizes, _level_rates(generator, sizes, spread))
                        scored = behind.Scored()
                        pairs = np.stack([documents.sizes, documents.nats], 1).astype(int).tolist()
                        for place, (size, nats) in enumerate(pairs):
                            scored.add(str(place), size, nats)
                        peer = documents.today(slice(None), level, generator)
                        yield Trial(partial(scored.level_interval, level), truth, peer)

                what = "bits per byte, of the corpus behind"
                yield covered(what, name, count, level=level, trials=trials())


def of_timings(repetitions: int, generator: Generator) -> Iterator[Cell]:
    """Seconds of a run from restarts, with and without load of others; Student's is the peer."""
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
                        yield Trial(partial(_same, found), truth, peer_interval(*ends, 0.99))

                which = f"{name}, {load} cores of others"
                yield covered("seconds of a run", which, count, level=0.99, trials=trials())


def of_ratios(repetitions: int, generator: Generator) -> Iterator[Cell]:
    """Ratios of two models, and the best of three batch sizes, from noise of 2 %."""

    def noise(count: int) -> list[float]:
        return list(np.exp(generator.normal(0.0, 0.02, count)).tolist())

    def pairs(count: int) -> list[PairedRestart]:
        # The second model feels half a core of others by up to a fifth less.
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


def _same(interval: Interval) -> Interval:
    return interval


def of_reports(repetitions: int, generator: Generator) -> Iterator[Cell]:
    """Operators' outcomes, alike and unlike, and the reliability of pages."""
    for name, alike in (("operators alike", 1e6), ("operators unlike", 1.0)):
        for count in COUNTS:
            trials = (
                Trial(partial(_reported, count, alike * 0.8, alike * 0.2, generator), 0.8)
                for _ in range(repetitions)
            )
            yield covered("reported outcomes", name, count, level=0.95, trials=trials)
    for name, per_aspect in (("facts apart", 1), ("three facts an aspect", 3)):
        for count in COUNTS:
            pages = _pages(count, per_aspect, repetitions, generator)
            yield covered("reliability of a page", name, count, level=0.95, trials=pages)


def _reported(count: int, good: float, bad: float, generator: Generator) -> Interval:
    rates = generator.beta(good, bad, count)
    totals = np.ceil(np.exp(generator.normal(1.5, 1.5, count))).astype(int)
    found = np.stack([generator.binomial(totals, rates), totals], 1).tolist()
    return outcomes.reported(
        {str(place): outcomes.Reports(*one) for place, one in enumerate(found)}
    ).interval


def _pages(count: int, per_aspect: int, repetitions: int, generator: Generator) -> Iterator[Trial]:
    for truth in generator.random(repetitions).tolist():
        known = generator.beta(max(3 * truth, 1e-6), max(3 * (1 - truth), 1e-6), count)
        claims = []
        for place in range(count):
            chance = float(known[place // per_aspect]) if per_aspect > 1 else truth
            holds = generator.random() < chance + (1 - chance) * 0.1
            outcome = reliability.Outcome.CONFIRMED if holds else reliability.Outcome.REFUTED
            aspect = str(place // per_aspect)
            claims.append(reliability.FactClaim(str(place), aspect, 0.1, outcome))
        yield Trial(partial(_same, reliability.reliability(claims).interval), truth)


def simulate(repetitions: int) -> Iterator[Cell]:
    """Every simulation; those of documents, which take longest, are half as many."""
    generator = np.random.default_rng(20)
    few = max(1, repetitions // 2)
    yield from of_values("median", repetitions, generator)
    yield from of_few_restarts(repetitions, generator)
    yield from of_values("mean", repetitions, generator)
    yield from of_shares(repetitions, generator)
    yield from of_samples(False, few, generator)
    yield from of_samples(True, few, generator)
    yield from of_corpora(few, generator)
    yield from of_timings(repetitions, generator)
    yield from of_ratios(repetitions, generator)
    yield from of_reports(repetitions, generator)


def rows(cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    """One row for each interval, count and level: the worst of the populations."""
    groups: dict[tuple[str, int, float], list[Cell]] = defaultdict(list)
    for cell in cells:
        if not cell.refused:
            groups[cell.what, cell.count, cell.level].append(cell)
    for (what, count, level), group in groups.items():
        worst = min(group, key=lambda cell: cell.share or 0.0)
        peers = [cell.peer for cell in group if cell.peer is not None]
        stated = f"{100 * level:.6g} %"
        yield report.row(
            f"{what}, n = {count}, stated {stated}, worst of {len(group)}: {worst.population}",
            "today's method, at its worst" if peers else "the stated level",
            100 - 100 * (worst.share or 0.0),
            100 - 100 * (min(peers) if peers else level),
            "% missed",
            target=None,
            less_is_better=True,
        )


def main() -> None:
    """Simulate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repetitions", type=int, default=2000)
    options = parser.parse_args()
    cells = list(simulate(options.repetitions))
    report.write(
        "interval-coverage",
        list(rows(cells)),
        packages=["numpy"],
        repetitions=options.repetitions,
        needs={_name(cell): cell.needs for cell in cells if cell.refused},
        covered={_name(cell): round(cell.share, 4) for cell in cells if cell.share is not None},
        given={_name(cell): round(cell.given, 4) for cell in cells if 0 < cell.given < 1},
    )


def _name(cell: Cell) -> str:
    return f"{cell.what}; {cell.population}; n = {cell.count}; {100 * cell.level:.6g} %"


if __name__ == "__main__":
    main()
