from __future__ import annotations

import math

import numpy as np
import pytest

from services.corpus.bpb.bootstrap import REPLICATES, Replicates, counts, interval


def replicates(documents: list[tuple[str, float, int]], seed: int = 0) -> Replicates:
    made = Replicates()
    for name, nats, size in documents:
        made.add(counts(name, seed), nats, size)
    return made


def test_counts_are_poisson_of_mean_one() -> None:
    drawn = np.concatenate([counts(f"document {number}") for number in range(400)])
    assert drawn.mean() == pytest.approx(1, abs=0.01)
    assert drawn.var() == pytest.approx(1, abs=0.02)
    shares = np.bincount(drawn, minlength=4)[:4] / len(drawn)
    expected = [math.exp(-1) / math.factorial(count) for count in range(4)]
    assert shares == pytest.approx(expected, abs=0.005)


def test_counts_depend_on_the_id_and_the_seed_alone() -> None:
    assert (counts("a") == counts("a")).all()
    assert abs(np.corrcoef(counts("a"), counts("b"))[0, 1]) < 0.15
    assert abs(np.corrcoef(counts("a"), counts("a", seed=1))[0, 1]) < 0.15
    assert list(counts("golden")[:12]) == GOLDEN


GOLDEN = [0, 0, 2, 2, 0, 0, 2, 1, 0, 1, 0, 1]


def test_the_interval_covers_the_figure_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        sizes = rng.integers(100, 5000, 60)
        nats = sizes * rng.gamma(9, 0.08, 60)  # bits per byte that vary by a third
        found = interval(
            replicates(
                [
                    (f"{trial}:{i}", n, int(b))
                    for i, (n, b) in enumerate(zip(nats, sizes, strict=True))
                ]
            ).bits_per_byte
        )
        assert found is not None
        hits += found.low <= 0.72 / math.log(2) <= found.high
    assert 0.9 <= hits / 300 <= 0.98


def test_documents_that_are_all_alike_leave_nothing_open() -> None:
    found = interval(replicates([(str(i), 80.0, 100) for i in range(20)]).bits_per_byte)
    assert found is not None
    assert found.low == pytest.approx(found.high)


def test_few_documents_have_no_interval() -> None:
    assert interval(replicates([(str(i), 1.0 + i, 10) for i in range(9)]).bits_per_byte) is None
    assert interval(replicates([(str(i), 0.0, 0) for i in range(12)]).bits_per_byte) is None


def test_parts_add_up_to_the_whole_in_any_order() -> None:
    documents = [(str(i), 1.1 * i, i) for i in range(30)]
    first, second = replicates(documents[20:]), replicates(documents[:20][::-1])
    first.merge(second)
    whole = replicates(documents).bits_per_byte
    assert len(whole) == REPLICATES
    assert (first.bits_per_byte == whole).all()
