from __future__ import annotations

import math

from services.corpus.catalog.published import SUBSETS


def test_the_table_is_whole_and_adds_up() -> None:
    assert len(SUBSETS) == 22
    # The printed totals: 1254.20 GiB; weights have two decimals each.
    assert math.isclose(sum(row.effective_gib for row in SUBSETS.values()), 1254.20, abs_tol=0.05)
    assert math.isclose(sum(row.weight for row in SUBSETS.values()), 1, abs_tol=0.0011)
    for row in SUBSETS.values():
        assert math.isclose(row.raw_gib * row.epochs, row.effective_gib, abs_tol=0.02)
        assert math.isclose(row.effective_gib / 1254.20, row.weight, abs_tol=0.0001)
