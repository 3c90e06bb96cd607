from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.estimate import Estimate
from services.common.statistics.interval import TooFewError
from services.common.statistics.samples import levels
from services.common.statistics.samples.sampling import Allocation, Drawn, Key, Sampler
from services.common.statistics.samples.spans import NAT_UNITS
from services.common.statistics.student import student

BITS = 1 / (NAT_UNITS * math.log(2))
Population = list[tuple[str, int, int]]  # subset, bytes, nats
POPULATIONS: st.SearchStrategy[Population] = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 5000), st.integers(-(10**6), 10**9)),
    min_size=1,
    max_size=60,
)


def sample(
    population: Population,
    spans: int,
    allocation: Allocation = Allocation.BYTES,
    kinds: Callable[[int], list[int]] | None = None,
) -> tuple[dict[str, Drawn], dict[Key, int | None]]:
    sampler = Sampler(spans)
    for place, (subset, size, _) in enumerate(population):
        sampler.add(str(place), subset, [size], kinds(place) if kinds else ())
    parts = sampler.draw(allocation)
    nats: dict[Key, int | None] = {
        span.key: population[int(span.document)][2]
        for part in parts.values()
        for span in part.spans
    }
    return parts, nats


def subsets(
    parts: Mapping[str, Drawn], nats: Mapping[Key, int | None]
) -> dict[str, levels.SubsetLevel]:
    return {name: levels.subset_level(part, nats) for name, part in parts.items()}


def bits(population: Population, subset: str | None = None) -> float:
    kept = [one for one in population if subset in (None, one[0])]
    return sum(nats for _, _, nats in kept) / sum(size for _, size, _ in kept) * BITS


@given(POPULATIONS, st.sampled_from(Allocation))
def test_all_taken_is_exact(population: Population, allocation: Allocation) -> None:
    found = subsets(*sample(population, len(population), allocation, lambda place: [place % 3]))
    whole, macro = levels.whole(found), levels.macro(found)
    assert whole.estimate.value == pytest.approx(bits(population), rel=1e-12, abs=1e-9)
    each = [bits(population, name) for name in found]
    assert macro.estimate.value == pytest.approx(sum(each) / len(each), rel=1e-9, abs=1e-9)
    for average in (whole, macro):
        assert average.exact
        assert average.estimate.variance == 0
        assert average.certain == pytest.approx(1)
        assert levels.level_interval(average, 0.95) is None
        assert levels.difference_interval(average, 0.95) is None


@given(POPULATIONS, st.integers(2, 40), st.integers(1, 10**6))
def test_one_rate_has_no_spread(population: Population, spans: int, rate: int) -> None:
    same = [(subset, size, rate * size) for subset, size, _ in population]
    for average in (levels.whole, levels.macro):
        found = average(subsets(*sample(same, spans))).estimate
        assert found.value == pytest.approx(rate * BITS, rel=1e-12)
        assert found.error <= 1e-12 * rate * BITS


@given(POPULATIONS, st.integers(2, 40))
def test_the_order_of_the_nats_changes_no_bit(population: Population, spans: int) -> None:
    parts, nats = sample(population, spans)
    assert subsets(parts, nats) == subsets(parts, dict(reversed(nats.items())))


@given(POPULATIONS, st.integers(30, 50))
def test_swapping_models_negates(population: Population, spans: int) -> None:
    parts, nats = sample(population, spans)
    others: dict[Key, int | None] = {key: 3 * place for place, key in enumerate(sorted(nats))}
    one, other = (
        levels.whole(subsets(parts, levels.differences(*pair)))
        for pair in ((nats, others), (others, nats))
    )
    assert one.estimate.value == -other.estimate.value
    if one.uncertain >= levels.LEAST_FOR_DIFFERENCE:
        left, right = (levels.difference_interval(average, 0.95) for average in (one, other))
        assert left is not None
        assert right is not None
        assert left.low == pytest.approx(-(right.high or 0.0))
        assert left.high == pytest.approx(-(right.low or 0.0))


