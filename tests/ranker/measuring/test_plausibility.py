"""A result that cannot be is refused, whoever sent it."""

from __future__ import annotations

import math

import pytest
from assay_rpc.corpus.v1.benchmark_pb2 import CodecResult, PlainParse
from assay_rpc.corpus.v1.describe_pb2 import Corpus, Shard

from services.ranker.measuring import plausibility
from services.ranker.measuring.plausibility import ImplausibleError
from tests.ranker.peers_fake import (
    B4_FACTS,
    B4_RANDOM,
    BPB,
    DESCRIPTION,
    QUIET,
    STORAGE,
    changed,
    stages,
    times,
)


def test_what_can_be_passes() -> None:
    plausibility.check_model(B4_RANDOM)
    plausibility.check_speed(QUIET)
    plausibility.check_corpus(DESCRIPTION)
    plausibility.check_storage(STORAGE)
    plausibility.check_score(BPB)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-9, math.nan, math.inf])
def test_times_that_no_machine_has(seconds: float) -> None:
    with pytest.raises(ImplausibleError, match="segment says that a batch took"):
        plausibility.check_speed(changed(QUIET, samples=times((1.0, 1.0, seconds))))


def test_too_few_runs() -> None:
    with pytest.raises(ImplausibleError, match="timed 2 runs"):
        plausibility.check_speed(changed(QUIET, samples=times((1.0,), (1.0,))))


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": 0},
        {"parameters": 5},
        {"stages": stages((3, 0, 4))},
        {"logits_shape": (1, 150)},
        {"logits_shape": (1, 150, 0, 128)},
    ],
)
def test_counts_that_contradict_each_other(change: dict[str, object]) -> None:
    facts = changed(B4_FACTS, **change)
    with pytest.raises(ImplausibleError, match="segformer-b4-random"):
        plausibility.check_model(changed(B4_RANDOM, source_facts=facts))


@pytest.mark.parametrize("agreement", [-0.1, 1.1])
def test_more_labels_than_all_cannot_agree(agreement: float) -> None:
    with pytest.raises(ImplausibleError, match="labels agree"):
        plausibility.check_model(changed(B4_RANDOM, parity={"label_agreement": agreement}))


@pytest.mark.parametrize(
    ("ratio", "seconds"),
    [
        (0.0, (0.1, 0.1, 0.1)),
        (-3.0, (0.1, 0.1, 0.1)),
        (math.inf, (0.1, 0.1, 0.1)),
        (3.0, (0.1, 0.1)),
        (3.0, (0.1, 0.1, 0.0)),
        (3.0, (0.1, 0.1, -0.1)),
        (3.0, (0.1, 0.1, 1e-9)),
        (3.0, (0.1, 0.1, math.nan)),
        (3.0, (0.1, 0.1, math.inf)),
    ],
)
def test_codecs_that_no_machine_has(ratio: float, seconds: tuple[float, ...]) -> None:
    codec = CodecResult(codec="zstd-3", ratio=ratio, seconds=seconds)
    with pytest.raises(ImplausibleError):
        plausibility.check_storage(changed(STORAGE, codecs=[codec]))


def test_more_lines_parsed_than_there_are() -> None:
    with pytest.raises(ImplausibleError, match="parsed 3 of 2 lines"):
        plausibility.check_storage(changed(STORAGE, plain_parse=PlainParse(lines=2, parsed=3)))


@pytest.mark.parametrize(
    "change",
    [
        {"documents": 5},
        {"documents_without_subset": 10_000},
        {"duplicate_documents": 10_000},
        {"corpus": Corpus(shards=[Shard(path="a", content_bytes=10)])},
        {"corpus": Corpus(shards=[Shard(path="a", stored_bytes=10)])},
    ],
)
def test_descriptions_that_contradict_themselves(change: dict[str, object]) -> None:
    with pytest.raises(ImplausibleError):
        plausibility.check_corpus(changed(DESCRIPTION, **change))


def test_likelihoods_above_one_and_sums_that_do_not_add_up() -> None:
    with pytest.raises(ImplausibleError, match="nats for a text"):
        plausibility.check_score(changed(BPB, overall=changed(BPB.overall, nats=-1.0)))
    with pytest.raises(ImplausibleError, match="bits per byte where its sums give"):
        plausibility.check_score(changed(BPB, overall=changed(BPB.overall, bits_per_byte=0.5)))
    with pytest.raises(ImplausibleError, match="over the subsets"):
        plausibility.check_score(changed(BPB, subsets=BPB.subsets[:1]))
