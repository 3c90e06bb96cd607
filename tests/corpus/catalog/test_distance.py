"""Total-variation distance of shares from published weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.catalog.counts import Count
from services.corpus.catalog.distance import total_variation

COUNTS = st.dictionaries(
    st.sampled_from("abcde"),
    st.lists(st.integers(0, 1000), max_size=20).map(
        lambda sizes: Count(len(sizes), sum(sizes), sum(size**2 for size in sizes))
    ),
)
WEIGHTS = st.dictionaries(st.sampled_from("abcde"), st.floats(0.01, 10), min_size=1)


@pytest.mark.slow
@given(COUNTS, WEIGHTS)
def test_it_is_a_distance_inside_its_interval(
    counts: dict[str, Count], weights: dict[str, float]
) -> None:
    found = total_variation(counts, weights)
    if not sum(count.text_bytes for count in counts.values()):
        assert found is None
        return
    assert found is not None
    assert 0 <= found.low <= found.value <= found.high <= 1 + 1e-12
    assert found == total_variation(dict(reversed(counts.items())), weights)
    doubled = {name: 2 * weight for name, weight in weights.items()}
    again = total_variation(counts, doubled)
    assert again is not None
    assert again.value == pytest.approx(found.value)


@given(COUNTS)
def test_its_own_shares_are_at_no_distance(counts: dict[str, Count]) -> None:
    own = {name: float(count.text_bytes) for name, count in counts.items() if count.text_bytes}
    found = total_variation(counts, own)
    assert found is None or found.value == pytest.approx(0, abs=1e-12)


def test_nothing_in_common_is_as_far_as_can_be() -> None:
    found = total_variation({"a": Count(10, 100, 1000)}, {"b": 1.0})
    assert found is not None
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


@pytest.mark.slow
def test_the_interval_covers_the_truth_at_least_as_often_as_it_says() -> None:
    """Samples of a corpus whose distance is known; most of a subset's bytes in a few documents."""
    random = np.random.default_rng(1)
    shares, weights = np.array([0.5, 0.3, 0.2]), {"a": 0.4, "b": 0.3, "c": 0.3}
    means = np.array([100.0, 1000.0, 3000.0])
    truth = shares * means / (shares * means).sum()
    distance = 0.5 * np.abs(truth - np.array(list(weights.values()))).sum()
    held = 0
    for _ in range(200):
        subset = random.choice(3, 400, p=shares)
        sizes = (random.exponential(means[subset]) + 0.5).astype(int)
        counts = {
            name: Count(
                int((subset == number).sum()),
                int(sizes[subset == number].sum()),
                int((sizes[subset == number] ** 2).sum()),
            )
            for number, name in enumerate(weights)
        }
        found = total_variation(counts, weights)
        assert found is not None
        held += found.low <= distance <= found.high
    assert held >= 190
