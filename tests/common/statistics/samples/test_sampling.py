from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.samples.sampling import (
    Allocation,
    Drawn,
    Sampler,
    allocate,
    effective_documents,
)

SIZES = st.lists(st.integers(1, 4096), max_size=6)
DOCUMENTS = st.lists(st.tuples(st.sampled_from("abc"), SIZES), max_size=40)
Documents = list[tuple[str, list[int]]]


def add(sampler: Sampler, place: int, document: tuple[str, list[int]]) -> None:
    """Add a document, whose spans are of kinds that its place decides on."""
    subset, sizes = document
    kinds = [(place + number) % 5 // 3 for number in range(len(sizes))]
    sampler.add(f"document {place}", subset, sizes, kinds if place % 2 else ())


def drawn(
    documents: Documents,
    spans: int,
    order: list[int] | None = None,
    allocation: Allocation = Allocation.BYTES,
    seed: int = 0,
) -> dict[str, Drawn]:
    sampler = Sampler(spans, seed)
    for place in order or range(len(documents)):
        add(sampler, place, documents[place])
    return sampler.draw(allocation)


def plain(documents: Documents, spans: int, *, seed: int = 0) -> dict[str, Drawn]:
    """Draw where there is one kind of spans."""
    sampler = Sampler(spans, seed)
    for place, (subset, sizes) in enumerate(documents):
        sampler.add(f"document {place}", subset, sizes)
    return sampler.draw()


@pytest.mark.slow
@given(DOCUMENTS, st.integers(1, 30), st.sampled_from(Allocation), st.randoms())
def test_order_and_parts_change_nothing(
    documents: Documents, spans: int, allocation: Allocation, generator: random.Random
) -> None:
    order = list(range(len(documents)))
    generator.shuffle(order)
    expected = drawn(documents, spans, allocation=allocation)
    assert drawn(documents, spans, order, allocation) == expected
    parts = [Sampler(spans) for _ in range(3)]
    for place in order:
        add(generator.choice(parts), place, documents[place])
    generator.shuffle(parts)
    first, second, third = parts
    second.merge(third)
    first.merge(second)
    assert first.draw(allocation) == expected


def test_order_and_parts_change_nothing_where_spans_are_dropped() -> None:
    generator = random.Random(3)
    documents = [("a", [generator.choice((4096, 4096, 7)) for _ in range(5)]) for _ in range(2000)]
    order = list(range(len(documents)))
    generator.shuffle(order)
    whole = drawn(documents, 20)
    assert drawn(documents, 20, order) == whole
    left, right = Sampler(20), Sampler(20)
    for place in order:
        add(left if place % 3 else right, place, documents[place])
    right.merge(left)
    assert right.draw() == whole
    assert len(whole["a"].spans) == 20


@given(DOCUMENTS, st.integers(1, 30), st.integers(0, 30), st.sampled_from(Allocation))
def test_a_larger_sample_holds_the_smaller(
    documents: Documents, spans: int, more: int, allocation: Allocation
) -> None:
    small = drawn(documents, spans, allocation=allocation)
    large = drawn(documents, spans + more, allocation=allocation)
    for name, part in small.items():
        assert [stratum.kind for stratum in large[name].strata] == [
            stratum.kind for stratum in part.strata
        ]
        for stratum, more_of in zip(part.strata, large[name].strata, strict=True):
            assert more_of.spans[: len(stratum.spans)] == stratum.spans


@given(DOCUMENTS, st.integers(1, 30), st.sampled_from(Allocation))
def test_two_of_every_stratum_are_by_chance_or_all_are_drawn(
    documents: Documents, spans: int, allocation: Allocation
) -> None:
    found = drawn(documents, spans, allocation=allocation)
    for name, subset in found.items():
        sizes = [size for other, all_of in documents if other == name for size in all_of]
        assert subset.text_bytes == sum(sizes)
        assert sum(stratum.spans_in_all for stratum in subset.strata) == len(sizes)
        assert sum(stratum.text_bytes for stratum in subset.strata) == sum(sizes)
        if subset.complete:
            assert sorted(span.text_bytes for span in subset.spans) == sorted(sizes)
    for part in (stratum for subset in found.values() for stratum in subset.strata):
        if part.threshold is None:
            assert len(part.spans) == part.spans_in_all
            assert all(part.chance(span) == 1 for span in part.spans)
            continue
        uncertain = [span for span in part.spans if not part.certain(span)]
        assert len(uncertain) >= 2
        assert all(0 < part.chance(span) < 1 for span in uncertain)
        # Priorities fall, and the threshold's is the next.
        priorities = [
            Fraction(span.text_bytes, span.draw) for span in (*part.spans, part.threshold)
        ]
        assert priorities == sorted(priorities, reverse=True)


@pytest.mark.slow
def test_chances_are_in_proportion_to_bytes() -> None:
    """Of 100 spans with 1 to 100 bytes, 10 are drawn, in 4,000 seeded samples."""
    times = [0] * 101
    for seed in range(4000):
        for span in plain([("a", [size]) for size in range(1, 101)], 10, seed=seed)["a"].spans:
            times[span.text_bytes] += 1
    small, middle, large = (sum(times[start : start + 20]) for start in (1, 41, 81))
    # About 10 bytes / 5,050 each; those sure to be drawn leave a little less to the others.
    assert small / 4000 == pytest.approx(10 * 210 / 5050, rel=0.06)
    assert middle / 4000 == pytest.approx(10 * 1010 / 5050, rel=0.05)
    assert large / 4000 == pytest.approx(10 * 1810 / 5050, rel=0.05)


def test_another_seed_is_another_sample() -> None:
    documents = [("a", [100])] * 200
    assert drawn(documents, 10, seed=0) != drawn(documents, 10, seed=1)


def test_a_document_without_text_is_none() -> None:
    found = drawn([("a", [5]), ("a", []), ("b", [])], 3)
    assert list(found) == ["a"]
    assert found["a"].documents == 1
    assert found["a"].of_documents


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.tuples(st.integers(1, 10**6), st.integers(1, 50))
    ),
    st.integers(1, 60),
)
def test_shares_only_grow_and_stay_within_their_room(
    subsets: dict[str, tuple[int, int]], spans: int
) -> None:
    weights = {name: weight for name, (weight, _) in subsets.items()}
    rooms = {name: room for name, (_, room) in subsets.items()}
    shares, more = (allocate(count, weights, rooms) for count in (spans, spans + 1))
    for name, share in shares.items():
        assert min(2, rooms[name]) <= share <= rooms[name]
        assert share <= more[name]
    least = sum(min(2, room) for room in rooms.values())
    assert sum(shares.values()) == min(max(spans, least), sum(rooms.values()))


