"""A result that cannot be is refused, whoever sent it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from services.ranker.measuring import plausibility
from services.ranker.measuring.plausibility import ImplausibleError
from services.ranker.peers.protocol import Codec, Shard, Stage
from tests.ranker.peers_fake import B4_FACTS, B4_RANDOM, BPB, HOLDINGS, QUIET, STORAGE


def test_what_can_be_passes() -> None:
    plausibility.check_model(B4_RANDOM)
    plausibility.check_speed(QUIET)
    plausibility.check_corpus(HOLDINGS)
    plausibility.check_storage(STORAGE)
    plausibility.check_score(BPB)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-9, math.nan, math.inf])
def test_times_that_no_machine_has(seconds: float) -> None:
    with pytest.raises(ImplausibleError, match="segment says that a batch took"):
        plausibility.check_speed(replace(QUIET, seconds=((1.0, 1.0, seconds),)))


def test_too_few_runs() -> None:
    with pytest.raises(ImplausibleError, match="timed 2 runs"):
        plausibility.check_speed(replace(QUIET, seconds=((1.0,), (1.0,))))


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": 0},
        {"parameters": 5},
        {"stages": (Stage(3, 0, 4),)},
        {"logits_shape": (1, 150)},
        {"logits_shape": (1, 150, 0, 128)},
    ],
)
def test_counts_that_contradict_each_other(change: dict[str, object]) -> None:
    facts = replace(B4_FACTS, **change)  # type: ignore[arg-type]
    with pytest.raises(ImplausibleError, match="segformer-b4-random"):
        plausibility.check_model(replace(B4_RANDOM, facts=facts))


@pytest.mark.parametrize("agreement", [-0.1, 1.1])
def test_more_labels_than_all_cannot_agree(agreement: float) -> None:
    with pytest.raises(ImplausibleError, match="labels agree"):
        plausibility.check_model(replace(B4_RANDOM, label_agreement=agreement))


@pytest.mark.parametrize(
    "codec",
    [
        Codec(0.0, (0.1, 0.1, 0.1)),
        Codec(-3.0, (0.1, 0.1, 0.1)),
        Codec(math.inf, (0.1, 0.1, 0.1)),
        Codec(3.0, (0.1, 0.1)),
        Codec(3.0, (0.1, 0.1, 0.0)),
        Codec(3.0, (0.1, 0.1, -0.1)),
        Codec(3.0, (0.1, 0.1, 1e-9)),
        Codec(3.0, (0.1, 0.1, math.nan)),
        Codec(3.0, (0.1, 0.1, math.inf)),
    ],
)
def test_codecs_that_no_machine_has(codec: Codec) -> None:
    with pytest.raises(ImplausibleError):
        plausibility.check_storage(replace(STORAGE, codecs={"zstd-3": codec}))


def test_more_lines_parsed_than_there_are() -> None:
    with pytest.raises(ImplausibleError, match="parsed 3 of 2 lines"):
        plausibility.check_storage(replace(STORAGE, lines=2, lines_parsed=3))


@pytest.mark.parametrize(
    "change",
    [
        {"documents": 5},
        {"documents_without_subset": 10_000},
        {"duplicate_documents": 10_000},
        {"shards": (Shard("a", 0, 10, ""),)},
        {"shards": (Shard("a", 10, 0, ""),)},
    ],
)
def test_holdings_that_contradict_themselves(change: dict[str, object]) -> None:
    with pytest.raises(ImplausibleError):
        plausibility.check_corpus(replace(HOLDINGS, **change))  # type: ignore[arg-type]


def test_likelihoods_above_one_and_sums_that_do_not_add_up() -> None:
    with pytest.raises(ImplausibleError, match="nats for a text"):
        plausibility.check_score(replace(BPB, overall=replace(BPB.overall, nats=-1.0)))
    with pytest.raises(ImplausibleError, match="bits per byte where its sums give"):
        plausibility.check_score(replace(BPB, overall=replace(BPB.overall, bits_per_byte=0.5)))
    with pytest.raises(ImplausibleError, match="over the subsets"):
        plausibility.check_score(replace(BPB, subsets={"a": BPB.subsets["a"]}))