def test_identical_models_differ_by_nothing() -> None:
    parts, nats = sample([("a", 100, 7 * place) for place in range(100)], 40)
    found = levels.whole(subsets(parts, levels.differences(nats, nats)))
    assert found.estimate == Estimate(0.0, 0.0, found.estimate.freedom)
    interval = levels.difference_interval(found, 0.95)
    assert interval is not None
    assert (interval.low, interval.high) == (0.0, 0.0)


def test_equal_sizes_are_students() -> None:
    population = [("a", 100, 10_000_000 + 1000 * place * place) for place in range(1000)]
    parts, nats = sample(population, 60)
    found = levels.whole(subsets(parts, nats))
    values = [population[int(document)][2] / 100 * BITS for document, _ in nats]
    mean = math.fsum(values) / 60
    variance = math.fsum((value - mean) ** 2 for value in values) / 59 / 60
    threshold = parts["a"].strata[0].threshold
    assert threshold is not None
    left = 1 - threshold.draw / 2**64  # that much of the population was not drawn
    assert found.estimate.value == pytest.approx(mean)
    assert found.estimate.variance == pytest.approx(variance * left)
    # The share that was not drawn is itself known from 940 spans.
    assert found.estimate.freedom == pytest.approx(1 / (1 / 59 + 1 / (2 * 941)))
    interval = levels.level_interval(found, 0.95)
    expected = student(Estimate(mean, variance * left, found.estimate.freedom), 0.95)
    assert interval is not None
    # These rates have no tail below, and one above.
    assert interval.low == pytest.approx(expected.low)
    assert (expected.high or 0.0) < (interval.high or 0.0) < 1.05 * (expected.high or 0.0)
    assert interval.effective_n == 60


def test_an_equal_sample_estimates_this_corpus() -> None:
    """Plain sums of an equal sample would give 2 bits a byte here, the mean of the subsets."""
    population = [("large", 4000, 4000 * NAT_UNITS)] * 300 + [("small", 400, 1200 * NAT_UNITS)] * 30
    found = subsets(*sample(population, 40, Allocation.EQUAL))
    assert levels.whole(found).estimate.value == pytest.approx(bits(population), rel=1e-9)
    assert levels.macro(found).estimate.value == pytest.approx(2 / math.log(2))


def test_weights_are_of_those_present() -> None:
    found = subsets(*sample([("a", 10, 10), ("b", 10, 30)] * 5, 20))
    average = levels.average(found, {"a": 0.1, "b": 0.3, "c": 0.6})
    assert average.weight == pytest.approx(0.4)
    assert average.estimate.value == pytest.approx((0.25 * 1 + 0.75 * 3) * BITS)
    assert levels.average(found, {"b": 2.0}).weight == 1
    with pytest.raises(ValueError, match="no subset has both"):
        levels.average(found, {"c": 1.0})


def test_few_spans_are_an_example() -> None:
    for spans, level, difference in ((29, False, False), (30, False, True), (50, True, True)):
        population = [("a", 100, 7 * place) for place in range(1000)]
        average = levels.whole(subsets(*sample(population, spans)))
        for allowed, interval, need in (
            (level, levels.level_interval, 50),
            (difference, levels.difference_interval, 30),
        ):
            if allowed:
                assert interval(average, 0.95) is not None
            else:
                message = f"^needs {need} spans drawn by chance, has {spans}$"
                with pytest.raises(TooFewError, match=message):
                    interval(average, 0.95)


def test_a_level_is_not_below_zero() -> None:
    population = [("a", 100, 10**9 * (place % 50 == 0)) for place in range(1000)]
    average = levels.whole(subsets(*sample(population, 10)))
    spread = levels.Average(Estimate(0.1, 1.0, 49), 1.0, 50, 50, 0.0)
    interval = levels.level_interval(spread, 0.95)
    assert interval is not None
    assert interval.low == 0
    assert average.estimate.value >= 0


