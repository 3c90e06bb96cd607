"""How a corpus is stored: its compression, and how fast its formats are read."""

from __future__ import annotations

import math
from typing import NoReturn

import pytest
from assay_rpc.corpus.v1 import benchmark_pb2 as corpus_benchmark_pb2

from services.errors import Unsupported
from services.ranker.claims.bounds import Interval
from services.ranker.claims.evidence import seal
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import SubjectRelation, Verdict
from services.ranker.claims.verdict import judge
from services.ranker.measuring.unobservable import UnobservableError
from tests.ranker.measuring.observing import (
    CLAIMS,
    HALF,
    NOON,
    content,
    measurements,
    observe,
    whole_pile,
)
from tests.ranker.peers_fake import (
    COMPLETE,
    DESCRIPTION,
    STORAGE,
    SUBSETS,
    FakeCorpus,
    changed,
    codec,
)


async def test_the_whole_corpus_gives_its_own_compression_ratio() -> None:
    observation = await observe("P3.2", whole_pile())
    assert content(observation) == pytest.approx(6100 / 2000)
    assert observation.relation is SubjectRelation.EXACT


async def test_a_sample_leaves_open_what_the_missing_subsets_would_save() -> None:
    everything = await observe("P3.2")
    assert everything.interval is not None
    missing = [changed(one, documents=0) for one in SUBSETS[:11]]
    half = changed(DESCRIPTION, subsets=missing + SUBSETS[11:])
    observation = await observe("P3.2", measurements(corpus=FakeCorpus(description=half)))
    assert observation.interval is not None
    assert observation.interval.low < everything.interval.low
    assert observation.interval.high == pytest.approx(2 * everything.interval.high)
    assert "50 %" in observation.note


def loaded(**load: float | None) -> corpus_benchmark_pb2.StorageResult:
    return changed(STORAGE, load=changed(STORAGE.load, **load))


async def test_codecs_are_compared_at_their_default_levels() -> None:
    ratio = await observe("P4.1")
    assert content(ratio) == pytest.approx(1.0, abs=0.01)
    assert ratio.n == 3
    assert "zstd-19 1.21" in ratio.note
    assert ratio.conditions.startswith("zstd at level 3 against gzip at 6; at other levels")
    assert ratio.interval is not None
    assert 0.95 < ratio.interval.low < ratio.interval.high < 1.05
    assert ratio.relation is SubjectRelation.SAMPLE


async def test_a_ratio_leaves_open_what_the_missing_subsets_would_give() -> None:
    """Of the text that is here the ratio is 1; of the rest either codec may pack to nothing."""
    whole = await observe("P4.1")
    half = await observe("P4.1", measurements(corpus=FakeCorpus(description=HALF)))
    assert whole.interval is not None
    assert half.interval is not None
    packed = 0.5 / 2.8
    assert half.interval.low == pytest.approx(
        packed / (packed / whole.interval.low + 0.5), rel=0.01
    )
    assert half.interval.high == pytest.approx((packed + 0.5) / packed, rel=0.02)
    assert "of the 50 % of the text that is here and was read" in half.conditions
    sealed = seal(half, claim="P4.1", method="m.f@2", command="c", time=NOON)
    verdict = judge(CLAIMS["P4.1"], sealed)
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "zstd at level 3 against gzip at 6" in verdict.reason


async def test_the_speed_of_a_format_is_its_decoders() -> None:
    speed = await observe("P4.2")
    assert speed.breakdown == {"libraries": pytest.approx(3), "tools": pytest.approx(4)}
    assert content(speed) == pytest.approx(3.5)
    assert "900 MB a second against 300" in speed.note
    assert "3 by the libraries zlib" in speed.conditions
    assert speed.interval is not None
    assert speed.interval.low == pytest.approx(3)
    assert speed.interval.high == pytest.approx(4)
    assert speed.interval.level >= 0.99
    assert speed.relation is SubjectRelation.SAMPLE
    # 3 to 4 is below 5 to 10 by both decoders.
    sealed = seal(speed, claim="P4.2", method="m.f@2", command="c", time=NOON)
    assert judge(CLAIMS["P4.2"], sealed).verdict is Verdict.REFUTED


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        (changed(STORAGE, codecs=[codec("gzip-6", 2, 300), codec("zstd-3", 2, 900)]), "installed"),
        (loaded(kernel_ratio=None), "timings on two days"),
        (loaded(others_cores=0.9), "others used 0.9 processors"),
        (
            changed(
                STORAGE,
                codecs=[codec("gzip-6", 2, 300, tool=100), codec("zstd-3", 2, 900, tool=700)],
            ),
            "7 by the tools",
        ),
    ],
)
async def test_a_speed_is_open_where_a_decoder_or_the_machine_says_otherwise(
    figures: corpus_benchmark_pb2.StorageResult, why: str
) -> None:
    asked = measurements(corpus=FakeCorpus(figures=figures))
    observation = await observe("P4.2", asked)
    assert why in observation.conditions
    sealed = seal(observation, claim="P4.2", method="m.f@2", command="c", time=NOON)
    assert judge(CLAIMS["P4.2"], sealed).verdict is Verdict.INCONCLUSIVE


async def test_what_was_not_read_keeps_a_ratio_open() -> None:
    """A stretch from the start of each split is no sample of it that anybody drew."""
    long = changed(
        DESCRIPTION.corpus,
        shards=[changed(one, content_bytes=20 << 20) for one in DESCRIPTION.corpus.shards],
    )
    peer = FakeCorpus((COMPLETE,), description=changed(DESCRIPTION, corpus=long))
    for claim in ("P4.1", "P4.2"):
        observation = await observe(claim, whole_pile(peer))
        assert "read" in observation.conditions
        sealed = seal(observation, claim=claim, method="m.f@2", command="c", time=NOON)
        assert judge(CLAIMS[claim], sealed).verdict is Verdict.INCONCLUSIVE


async def test_missing_subsets_keep_a_speed_open_too() -> None:
    observation = await observe("P4.2", measurements(corpus=FakeCorpus(description=HALF)))
    assert observation.interval == Interval(
        pytest.approx(1.5),  # type: ignore[arg-type]
        math.inf,
        pytest.approx(0.996, abs=0.001),  # type: ignore[arg-type]
    )


async def test_a_stretch_of_the_whole_corpus_is_a_sample_of_it() -> None:
    observation = await observe("P4.1", measurements(corpus=FakeCorpus((COMPLETE,))))
    assert observation.relation is SubjectRelation.SAMPLE


async def test_what_is_not_compressed_says_nothing_of_how_it_compresses() -> None:
    shards = [changed(one, path=one.path.removesuffix(".zst")) for one in DESCRIPTION.corpus.shards]
    plain = FakeCorpus(
        (COMPLETE,), changed(DESCRIPTION, corpus=changed(DESCRIPTION.corpus, shards=shards))
    )
    with pytest.raises(UnobservableError, match=r"train/00\.jsonl is not compressed here"):
        await observe("P3.2", whole_pile(plain))


async def test_what_corpus_cannot_measure_is_no_service_that_is_down() -> None:
    class Plain(FakeCorpus):
        async def storage(self, *_: object) -> NoReturn:
            raise Unsupported("corpus: 00.jsonl is not a .jsonl.zst file")

    with pytest.raises(UnobservableError, match=r"cannot measure it: corpus: 00\.jsonl") as no:
        await observe("P3.1", measurements(corpus=Plain()))
    assert no.value.reason is UnmeasuredReason.DATA_MISSING
