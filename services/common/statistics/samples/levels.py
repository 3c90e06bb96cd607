"""Bits per byte of a selection, and differences between two models in it, from a sample by bytes.

The estimate is of what scoring all of these documents would give. Drawing a sample reads their
sizes, so only the nats are estimated. In a stratum, spans that were certain to be drawn count with
their own nats, and the other bytes with the mean rate of the spans drawn by chance. A subset's
strata are weighted by their bytes, which are known too, so a sample that missed a rare script is
not biased by that.

A difference is estimated like a level, from the differences of the spans' nats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.common.statistics.estimate import Estimate, weighted_sum
from services.common.statistics.interval import Interval, TooFewError
from services.common.statistics.samples.sampling import Drawn, Key, Span, Stratum
from services.common.statistics.samples.spans import NAT_UNITS
from services.common.statistics.student import quantile, skewed

LEAST_FOR_LEVEL = 50
LEAST_FOR_DIFFERENCE = 30
"""Least number of spans drawn by chance: fewer make an example rather than a measurement.

Measured with the likelihoods of neural models (benchmarks/bpb/coverage.py): for single subsets,
which mix texts that a model predicts very differently, fewer spans do not cover.
"""

_BITS = 1 / (NAT_UNITS * math.log(2))

Nats = Mapping[Key, int | None]
"""For each drawn span, its nats in 65,536ths, or None if its document is lost: one of the models'
tokenizers does not reproduce it."""


@dataclass(frozen=True)
class SubsetLevel:
    """A subset's bits per byte of what is not lost; `rate` is None if everything drawn is lost.

    `text_bytes` estimates the bytes that are not lost, from `kept`, their share. `spans` were
    scored, of which `uncertain` were drawn by chance. `certain` is the share of bytes that were
    certain to be drawn, and `complete` says whether all were. `spread_known` says whether the rate
    is exact, or has at least two spans to estimate its spread.
    """

    rate: Estimate | None
    kept: Estimate
    text_bytes: float
    spans: int
    uncertain: int
    certain: float
    complete: bool
    spread_known: bool


@dataclass(frozen=True)
class Average:
    """A weighted average of subsets.

    `weight` is the share of all the weights that belongs to the subsets here. `spread_unknown` are
    the subsets without two spans to estimate a spread, with the number of spans they have.
    """

    estimate: Estimate
    weight: float
    spans: int
    uncertain: int
    certain: float
    spread_unknown: tuple[tuple[str, int], ...] = ()

    @property
    def exact(self) -> bool:
        """Whether everything was scored."""
        return not self.uncertain and not self.spread_unknown


def differences(model: Nats, against: Nats) -> dict[Key, int | None]:
    """Return the nats of `model` less those of `against`; a span is lost if it is for either.

    Raises ValueError if the spans differ, naming one that is not in both.
    """
    if model.keys() != against.keys():
        document, number = min(model.keys() ^ against.keys())
        raise ValueError(f"span {number} of document {document} was scored for one model only")
    found: dict[Key, int | None] = {}
    for key, nats in model.items():
        other = against[key]
        found[key] = None if nats is None or other is None else nats - other
    return found


def subset_level(drawn: Drawn, nats: Nats) -> SubsetLevel:
    """Estimate a subset's bits per byte; the result does not depend on the order of `nats`.

    Raises ValueError if a drawn span has no nats, naming it.
    """
    parts = _collapsed([_stratum_level(stratum, nats) for stratum in drawn.strata])
    whole = drawn.text_bytes
    kept = weighted_sum([(part.whole / whole, part.kept) for part in parts])
    left = math.fsum(part.left for part in parts)
    rates = [(part.left / left, part.rate) for part in parts if part.rate is not None]
    return SubsetLevel(
        weighted_sum(rates) if rates else None,
        kept,
        left,
        sum(part.spans for part in parts),
        sum(part.uncertain for part in parts),
        math.fsum(part.sure for part in parts) / whole,
        drawn.complete,
        all(part.spread_known for part in parts),
    )


def whole(subsets: Mapping[str, SubsetLevel]) -> Average:
    """Return the average over all bytes that are not lost."""
    return average(subsets, {name: one.text_bytes for name, one in subsets.items()})


def macro(subsets: Mapping[str, SubsetLevel]) -> Average:
    """Return the average over the subsets, each with the same weight."""
    return average(subsets, dict.fromkeys(subsets, 1.0))


def average(subsets: Mapping[str, SubsetLevel], weights: Mapping[str, float]) -> Average:
    """Return the average over the subsets with a rate and a weight, by those weights.

    Raises ValueError if there are none.
    """
    parts = [
        (name, weights[name], one, one.rate)
        for name, one in sorted(subsets.items())
        if one.rate is not None and weights.get(name)
    ]
    present = math.fsum(weight for _, weight, _, _ in parts)
    if not present:
        raise ValueError("no subset has both a weight and a text that was scored")
    return Average(
        weighted_sum([(weight / present, rate) for _, weight, _, rate in parts]),
        present / math.fsum(weights.values()),
        sum(one.spans for _, _, one, _ in parts),
        sum(one.uncertain for _, _, one, _ in parts),
        math.fsum(weight / present * one.certain for _, weight, one, _ in parts),
        tuple((name, one.uncertain) for name, _, one, _ in parts if not one.spread_known),
    )


def level_interval(average: Average, level: float, units: str = "spans") -> Interval | None:
    """Return the interval of a level, which is not below 0; None if it is exact.

    The interval allows for skewness: rates have a longer upper tail. Raises TooFewError, with
    `units` as the noun, for fewer than 50 spans drawn by chance: a span may be a whole document.
    """
    if average.exact:
        return None
    _require(average, LEAST_FOR_LEVEL, units)
    found = skewed(average.estimate, level, average.uncertain)
    return replace(found, low=max(0.0, found.low or 0.0))


def difference_interval(average: Average, level: float, units: str = "spans") -> Interval | None:
    """Return the interval of a difference, which allows for skewness; None if it is exact.

    Two models differ much on few spans and little on most. Raises TooFewError, with `units` as the
    noun, for fewer than 30 spans drawn by chance.
    """
    if average.exact:
        return None
    _require(average, LEAST_FOR_DIFFERENCE, units)
    return skewed(average.estimate, level, average.uncertain)


def smallest_detectable(average: Average, level: float = 0.95, power: float = 0.8) -> float:
    """Return the least difference that an interval at `level` detects with probability `power`."""
    freedom = average.estimate.freedom
    reach = quantile(freedom, level) + quantile(freedom, 2 * power - 1)
    return reach * average.estimate.error


def spans_for(average: Average, wanted: float) -> int:
    """Return how many spans would make `wanted` the smallest detectable difference."""
    return math.ceil(average.spans * (smallest_detectable(average) / wanted) ** 2)


def _require(average: Average, least: int, units: str) -> None:
    for name, count in average.spread_unknown:
        raise TooFewError(f"{units} of subset {name!r} that the tokenizers can reproduce", count, 2)
    if average.uncertain < least:
        raise TooFewError(f"{units} drawn by chance", average.uncertain, least)


def _nats(nats: Nats, span: Span) -> int | None:
    if span.key not in nats:
        raise ValueError(f"span {span.number} of document {span.document} was not scored")
    return nats[span.key]


@dataclass(frozen=True)
class _StratumLevel:
    """A subset's text of one kind: like a subset's level, but with bytes instead of shares.

    Of `whole` bytes, `left` are not lost, and `sure` were certain to be drawn. `alone` is the span
    drawn by chance, with its rate, if exactly one such span is not lost.
    """

    rate: Estimate | None
    kept: Estimate
    whole: int
    left: float
    sure: int
    spans: int
    uncertain: int
    complete: bool
    alone: tuple[float, float] | None = None

    @property
    def spread_known(self) -> bool:
        return self.complete or self.rate is None or self.uncertain >= 2 or self.rate.variance > 0


def _stratum_level(stratum: Stratum, nats: Nats) -> _StratumLevel:
    scored = [(span, _nats(nats, span)) for span in stratum.spans]
    whole = stratum.text_bytes
    sure = [(span, found) for span, found in scored if stratum.certain(span)]
    by_chance = [(span, found) for span, found in scored if not stratum.certain(span)]
    sure_bytes = sum(span.text_bytes for span, _ in sure)
    sure_kept = sum(span.text_bytes for span, found in sure if found is not None)
    kept = _estimate(
        stratum,
        sure_kept,
        whole - sure_bytes,
        whole,
        [(s, float(f is not None)) for s, f in by_chance],
    )
    rates = [
        (span, found / span.text_bytes * _BITS) for span, found in by_chance if found is not None
    ]
    unseen = (whole - sure_bytes) * len(rates) / len(by_chance) if by_chance else 0.0
    left = sure_kept + unseen
    rate = None
    if left:
        sure_bits = sum(found for _, found in sure if found is not None) * _BITS
        rate = _estimate(stratum, sure_bits, unseen, left, rates)
    alone = None
    if len(rates) == 1:
        span, value = rates[0]
        alone = value, (unseen / left) ** 2 * (1 - stratum.chance(span))
    return _StratumLevel(
        rate,
        kept,
        whole,
        left,
        sure_bytes,
        len(scored),
        len(rates),
        stratum.threshold is None,
        alone,
    )


def _collapsed(parts: list[_StratumLevel]) -> list[_StratumLevel]:
    """Give a stratum with a single span left a variance: its distance from the other strata.

    Strata differ, so the variance is rather too large (the estimator of collapsed strata: Cochran
    1977, 5A.12).
    """
    found = []
    for part in parts:
        others = [one for one in parts if one is not part and one.rate is not None and one.left]
        if part.alone is None or part.rate is None or part.complete or not others:
            found.append(part)
            continue
        left = math.fsum(one.left for one in others)
        mean = math.fsum(one.left / left * one.rate.value for one in others if one.rate)
        value, scale = part.alone
        variance = scale * (value - mean) ** 2
        found.append(replace(part, rate=replace(part.rate, variance=variance, freedom=1.0)))
    return found


def _estimate(
    stratum: Stratum,
    sure: float,
    unseen: float,
    whole: float,
    rates: list[tuple[Span, float]],
) -> Estimate:
    """Return (sure + unseen * mean of the rates) / whole, with the variance of that mean.

    If few spans are not drawn, their chances, which scale the variance, are rough themselves: about
    like a variance with twice as many degrees and two more.
    """
    count = len(rates)
    if not count:
        return Estimate(sure / whole)
    mean = math.fsum(rate for _, rate in rates) / count
    value = (sure + unseen * mean) / whole
    if count < 2:
        return Estimate(value)
    part = unseen / whole
    left = [(1 - stratum.chance(span), rate - mean) for span, rate in rates]
    squares = math.fsum(weight * off**2 for weight, off in left)
    cubes = math.fsum(weight * off**3 for weight, off in left)
    cumulant = part**3 * cubes / (count * (count - 1) * (count - 2)) if count > 2 else 0.0
    not_drawn = stratum.spans_in_all - len(stratum.spans)
    freedom = 1 / (1 / (count - 1) + 1 / (2 * (not_drawn + 1)))
    return Estimate(value, part**2 * squares / (count * (count - 1)), freedom, cumulant)