def test_lost_documents_are_left_out() -> None:
    """A third of the bytes is lost, at another rate; what is left is estimated, and how much."""
    population = [
        ("a", 100, 10_000_000 + 1000 * place if place % 3 else 90_000_000) for place in range(3000)
    ]
    parts, nats = sample(population, 300)
    for key in nats:
        if int(key[0]) % 3 == 0:
            nats[key] = None
    found = levels.subset_level(parts["a"], nats)
    kept = [one for place, one in enumerate(population) if place % 3]
    assert found.rate is not None
    assert found.kept.value == pytest.approx(2 / 3, abs=4 * found.kept.error)
    assert found.text_bytes == pytest.approx(300_000 * found.kept.value)
    assert found.uncertain == sum(value is not None for value in nats.values())
    assert found.rate.value == pytest.approx(bits(kept), abs=4 * found.rate.error)


def test_a_subset_that_is_lost_has_no_rate() -> None:
    parts, nats = sample([("a", 100, 5), ("b", 100, 7)] * 50, 20)
    lost: dict[Key, int | None] = {
        span.key: None if name == "a" else nats[span.key]
        for name, part in parts.items()
        for span in part.spans
    }
    found = subsets(parts, lost)
    assert found["a"].rate is None
    assert found["a"].kept.value == 0
    assert levels.macro(found).weight == 0.5
    assert levels.whole(found).estimate.value == pytest.approx(0.07 * BITS)


def test_a_subset_with_one_span_left_has_no_spread() -> None:
    parts, nats = sample([("a", 100, 5), ("b", 100, 7)] * 50, 40)
    left = [span.key for span in parts["a"].spans[1:]]
    average = levels.whole(subsets(parts, {**nats, **dict.fromkeys(left)}))
    assert average.spread_unknown == (("a", 1),)
    assert not average.exact
    with pytest.raises(
        TooFewError, match="needs 2 spans of subset 'a' that the tokenizers can reproduce"
    ):
        levels.level_interval(average, 0.95)


def test_known_bytes_weigh_the_kinds() -> None:
    """A hundredth of the bytes needs ten times the nats: without kinds most samples miss it."""
    population = [("a", 4096, 4096 * NAT_UNITS * (10 if place % 100 == 0 else 1))
                  for place in range(2000)]  # fmt: skip
    right = bits(population)
    apart = subsets(*sample(population, 60, kinds=lambda place: [2 * (place % 100 == 0)]))
    assert levels.whole(apart).estimate.value == pytest.approx(right, rel=1e-9)
    together = levels.whole(subsets(*sample(population, 60))).estimate
    assert abs(together.value - right) > 0.01


def test_a_kind_with_one_span_left_is_as_unsure_as_it_is_far_from_the_others() -> None:
    population = [("a", 4096, 4096 * NAT_UNITS * (1 + place % 2)) for place in range(400)]
    parts, nats = sample(population, 60, kinds=lambda place: [place % 2])
    whole = levels.whole(subsets(parts, nats))
    assert whole.estimate.variance == pytest.approx(0, abs=1e-12)
    lost = [span.key for span in parts["a"].strata[1].spans[1:]]
    found = levels.whole(subsets(parts, {**nats, **dict.fromkeys(lost)}))
    # Half of the bytes, of which a thirtieth is not lost, differ by one nat a byte.
    share = (1 / 30) / (1 + 1 / 30)
    chance = parts["a"].strata[1].chance(parts["a"].strata[1].spans[0])
    assert found.estimate.error == pytest.approx(
        share * math.sqrt(1 - chance) / math.log(2), rel=1e-6
    )
    assert found.estimate.freedom == 1
    assert not found.spread_unknown


def test_nats_of_other_spans_are_refused() -> None:
    parts, nats = sample([("a", 100, 5)] * 50, 20)
    key = min(nats)
    fewer = {other: value for other, value in nats.items() if other != key}
    with pytest.raises(ValueError, match=f"span 0 of document {key[0]} was not scored"):
        levels.subset_level(parts["a"], fewer)
    with pytest.raises(ValueError, match=f"document {key[0]} was scored for one model only"):
        levels.differences(nats, fewer)


def test_the_smallest_difference_that_is_detected() -> None:
    average = levels.Average(Estimate(0.0, 0.01, 49), 1.0, 50, 50, 0.0)
    # t(49; 0.975) = 2.009575, t(49; 0.8) = 0.849018
    assert levels.smallest_detectable(average) == pytest.approx(0.2858594, abs=1e-6)
    assert levels.spans_for(average, 0.2858594 / 2) == 200
