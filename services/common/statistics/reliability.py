"""How far a page can be believed: the chance that its statements are known rather than guessed.

A statement that anyone could guess proves nothing, so each fact has the chance that a guess of it
holds. Facts of one aspect are related (anyone who knows one figure of a table knows the others), so
an aspect counts for three facts at most, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from services.common.statistics.interval import Interval, Kind

KAPPA = 2.0
MIDPOINTS = 2000
TRIVIAL_ABOVE = 0.5
LEVEL = 0.95
METHOD = "facts-posterior@1"
_DIGITS = 4


class Outcome(Enum):
    """The outcome of a claim, or of a fact that claims are about."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class FactClaim:
    """A claim about a fact: the fact, its aspect, and the chance that a guess of it holds.

    Raises ValueError for a chance outside [0, 1).
    """

    fact: str
    aspect: str
    guess: float
    outcome: Outcome

    def __post_init__(self) -> None:
        if not 0 <= self.guess < 1:
            raise ValueError(f"the chance that a guess of {self.fact} holds is not {self.guess}")


@dataclass(frozen=True)
class Reliability:
    """The posterior of the share of known statements; `mean` is None if none is decided.

    `worst` and `best` are the means if every undecided fact were refuted, or confirmed; None if no
    fact could decide anything.
    """

    mean: float | None
    interval: Interval
    worst: float | None
    best: float | None
    confirmed: int
    refuted: int
    undecided: int


def reliability(claims: Iterable[FactClaim]) -> Reliability:
    """Return how far a page can be believed, from its claims.

    A fact counts once: refuted if any claim on it is, else confirmed if one is. Raises ValueError
    if claims on one fact differ in its aspect or its guess.
    """
    facts = _facts(claims)
    mean, interval = _posterior(facts)
    counts = [sum(fact.outcome is outcome for fact in facts) for outcome in Outcome]
    return Reliability(
        mean,
        interval,
        _posterior(_decided(facts, Outcome.REFUTED))[0],
        _posterior(_decided(facts, Outcome.CONFIRMED))[0],
        *counts,
    )


def _facts(claims: Iterable[FactClaim]) -> list[FactClaim]:
    facts: dict[str, FactClaim] = {}
    for claim in claims:
        known = facts.setdefault(claim.fact, claim)
        if (known.aspect, known.guess) != (claim.aspect, claim.guess):
            raise ValueError(f"claims on {claim.fact} differ in its aspect or its guess")
        order = (Outcome.UNDECIDED, Outcome.CONFIRMED, Outcome.REFUTED)
        if order.index(claim.outcome) > order.index(known.outcome):
            facts[claim.fact] = claim
    return [facts[name] for name in sorted(facts)]


def _decided(facts: Sequence[FactClaim], outcome: Outcome) -> list[FactClaim]:
    return [
        FactClaim(one.fact, one.aspect, one.guess, outcome)
        if one.outcome is Outcome.UNDECIDED
        else one
        for one in facts
    ]


def _posterior(facts: Sequence[FactClaim]) -> tuple[float | None, Interval]:
    """Return the mean and the central interval, with a uniform prior, by midpoints of [0, 1]."""
    aspects: dict[str, tuple[list[float], int]] = {}
    for one in facts:
        guesses, refuted = aspects.get(one.aspect, ([], 0))
        if one.outcome is Outcome.REFUTED:
            aspects[one.aspect] = (guesses, refuted + 1)
        elif one.outcome is Outcome.CONFIRMED and one.guess <= TRIVIAL_ABOVE:
            aspects[one.aspect] = ([*guesses, one.guess], refuted)
    if not aspects:
        return None, Interval(0.0, 1.0, 0.0, Kind.BOUNDS, METHOD)
    grid = (np.arange(MIDPOINTS) + 0.5) / MIDPOINTS
    log = np.zeros(MIDPOINTS)
    for guesses, refuted in aspects.values():
        log += _log_likelihood(grid, sorted(guesses), refuted)
    density = np.exp(log - log.max())
    density /= density.sum()
    below = np.cumsum(density)
    tail = (1 - LEVEL) / 2
    low, high = (
        round(float(grid[int(np.searchsorted(below, p))]), _DIGITS) for p in (tail, 1 - tail)
    )
    mean = round(float((density * grid).sum()), _DIGITS)
    return mean, Interval(low, high, LEVEL, Kind.CREDIBLE, METHOD)


def _log_likelihood(
    grid: npt.NDArray[np.float64], guesses: Sequence[float], refuted: int
) -> npt.NDArray[np.float64]:
    """Return an aspect's part: confirmed facts by rising guesses, and a number of refuted ones.

    n facts together count for n (kappa + 1) / (kappa + n). The facts that are hardest to guess
    count first, each for what it adds to those before it: with equal weights, a confirmed easy fact
    could take more weight from a hard one than it brings. Terms that do not depend on p cancel, and
    are left out.
    """
    total = np.zeros_like(grid)
    before = 0.0
    for place, guess in enumerate(guesses, 1):
        weight = place * _scale(place + refuted)
        total += (weight - before) * np.log(grid + (1 - grid) * guess)
        before = weight
    if refuted:
        total += refuted * _scale(len(guesses) + refuted) * np.log1p(-grid)
    return total


def _scale(facts: int) -> float:
    return (KAPPA + 1) / (KAPPA + facts)
