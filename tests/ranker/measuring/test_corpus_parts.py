"""What a part of a corpus says of the whole, and what leaves that open."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from services.ranker.claims.bounds import Equals, Interval
from services.ranker.claims.evidence import seal
from services.ranker.claims.model import SubjectRelation, Verdict
from services.ranker.claims.verdict import judge
from services.ranker.measuring.unobservable import UnobservableError
from tests.ranker.measuring.observing import (
    CLAIMS,
    NOON,
    content,
    measurements,
    observe,
    whole_pile,
)
from tests.ranker.peers_fake import (
    BPB,
    COMPLETE,
    DESCRIPTION,
    SAMPLE,
    STORAGE,
    FakeCorpus,
    changed,
    codec,
)


@pytest.mark.parametrize("claim", ["P3.1", "P3.2", "P4.1", "P4.2", "P4.3", "P5.2"])
async def test_some_of_the_files_that_are_stated_decide_nothing_of_all(claim: str) -> None:
    """Whoever serves a corpus chooses which of its files: the good ones, say."""
    here = changed(DESCRIPTION.corpus, shards=DESCRIPTION.corpus.shards[:2])
    part = FakeCorpus(description=changed(DESCRIPTION, corpus=here))
    observation = await observe(claim, measurements(corpus=part))
    assert "3 files are stated in the manifest and not here" in observation.conditions
    sealed = seal(observation, claim=claim, method="m.f@2", command="c", time=NOON)
    assert judge(CLAIMS[claim], sealed).verdict is Verdict.INCONCLUSIVE


async def test_reading_is_measured_on_lines_and_memory() -> None:
    assert content(await observe("P3.1")) == 1
    memory = await observe("P4.3")
    assert content(memory) == pytest.approx(16 / 1024)
    assert memory.interval == Interval(0.0, math.inf)


@pytest.mark.parametrize("claim", ["P3.1", "P4.3", "P5.2"])
async def test_files_that_all_agree_say_nothing_of_the_files_that_nobody_stated(claim: str) -> None:
    """`files` are those that the manifest's author chose to state, however many there are."""
    observation = await observe(claim)
    assert (
        observation.conditions
        == "a part that is not a random sample, and the rest may hold anything"
    )
    sealed = seal(observation, claim=claim, method="m.f@2", command="c", time=NOON)
    verdict = judge(CLAIMS[claim], sealed)
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "a part that is not a random sample" in verdict.reason


@pytest.mark.parametrize("claim", ["P3.1", "P5.2"])
async def test_one_counterexample_in_a_part_refutes_what_is_said_of_all_or_of_none(
    claim: str,
) -> None:
    figures = changed(STORAGE, plain_parse=changed(STORAGE.plain_parse, parsed=1999))
    lacking = changed(DESCRIPTION, documents_without_subset=1)
    observation = await observe(
        claim, measurements(corpus=FakeCorpus(description=lacking, figures=figures))
    )
    sealed = seal(observation, claim=claim, method="m.f@2", command="c", time=NOON)
    for all_or_none in (Equals(1.0, 0.0, "share"), Equals(0.0, 0.0, "share")):
        judged = judge(replace(CLAIMS[claim], bound=all_or_none), sealed)
        assert judged.verdict is Verdict.REFUTED, judged.reason


@pytest.mark.parametrize("claim", ["P3.1", "P4.3", "P5.2"])
async def test_a_whole_corpus_of_which_everything_was_read_is_decided(claim: str) -> None:
    content_bytes = sum(one.content_bytes for one in DESCRIPTION.corpus.shards)
    read = changed(
        STORAGE,
        sample_bytes=content_bytes,
        plain_parse=changed(STORAGE.plain_parse, lines=734, parsed=734),
    )
    asked = whole_pile(FakeCorpus((COMPLETE,), figures=read))
    observation = await observe(claim, asked)
    assert (observation.relation, observation.conditions) == (SubjectRelation.EXACT, "")
    sealed = seal(observation, claim=claim, method="m.f@2", command="c", time=NOON)
    assert judge(CLAIMS[claim], sealed).verdict is Verdict.CONFIRMED


@pytest.mark.parametrize("claim", ["P3.1", "P4.3"])
async def test_the_first_stretch_of_a_whole_corpus_leaves_the_rest_open(claim: str) -> None:
    shards = [
        changed(one, content_bytes=1 << 40, stored_bytes=1 << 38)
        for one in DESCRIPTION.corpus.shards
    ]
    large = changed(DESCRIPTION, documents=10**9, corpus=changed(DESCRIPTION.corpus, shards=shards))
    observation = await observe(claim, whole_pile(FakeCorpus((COMPLETE,), description=large)))
    assert observation.relation is SubjectRelation.SAMPLE
    sealed = seal(observation, claim=claim, method="m.f@2", command="c", time=NOON)
    assert judge(CLAIMS[claim], sealed).verdict is Verdict.INCONCLUSIVE
    if claim == "P3.1":  # 6,000 lines of a billion documents are known to be read
        assert observation.interval == Interval(6e-6, 1)


async def test_a_note_says_which_corpus_was_observed() -> None:
    for claim in ("P3.1", "P4.1", "P4.3", "P5.2", "P1.1", "P2.1"):
        assert "the-pile (sample, sha256:5a5a5a5a5a5a)" in (await observe(claim)).note


async def test_a_measurement_that_several_claims_need_is_made_once() -> None:
    corpus = FakeCorpus()
    asked = measurements(corpus=corpus)
    for claim in ("P3.1", "P3.2", "P4.1", "P4.2", "P4.3", "P5.2", "P1.1", "P2.1"):
        await observe(claim, asked)
    assert corpus.measured == ["train", "val", "test"]
    assert (corpus.described, corpus.scored) == (1, 1)


@pytest.mark.parametrize(
    ("corpus", "claim", "problem"),
    [
        (FakeCorpus(()), "P3.1", "does not have the-pile"),
        (FakeCorpus((changed(SAMPLE, splits=None),)), "P3.1", "no split"),
        (FakeCorpus((changed(SAMPLE, splits=["train"]),)), "P4.1", "two are needed"),
        (FakeCorpus((changed(SAMPLE, splits=["train"]),)), "P2.1", "no held-out split"),
        (FakeCorpus(figures=changed(STORAGE, codecs=None)), "P4.1", "did not measure zstd-3"),
        (FakeCorpus(figures=changed(STORAGE, plain_parse=None)), "P3.1", "no lines"),
        (FakeCorpus(figures=changed(STORAGE, streaming=None)), "P4.3", "no shard"),
        (
            FakeCorpus(figures=changed(STORAGE, codecs=[codec("zstd-3", 0, 900)])),
            "P4.2",
            "outside physics",
        ),
        (
            FakeCorpus(scores=changed(BPB, overall=changed(BPB.overall, nats=-1.0))),
            "P2.1",
            "outside physics",
        ),
        (
            FakeCorpus(description=changed(DESCRIPTION, duplicate_documents=10**9)),
            "P5.2",
            "outside physics",
        ),
    ],
)
async def test_a_corpus_that_cannot_tell_or_lies(
    corpus: FakeCorpus, claim: str, problem: str
) -> None:
    with pytest.raises(UnobservableError, match=problem):
        await observe(claim, measurements(corpus=corpus))
