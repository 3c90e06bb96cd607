from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.corpus.proof.frequencies import (
    SCALE_BITS,
    Distribution,
    Slice,
    largest_excess_bits,
)
from services.corpus.proof.range_coder import Decoder, Encoder
from services.corpus.proof.rows import DecodedRow, EncodedRow
from services.errors import InternalError


def _logits(vocabulary: int, spread: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.standard_normal((1, vocabulary)) * spread).astype(np.float32)


@pytest.mark.slow
@settings(max_examples=200)
@given(
    vocabulary=st.integers(1, 3000),
    spread=st.sampled_from([0.0, 0.1, 1.0, 10.0, 1e3, 1e30]),
    seed=st.integers(0, 2**32),
)
def test_every_token_costs_within_the_bound_of_its_own_information(
    vocabulary: int, spread: float, seed: int
) -> None:
    distribution = Distribution(_logits(vocabulary, spread, seed))
    bound = vocabulary * 2.0**-SCALE_BITS / math.log(2)
    place = 0
    for token in range(vocabulary):
        part = distribution.slice_of(0, token)
        assert part.start == place
        assert part.size >= 1
        place += part.size
        bits = math.log2(part.total) - math.log2(part.size)
        information = distribution.nats(0, token) / math.log(2)
        assert bits <= information + bound + 1e-12 * max(1.0, information)
    assert place == distribution.total(0)
    for at in {0, place // 3, place - 1}:
        token, found = distribution.find(0, at)
        assert found == distribution.slice_of(0, token)
        assert found.start <= at < found.start + found.size


def test_a_document_of_millions_of_tokens_stays_within_two_bits() -> None:
    assert largest_excess_bits(1, 256) < 1.0001
    assert largest_excess_bits(10_000_000, 250_000) < 2
    assert largest_excess_bits(1_000_000_000, 256) < 2


@pytest.mark.slow
@settings(max_examples=200)
@given(st.data())
def test_any_intervals_come_back_and_take_fewer_than_one_bit_more(data: st.DataObject) -> None:
    totals = st.one_of(st.integers(1, 4), st.integers(1, 1000), st.integers(1, 2**63 - 1))
    slices = []
    for _ in range(data.draw(st.integers(0, 60))):
        total = data.draw(totals)
        start = data.draw(st.one_of(st.just(0), st.just(total - 1), st.integers(0, total - 1)))
        size = data.draw(st.one_of(st.just(1), st.integers(1, total - start)))
        slices.append(Slice(start, size, total))
    encoder = Encoder()
    for part in slices:
        encoder.encode(part)
    code, bits = encoder.finish()
    information = math.fsum(math.log2(i.total) - math.log2(i.size) for i in slices)
    assert bits <= information + 1 + 1e-9
    assert len(code) == -(-bits // 8)
    assert int.from_bytes(code, "big") % (1 << (8 * len(code) - bits)) == 0
    decoder = Decoder(code)
    for part in slices:
        assert part.start <= decoder.place(part.total) < part.start + part.size
        decoder.consume(part)


def test_carries_run_through_bytes_that_are_all_ones() -> None:
    # The last tokens of long runs at the upper end make the low end overflow.
    slices = [Slice(2**40 - 1, 1, 2**40)] * 40 + [Slice(1, 2, 3)] * 200
    encoder = Encoder()
    for part in slices:
        encoder.encode(part)
    decoder = Decoder(encoder.finish()[0])
    for part in slices:
        place = decoder.place(part.total)
        assert part.start <= place < part.start + part.size
        decoder.consume(part)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    count=st.integers(0, 400),
    vocabulary=st.integers(1, 500),
    spread=st.sampled_from([0.0, 1.0, 8.0, 100.0]),
    seed=st.integers(0, 2**32),
)
def test_a_row_of_tokens_comes_back_within_its_bound(
    count: int, vocabulary: int, spread: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    tokens = random.integers(0, vocabulary, count).tolist()
    distributions = [Distribution(_logits(vocabulary, spread, seed + i)) for i in range(count)]
    coded = EncodedRow(tokens)
    for distribution in distributions:
        coded.code(distribution, 0)
    code, bits = coded.finish()
    nats = math.fsum(coded.nats)
    assert bits <= nats / math.log(2) + largest_excess_bits(count, vocabulary) + 1e-9
    decoded = DecodedRow(code, count)
    for distribution in distributions:
        decoded.code(distribution, 0)
    assert decoded.tokens == tokens
    assert decoded.nats == coded.nats


@given(st.binary(max_size=40), st.integers(1, 50))
def test_a_damaged_code_decodes_to_something_and_raises_nothing(code: bytes, count: int) -> None:
    row = DecodedRow(code, count)
    for i in range(count):
        row.code(Distribution(_logits(300, 2.0, i)), 0)
    assert len(row.tokens) == count


def test_what_the_model_rules_out_can_still_be_coded() -> None:
    logits = np.array([[0.0, -np.inf]], np.float32)
    assert Distribution(logits).slice_of(0, 1) == Slice(2**43 + 1, 1, 2**43 + 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_distribution_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(InternalError, match="not one"):
        Distribution(np.array([[0.0, value]], np.float32))