def test_shares_are_in_proportion_or_equal() -> None:
    documents = [("a", [100] * 60), ("b", [100] * 30), ("c", [100] * 10)]
    sampler = Sampler(30)
    for place, (subset, sizes) in enumerate(documents):
        sampler.add(f"document {place}", subset, sizes)
    by_bytes, equal = (sampler.draw(way) for way in Allocation)
    # The last counts for half of an equal share: a sixth, where it has a tenth.
    assert [len(part.spans) for part in by_bytes.values()] == [17, 8, 5]
    assert [len(part.spans) for part in equal.values()][:2] == [10, 10]


def test_a_rare_kind_has_its_spans_and_its_known_weight() -> None:
    sampler = Sampler(40)
    for place in range(1000):
        rare = place % 100 == 0
        sampler.add(f"document {place}", "a", [4096], [2 if rare else 0])
    common, rare_ = sampler.draw()["a"].strata
    assert (common.kind, common.text_bytes, rare_.kind, rare_.text_bytes) == (
        *(0, 990 * 4096),
        *(2, 10 * 4096),
    )
    # A hundredth of the bytes has half of an equal share, to its weight: 1 / (1 + 4 * 0.99).
    assert len(rare_.spans) == pytest.approx(40 / 4.96, abs=1)
    assert len(common.spans) + len(rare_.spans) == 40


def test_how_many_documents_of_equal_size() -> None:
    assert effective_documents(drawn([("a", [10]), ("b", [10]), ("b", [5, 5])], 2)) == 3
    assert effective_documents(drawn([("a", [1000]), ("a", [1])], 2)) == pytest.approx(
        1.002, abs=1e-3
    )
    assert effective_documents({}) == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 span"):
        Sampler(0)
    with pytest.raises(ValueError, match="do not merge"):
        Sampler(3).merge(Sampler(3, seed=1))
    with pytest.raises(ValueError, match="do not merge"):
        Sampler(3).merge(Sampler(4))
    with pytest.raises(ValueError, match="has 0 bytes"):
        Sampler(3).add("x", "a", [4, 0])
