from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.corpus.bpb.sampling import Allocation, Chooser, Sample, allocate
from services.corpus.shards.documents import Document
from services.errors import InvalidArgument
from tests.corpus.bpb.fakes import document

SIZES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 50), min_size=1)


def documents(sizes: dict[str, int]) -> list[Document]:
    return [document("x" * i, name, f"{name}{i}") for name in sizes for i in range(sizes[name])]


def chosen(sample: Sample | None, everything: list[Document]) -> tuple[list[str], Chooser]:
    chooser = Chooser(sample)
    for one in everything:
        chooser.see(one)
    chooser.choose()
    return [one.id for one in everything if chooser.chosen(one)], chooser


@given(SIZES, st.sampled_from(Allocation), st.data())
def test_shares_add_up_and_fit(
    sizes: dict[str, int], allocation: Allocation, data: st.DataObject
) -> None:
    wanted = data.draw(st.integers(0, sum(sizes.values())))
    shares = allocate(Sample(wanted, 0, allocation), sizes)
    assert sum(shares.values()) == wanted
    assert all(0 <= shares[name] <= sizes[name] for name in sizes)
    for name, size in sizes.items():
        if allocation is Allocation.PROPORTIONAL:
            assert abs(shares[name] - wanted * size / max(1, sum(sizes.values()))) < 1
        else:
            assert shares[name] == size or shares[name] >= max(shares.values()) - 1


@given(SIZES, st.integers(0, 2**64 - 1), st.sampled_from(Allocation), st.randoms(), st.data())
def test_a_sample_is_exact_and_does_not_depend_on_the_order(
    sizes: dict[str, int], seed: int, allocation: Allocation, rng: object, data: st.DataObject
) -> None:
    everything = documents(sizes)
    assume(everything)
    sample = Sample(data.draw(st.integers(1, len(everything))), seed, allocation)
    ids, chooser = chosen(sample, everything)
    assert len(ids) == sample.documents == chooser.documents
    taken = set(ids)
    assert chooser.text_bytes == sum(len(one.text) for one in everything if one.id in taken)
    rng.shuffle(everything)  # type: ignore[attr-defined]
    assert set(chosen(sample, everything)[0]) == taken


def test_another_seed_is_another_sample_and_each_document_is_as_likely() -> None:
    everything = documents({"a": 20, "b": 10})
    hits = dict.fromkeys([one.id for one in everything], 0)
    for seed in range(300):
        for one in chosen(Sample(6, seed), everything)[0]:
            hits[one] += 1
    assert all(30 <= count <= 90 for count in hits.values())


def test_a_sample_larger_than_the_selection_names_both_numbers() -> None:
    with pytest.raises(InvalidArgument, match=r"is 1,000, but the selection has 30 documents") as e:
        chosen(Sample(1000), documents({"a": 20, "b": 10}))
    assert e.value.field == "selection.sample.documents"


def test_no_sample_is_everything() -> None:
    everything = documents({"a": 3})
    ids, chooser = chosen(None, everything)
    assert len(ids) == chooser.documents == 3
