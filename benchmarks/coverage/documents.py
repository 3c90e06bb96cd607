"""Bits per byte: of documents by a sample of their bytes, and of the corpus behind them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from benchmarks.coverage.cells import (
    COUNTS,
    LEVELS,
    Cell,
    Draw,
    Floats,
    Generator,
    Trial,
    covered,
    modes,
    peer_interval,
)
from services.common.statistics.interval import Interval
from services.common.statistics.samples import behind, levels
from services.common.statistics.samples.sampling import Key, Sampler
from services.common.statistics.samples.spans import NAT_UNITS

_DOCUMENTS = 500
_REFRESH = 25  # samples of a population before another one is drawn

SIZES: Mapping[str, Draw] = {
    "normal": lambda g, n: np.maximum(g.normal(5000, 1000, n), 300),
    "skewed": lambda g, n: 300 + g.exponential(5000, n),
    "heavy-tailed": lambda g, n: np.exp(g.normal(8, 2.3, n)),
    "two modes": lambda g, n: np.exp(modes(g, n, (7.5, 11.0), (0.9, 0.1)) + g.normal(0.0, 0.4, n)),
}
"""Bytes of documents."""

DIFFERENCES: Mapping[str, Draw] = {
    "normal": lambda g, n: g.normal(0.02, 0.05, n),
    "skewed": lambda g, n: g.exponential(0.05, n),
    "heavy-tailed": lambda g, n: 0.02 + 0.05 * g.standard_t(3, n),
    "two modes": lambda g, n: modes(g, n, (0.0, 0.1), (0.75, 0.25)) + g.normal(0.0, 0.02, n),
}
"""The same of two models' nats a byte."""


def _level_rates(generator: Generator, sizes: Floats, spread: float) -> Floats:
    """Nats a byte that spread by a quarter, and fall with the size; `spread` is that of its log."""
    fall = 1 - 0.1 * np.clip((np.log(np.maximum(sizes, 1)) - 8) / max(spread, 0.1), -3, 3)
    rates: Floats = fall * np.exp(generator.normal(-(0.25**2) / 2, 0.25, len(sizes)))
    return rates


def percentile(nats: Floats, sizes: Floats, level: float, generator: Generator) -> Interval:
    """Poisson bootstrap of bits per byte over documents: the services' before they drew bytes."""
    times = generator.poisson(1.0, (300, len(nats)))
    sums = times @ sizes
    replicates = (times @ nats)[sums > 0] / sums[sums > 0] / math.log(2)
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return peer_interval(float(low), float(high), level)


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
