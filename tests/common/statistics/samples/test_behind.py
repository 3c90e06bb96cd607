from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.interval import TooFewError
from services.common.statistics.samples import behind, levels
from services.common.statistics.samples.behind import Scored
from services.common.statistics.samples.sampling import Key, Sampler
from services.common.statistics.samples.spans import NAT_UNITS

BITS = 1 / (NAT_UNITS * math.log(2))
DOCUMENTS = st.lists(st.tuples(st.integers(1, 10**6), st.integers(-(10**9), 10**12)), max_size=40)


def scored(documents: list[tuple[int, int]]) -> Scored:
    found = Scored()
    for place, (size, nats) in enumerate(documents):
        found.add(str(place), size, nats)
    return found


@given(DOCUMENTS, st.randoms())
def test_parts_merge_into_the_whole(
    documents: list[tuple[int, int]], generator: random.Random
) -> None:
    parts = [Scored() for _ in range(3)]
    for place, (size, nats) in generator.sample(list(enumerate(documents)), len(documents)):
        generator.choice(parts).add(str(place), size, nats)
    merged = Scored()
    for part in parts:
        merged.merge(part)
    whole = scored(documents)
    assert merged.documents == len(documents)
    assert merged.effective_documents == whole.effective_documents
    if len(documents) > 1:
        assert merged.behind() == whole.behind()


def hc2(sizes: np.ndarray, nats: np.ndarray) -> tuple[float, float]:
    """The variance and its degrees, spelled out with the residual maker's matrix."""
    w = sizes / sizes.sum()
    rates = nats / sizes
    count = len(w)
    maker = np.eye(count) - np.outer(np.ones(count), w)  # residuals of rates
    residuals = maker @ rates
    # The rates' errors have one variance each, so that of a residual is a row's squares.
    spread = (maker**2).sum(axis=1)
    a = w**2 / spread
    covariance = maker @ maker.T
    mean = float((a * spread).sum())
    twice = float((np.outer(a, a) * covariance**2).sum())
    return float((a * residuals**2).sum()), mean**2 / twice


def test_against_the_definition() -> None:
    generator = np.random.default_rng(5)
    sizes = np.rint(np.exp(generator.normal(8, 1, 60))).astype(int)
    nats = np.rint(sizes * generator.uniform(0.5, 2, 60) * NAT_UNITS).astype(int)
    found = scored([(int(b), int(x)) for b, x in zip(sizes, nats, strict=True)]).behind()
    variance, freedom = hc2(sizes, nats * BITS)
    assert found.value == pytest.approx(nats.sum() / sizes.sum() * BITS)
    assert found.variance == pytest.approx(variance, rel=1e-9)
    assert found.freedom == pytest.approx(freedom, rel=1e-9)


@pytest.mark.slow
def test_sums_stand_in_for_small_documents() -> None:
    """Beyond the largest 1,024 only sums are kept; the variance is hardly larger for it."""
    generator = np.random.default_rng(6)
    sizes = np.rint(np.exp(generator.normal(8, 1, 3000))).astype(int)
    nats = np.rint(sizes * generator.uniform(0.5, 2, 3000) * NAT_UNITS).astype(int)
    found = scored([(int(b), int(x)) for b, x in zip(sizes, nats, strict=True)]).behind()
    variance, freedom = hc2(sizes, nats * BITS)
    assert variance <= found.variance <= 1.002 * variance
    assert 0.98 * freedom <= found.freedom <= freedom


def test_equal_documents_are_students() -> None:
    values = [int(NAT_UNITS * (2 + math.sin(place))) * 1000 for place in range(40)]
    found = scored([(1000, value) for value in values]).behind()
    rates = np.array(values) / 1000 * BITS
    assert found.variance == pytest.approx(float(rates.var(ddof=1)) / 40)
    assert found.freedom == pytest.approx(39)


def test_how_much_it_takes() -> None:
    few = scored([(1000, 5 * place) for place in range(24)] + [(1, 1)] * 50)
    assert few.effective_documents < 25
    with pytest.raises(TooFewError, match="needs 25 documents of equal size, has 24"):
        few.level_interval(0.95)
    with pytest.raises(TooFewError, match="needs 250 documents of equal size"):
        few.difference_interval(0.95)
    many = scored([(1000, 5_000_000 + 1000 * place) for place in range(250)])
    level, difference = many.level_interval(0.95), many.difference_interval(0.95)
    assert level.holds(many.bits_per_byte)
    assert difference.holds(many.bits_per_byte)
    assert level.method == difference.method == "hc2-t@1"
    assert level.effective_n == pytest.approx(250)


def test_a_level_of_nothing_has_no_logarithm() -> None:
    flat = scored([(1000, (-1) ** place) for place in range(30)])
    interval = flat.level_interval(0.95)
    assert interval.low == -(interval.high or 0.0)


def test_a_document_has_text() -> None:
    with pytest.raises(ValueError, match="document x has 0 bytes"):
        Scored().add("x", 0, 0)


def test_a_sample_of_documents_adds_their_own_sampling() -> None:
    sampler = Sampler(50)
    generator = random.Random(2)
    nats: dict[Key, int | None] = {}
    for place in range(600):
        size = generator.randint(1000, 5000)
        sampler.add(str(place), "ab"[place % 2], [size])
        nats[str(place), 0] = round(size * generator.uniform(0.8, 1.2) * NAT_UNITS)
    parts = sampler.draw()
    average = levels.whole({name: levels.subset_level(part, nats) for name, part in parts.items()})
    found = behind.behind_sample(parts, nats, average)
    assert found.value == average.estimate.value
    # Equal chances of 600 documents, whose rates have variance 0.4^2 / 12 nats^2.
    extra = found.variance - average.estimate.variance
    squares = sum(part.powers[1] for part in parts.values())
    whole = sum(part.powers[0] for part in parts.values())
    assert extra == pytest.approx(0.4**2 / 12 / math.log(2) ** 2 * squares / whole**2, rel=0.35)
    assert found.freedom > average.estimate.freedom
    interval = behind.sample_level_interval(parts, nats, average, 0.95)
    within = levels.level_interval(average, 0.95)
    assert within is not None
    assert interval.holds(within.low or 0.0)
    assert behind.sample_difference_interval(
        parts, nats, average, 0.95
    ).effective_n == pytest.approx(whole**2 / squares)


def test_a_sample_of_spans_tells_of_no_corpus() -> None:
    sampler = Sampler(20)
    for place in range(100):
        sampler.add(str(place), "a", [4096, 100])
    parts = sampler.draw()
    nats: dict[Key, int | None] = {span.key: 5 for span in parts["a"].spans}
    average = levels.whole({"a": levels.subset_level(parts["a"], nats)})
    with pytest.raises(ValueError, match="whole documents"):
        behind.sample_level_interval(parts, nats, average, 0.95)
