"""Places in a list that a caller named; they hold for all of its artifacts together.

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
    """Return the best and the worst place of each artifact; all hold together with `level`.

    The estimates are independent, and more is better. An error of 0 means exact.
    """
    return places_by(list(estimates), wins(estimates, level))


def wins(estimates: Mapping[str, Estimate], level: float = 0.95) -> set[Pair]:
    """Return the pairs whose first estimate is better; all hold together with `level`."""
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
    """Whether the square-and-add interval of the difference, at `level`, excludes 0.

    Each half is the root of the sum of squares of the halves of two Student's intervals at `level`.
    """
    halves = [quantile(each.freedom, level) * each.error for each in (one, two)]
    return abs(one.value - two.value) > math.hypot(*halves)


def holm(
    hypotheses: Iterable[Name], rejected_at: Callable[[Name, float], bool], level: float
) -> set[Name]:
    """Return the rejected hypotheses; with `level`, none of them is true (Holm 1979).

    `rejected_at` says whether a hypothesis is rejected by its own interval at a level; a hypothesis
    rejected at one level must be rejected at every lower level.
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
    """Step down: set aside the pairs that differ, and judge the rest by the pairs that remain."""
    scores = {}
    for one, two in pairs:
        lead = abs(estimates[one].value - estimates[two].value)
        spread = math.hypot(estimates[one].error, estimates[two].error)
        scores[one, two] = lead / spread if spread else math.inf if lead else 0.0
    apart: set[Pair] = set()
    while len(apart) < len(pairs):
        # Connected pairs form one range; unconnected ranges are independent.
        groups = _groups(list(estimates), [pair for pair in pairs if pair not in apart])
        reach = normal_range.critical(groups, level) / math.sqrt(2)
        more = {pair for pair, score in scores.items() if score > reach} - apart
        if not more:
            break
        apart |= more
    return apart


def _groups(names: list[str], pairs: list[Pair]) -> tuple[int, ...]:
    """Return the sizes of the groups, of two or more, that pairs connect."""
    groups = {name: {name} for name in names}
    for one, two in pairs:
        if groups[one] is not groups[two]:
            groups[one] |= groups[two]
            for name in groups[two]:
                groups[name] = groups[one]
    sizes = {id(group): len(group) for group in groups.values()}
    return tuple(sorted(size for size in sizes.values() if size > 1))
