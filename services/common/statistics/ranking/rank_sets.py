"""Places in a list that a caller named, which hold for all of its artifacts together.

A step-down procedure finds the pairs that differ. If the errors are known, it uses the largest t of
all pairs (Mogstad, Romano, Shaikh, Wilhelm, "Inference for ranks", 2024), with the critical value
of a range of normal values (Tukey, Kramer). If errors come from a few restarts, it applies Holm's
levels to each pair's square-and-add interval.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from services.common.statistics.estimate import Estimate
from services.common.statistics.ranking import normal_range
from services.common.statistics.ranking.separation import places_by
from services.common.statistics.student import quantile

Name = TypeVar("Name")
Pair = tuple[str, str]


def rank_sets(estimates: Mapping[str, Estimate], level: float = 0.95) -> dict[str, tuple[int, int]]:
    """Return the best and the worst place of each, which all hold together with `level`.

    The estimates are independent, and more is better. An error of 0 is exact.
    """
    return places_by(list(estimates), wins(estimates, level))


def wins(estimates: Mapping[str, Estimate], level: float = 0.95) -> set[Pair]:
    """Return the pairs of which the first is better, of these estimates together with `level`."""
    pairs = list(itertools.combinations(estimates, 2))
    if all(math.isinf(one.freedom) for one in estimates.values()):
        apart = _by_largest(estimates, pairs, level)
    else:
        apart = holm(
            pairs, lambda pair, at: separate(estimates[pair[0]], estimates[pair[1]], at), level
        )
    return {
        (one, two) if estimates[one].value > estimates[two].value else (two, one)
        for one, two in apart
    }


def separate(one: Estimate, two: Estimate, level: float) -> bool:
    """Whether the square-and-add interval of the difference, at `level`, leaves 0 out.

    Its halves are those of the two Student's intervals at `level`, added as squares.
    """
    halves = [quantile(each.freedom, level) * each.error for each in (one, two)]
    return abs(one.value - two.value) > math.hypot(*halves)


def holm(
    hypotheses: Iterable[Name], rejected_at: Callable[[Name, float], bool], level: float
) -> set[Name]:
    """Return the hypotheses that are rejected, no true one among them with `level` (Holm 1979).

    `rejected_at` says whether one is rejected by its own interval at a level; what is at one level
    must be at every lower one.
    """
    left = list(hypotheses)
    rejected: set[Name] = set()
    while left:
        each = 1 - (1 - level) / len(left)
        more = {one for one in left if rejected_at(one, each)}
        if not more:
            break
        rejected |= more
        left = [one for one in left if one not in more]
    return rejected


def _by_largest(estimates: Mapping[str, Estimate], pairs: list[Pair], level: float) -> set[Pair]:
    """Step down: pairs that differ are set aside, and the rest are judged by what is left."""
    scores = {}
    for one, two in pairs:
        lead = abs(estimates[one].value - estimates[two].value)
        spread = math.hypot(estimates[one].error, estimates[two].error)
        scores[one, two] = lead / spread if spread else math.inf if lead else 0.0
    apart: set[Pair] = set()
    while len(apart) < len(pairs):
        # Pairs that hang together are one range; ranges that do not are independent.
        groups = _groups(list(estimates), [pair for pair in pairs if pair not in apart])
        reach = normal_range.critical(groups, level) / math.sqrt(2)
        more = {pair for pair, score in scores.items() if score > reach} - apart
        if not more:
            break
        apart |= more
    return apart


def _groups(names: list[str], pairs: list[Pair]) -> tuple[int, ...]:
    """Return the sizes of the groups that pairs connect, of two or more."""
    groups = {name: {name} for name in names}
    for one, two in pairs:
        if groups[one] is not groups[two]:
            groups[one] |= groups[two]
            for name in groups[two]:
                groups[name] = groups[one]
    sizes = {id(group): len(group) for group in groups.values()}
    return tuple(sorted(size for size in sizes.values() if size > 1))
