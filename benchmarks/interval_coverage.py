"""How often the intervals of services/common/statistics contain the truth, in simulations.

Each interval is made from 3, 5, 20 and 200 values (documents, restarts, operators) of populations
that are normal, skewed, heavy-tailed and bimodal. If there are too few values for an interval, the
result says how many it needs. A row is the worst of the populations. The peer is the method that
the services use today, on the same data, or else the stated level.

    python -m benchmarks.interval_coverage
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.coverage import documents, reports, times, values
from benchmarks.coverage.cells import Cell


def simulate(repetitions: int) -> Iterator[Cell]:
    """Every simulation; simulations of documents, which take longest, have half the repetitions."""
    generator = np.random.default_rng(20)
    few = max(1, repetitions // 2)
    yield from values.of_values("median", repetitions, generator)
    yield from values.of_few_restarts(repetitions, generator)
    yield from values.of_values("mean", repetitions, generator)
    yield from values.of_shares(repetitions, generator)
    yield from documents.of_samples(False, few, generator)
    yield from documents.of_samples(True, few, generator)
    yield from documents.of_corpora(few, generator)
    yield from times.of_timings(repetitions, generator)
    yield from times.of_ratios(repetitions, generator)
    yield from reports.of_reports(repetitions, generator)


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
        "interval_coverage",
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
