"""The intervals cover at the level that they state, or refuse: the benchmark, with fewer draws.

Everything is seeded. Of 500 intervals at 95 % a standard error is 1 %, so 91 % is asked of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from benchmarks.coverage import documents, reports, times, values
from benchmarks.coverage.cells import COUNTS, LEVELS, Cell
from services.common.statistics.estimate import Estimate
from services.common.statistics.student import student

LEAST = {0.95: 0.93, 0.99: 0.98}


def check(cells: Iterator[Cell], noise: float = 0.0) -> dict[int, list[Cell]]:
    """Every cell covers or says how much it takes; returns them by count."""
    found: dict[int, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.count, []).append(cell)
        if cell.refused:
            assert cell.needs is not None, cell
            assert cell.needs > cell.count or cell.given > 0, cell
        else:
            assert cell.share is not None
            assert cell.share >= LEAST.get(cell.level, cell.level - 0.03) - noise, cell
    return found


def refused(cells: list[Cell]) -> bool:
    assert len({cell.refused for cell in cells}) == 1
    return cells[0].refused


@pytest.mark.slow
def test_medians_cover() -> None:
    found = check(values.of_values("median", 1000, np.random.default_rng(1)))
    assert [refused(found[count]) for count in COUNTS] == [True, True, False, False]
    # Student's, of a mean, is not an interval of a skewed population's median.
    assert min(cell.peer or 0.0 for cell in found[200]) < 0.1


def test_extremes_cover_at_their_own_level() -> None:
    check(values.of_few_restarts(2000, np.random.default_rng(2)))


@pytest.mark.slow
def test_means_cover() -> None:
    found = check(values.of_values("mean", 1000, np.random.default_rng(3)))
    assert [refused(found[count]) for count in COUNTS] == [True, True, True, False]


@pytest.mark.slow
def test_a_mean_of_fifty_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "COUNTS", (49, 50))
    found = check(values.of_values("mean", 1500, np.random.default_rng(4)))
    assert refused(found[49])
    assert not refused(found[50])
    # Student's alone would not do.
    assert min(cell.peer or 0.0 for cell in found[50] if cell.level == 0.95) < 0.92


def test_students_covers_what_is_normal() -> None:
    generator = np.random.default_rng(5)
    for count in COUNTS:
        drawn = generator.normal(3.0, 1.0, (1500, count))
        for level in LEVELS:
            held = [
                student(Estimate(float(mean), float(variance), count - 1), level).holds(3.0)
                for mean, variance in zip(
                    drawn.mean(axis=1), drawn.var(axis=1, ddof=1) / count, strict=True
                )
            ]
            assert sum(held) / len(held) >= LEAST[level]


def test_shares_cover() -> None:
    check(values.of_shares(1500, np.random.default_rng(6)))


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "peer"), [("heavy-tailed", 0.88), ("two modes", 1.0)])
def test_bits_per_byte_cover_where_todays_do_not(sizes: str, peer: float) -> None:
    cell = documents.sampled(
        sizes, False, 100, level=0.95, repetitions=500, generator=np.random.default_rng(7)
    )
    assert cell.share is not None
    assert cell.share >= 0.91
    assert cell.peer is not None
    assert cell.peer < peer


@pytest.mark.slow
@pytest.mark.parametrize("rates", ["skewed", "two modes"])
def test_differences_cover(rates: str) -> None:
    cell = documents.sampled(
        rates, True, 40, level=0.95, repetitions=500, generator=np.random.default_rng(8)
    )
    assert cell.share is not None
    assert cell.share >= 0.91


@pytest.mark.parametrize("difference", [False, True])
@pytest.mark.parametrize("count", [3, 5])
def test_few_spans_are_refused(count: int, difference: bool) -> None:
    cell = documents.sampled(
        "normal", difference, count, level=0.95, repetitions=5, generator=np.random.default_rng(9)
    )
    assert cell.refused
    assert cell.needs == (30 if difference else 50)


@pytest.mark.slow
@pytest.mark.parametrize("cells", [times.of_timings, times.of_ratios])
def test_times_cover(cells: Callable[[int, np.random.Generator], Iterator[Cell]]) -> None:
    found = check(cells(400, np.random.default_rng(10)))
    if cells is times.of_timings:
        # A little load is enough for Student's over restarts to miss.
        assert min(cell.peer or 0.0 for cell in found[24]) < 0.1


@pytest.mark.slow
def test_corpora_cover() -> None:
    check(documents.of_corpora(100, np.random.default_rng(11)), noise=0.04)


@pytest.mark.slow
def test_reports_cover() -> None:
    found = check(reports.of_reports(200, np.random.default_rng(12)), noise=0.03)
    operators = {
        count: [cell for cell in cells if cell.what == "reported outcomes"]
        for count, cells in found.items()
    }
    assert [refused(operators[count]) for count in COUNTS] == [True, False, False, False]
