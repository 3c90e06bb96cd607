"""Each claim of the page, observed by its own method on peers made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import benchmark_pb2 as corpus_benchmark_pb2
from assay_rpc.corpus.v1 import describe_pb2
from assay_rpc.segment.v1 import benchmark_pb2 as segment_benchmark_pb2

from services.common.statistics.ranking import family
from services.corpus.catalog import published
from services.errors import LicenseNotAccepted, Unavailable, Unsupported
from services.ranker.claims import facts
from services.ranker.claims.bounds import Equals, Interval, Range, Ratio, Value
from services.ranker.claims.choosing import choose
from services.ranker.claims.definition import fact_of
from services.ranker.claims.evidence import Observation, seal
from services.ranker.claims.findings import Evidence, UnmeasuredReason
from services.ranker.claims.model import Basis, Claim, Input, SubjectRelation, Verdict
from services.ranker.claims.registry import Registry, packaged
from services.ranker.claims.verdict import judge
from services.ranker.measuring import methods
from services.ranker.measuring.labelled_images import LabelledImage
from services.ranker.measuring.measurements import Budget, Measurements
from services.ranker.measuring.methods import method_named
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.methodology.load import load
from services.ranker.peers.protocol import Model
from tests.ranker.peers_fake import (
    ACCURACY,
    B0,
    B4,
    B4_CUDA,
    B4_FACTS,
    B4_PUBLISHED,
    B4_RANDOM,
    BPB,
    COMPLETE,
    DESCRIPTION,
    MACHINE,
    PICTURES,
    QUIET,
    REFERENCE,
    SAMPLE,
    STORAGE,
    SUBSETS,
    FakeCorpus,
    FakeSegment,
    changed,
    codec,
    corpus,
    ref,
    restarts,
    times,
)

REGISTRY = packaged(methods.known())
CLAIMS = {claim.id: claim for claim in REGISTRY.claims.values()}
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RANDOM = SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS


def measurements(
    segment: FakeSegment | None = None,
    corpus: FakeCorpus | None = None,
    budget: Budget = Budget.QUICK,
    pictures: Sequence[LabelledImage] = PICTURES,
) -> Measurements:
    peers = segment or FakeSegment(), corpus or FakeCorpus()
    return Measurements(REGISTRY, facts.packaged(), *peers, budget, pictures=pictures)


async def observe(claim: str, asked: Measurements | None = None) -> Observation:
    found = CLAIMS[claim]
    return await method_named(found.method).observe(found, asked or measurements())


def whole_pile(corpus: FakeCorpus | None = None) -> Measurements:
    """With the whole corpus at hand, whose digest the manifest has."""
    pile = REGISTRY.artifact("the-pile")
    stated = replace(pile.configuration, digest=COMPLETE.ref.digest)
    registry = Registry([replace(pile, configuration=stated)], methods.known())
    peers = FakeSegment(), corpus or FakeCorpus((COMPLETE,))
    return Measurements(registry, facts.packaged(), *peers, Budget.QUICK)


def the_published(
    segment: FakeSegment | None = None, budget: Budget = Budget.QUICK
) -> Measurements:
    """With the published weights at hand, whose digest the manifest has."""
    b4 = REGISTRY.artifact(B4)
    stated = replace(b4.configuration, digest=B4_PUBLISHED.ref.digest)
    registry = Registry([replace(b4, configuration=stated)], methods.known())
    return Measurements(
        registry,
        facts.packaged(),
        segment or FakeSegment((B4_PUBLISHED,)),
        FakeCorpus(),
        budget,
        pictures=PICTURES,
    )


def content(observation: Observation) -> object:
    assert observation.value is not None
    return observation.value.content


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("B1.2", "4-8-16-32"),
        ("B1.3", 85),
        ("B2.1", 6),
        ("B2.2", 3_265_686 / 17_765_126),
        ("B4.1", 64_108_374),
        ("B4.2", "3-8-27-3"),
        ("B4.3", "64-128-320-512"),
        ("B6.1", "150x128x128"),
        ("B7.1", "128x128"),
    ],
)
async def test_facts_of_the_source_model_agree_with_what_is_published(
    claim: str, expected: object
) -> None:
    observation = await observe(claim)
    assert content(observation) == pytest.approx(expected)
    assert observation.relation is RANDOM
    assert observation.basis is Basis.MEASURED
    assert observation.subject_digest == B4_RANDOM.ref.digest
    published = facts.packaged().of(claim)
    assert published is not None
    assert content(published) == pytest.approx(expected)


async def test_how_near_a_model_is_decides_which_one_is_observed() -> None:
    served = (B0, B4_RANDOM, B4_PUBLISHED)
    assert (
        await observe("B4.1", measurements(FakeSegment(served)))
    ).relation is SubjectRelation.EXACT
    assert (await observe("B4.1", measurements(FakeSegment(served[:2])))).relation is RANDOM
    with pytest.raises(UnobservableError, match="nothing of its architecture, segformer-b4, but"):
        await observe("B4.1", measurements(FakeSegment((B0,))))


@pytest.mark.parametrize("claim", ["B1.1", "B6.2"])
async def test_what_was_published_is_not_told_by_a_stand_in(claim: str) -> None:
    with pytest.raises(UnobservableError, match=r"differs in .*weights \(random\)"):
        await observe(claim)
    named = await observe(claim, measurements(FakeSegment((B4_PUBLISHED,))))
    assert named.relation is SubjectRelation.NAMED
    assert (await observe(claim, the_published())).relation is SubjectRelation.EXACT


async def test_other_weights_of_the_same_architecture_stand_in_for_nothing() -> None:
    fine_tuned = changed(B4_PUBLISHED, ref=ref("segformer-b4-of-someone-else", "ab"))
    reference = changed(B4_RANDOM, weights=common_pb2.WEIGHTS_KIND_REFERENCE)
    for model in (fine_tuned, reference):
        with pytest.raises(UnobservableError, match=r"weights \(of another model\)"):
            await observe("B4.1", measurements(FakeSegment((model,))))


async def test_a_random_model_says_how_to_make_it() -> None:
    recipe = (await observe("B4.1")).recipe
    assert recipe == (
        "{ test -d segformer-b4-random || assay export --architecture b4 --random-weights 0 "
        "--out segformer-b4-random; } && "
    )


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (changed(B4_PUBLISHED, source_facts=None), "nothing was recorded"),
        (
            changed(B4_PUBLISHED, source_facts=changed(B4_FACTS, logits_shape=(1, 9, 128, 128))),
            "150 classes for 9 channels",
        ),
    ],
)
async def test_a_model_that_cannot_tell(model: Model, problem: str) -> None:
    with pytest.raises(UnobservableError, match=problem):
        await observe("B1.1", measurements(FakeSegment((model,))))


async def test_no_model_and_no_segment() -> None:
    with pytest.raises(UnobservableError, match="serves no model"):
        await observe("B4.1", measurements(FakeSegment(())))
    down = FakeSegment(error=Unavailable("segment cannot be reached"))
    asked = measurements(down)
    for claim in ("B4.1", "B4.2", "B4.5"):
        with pytest.raises(UnobservableError, match="segment cannot be reached"):
            await observe(claim, asked)
    assert down.listed == 1


async def test_labels_on_a_few_inputs_are_shown_and_bound_nothing() -> None:
    observation = await observe("B8.2", measurements(FakeSegment((B4_PUBLISHED,))))
    assert content(observation) == pytest.approx(0.001)
    assert observation.relation is SubjectRelation.PROXY
    assert observation.interval is None
    assert "bounds nothing" in observation.note
    with pytest.raises(UnobservableError, match=r"weights \(random\)"):
        await observe("B8.2")


def test_a_cited_accuracy_spans_what_its_sources_print() -> None:
    observation = facts.packaged().of("B1.4")
    assert observation is not None
    assert content(observation) == 50.3
    assert observation.interval == Interval(48.46, 51.1)


def test_the_rivals_accuracy_is_another_fact() -> None:
    claims = REGISTRY.artifact(CLAIMS["B1.4"].artifact).claims
    group = CLAIMS["B1.4"].group
    assert [one.id for one in claims if one.group == group] == ["B1.4"]


async def test_a_rate_in_batches_is_shown_where_none_is_claimed() -> None:
    observation = await observe("S0.5", measurements(FakeSegment((B0,))))
    assert observation.value is not None
    assert observation.value.unit == "pictures/s"
    assert observation.interval is not None
    assert observation.interval.low <= float(content(observation)) <= observation.interval.high  # type: ignore[arg-type]
    sealed = seal(observation, claim="S0.5", method="m.f@1", command="c", time=NOON)
    assert judge(CLAIMS["S0.5"], sealed).verdict is Verdict.UNDERSPECIFIED


@pytest.mark.parametrize(("engine", "size"), [("openvino-cpu", 2), ("onnxruntime-cuda", 32)])
async def test_a_rate_is_of_batches_that_the_hardware_gains_from(engine: str, size: int) -> None:
    segment = FakeSegment((changed(B4_RANDOM, engine=common_pb2.Engine(id=engine)),))
    observation = await observe("S4.1", measurements(segment))
    assert [plan.batch_size for plan in segment.timed] == [size]
    assert observation.note.startswith(f"In batches of {size}.")
    assert observation.relation is RANDOM


async def test_latency_is_the_median_of_restarts_that_had_the_machine_for_themselves() -> None:
    segment = FakeSegment()
    observation = await observe("B4.5", measurements(segment))
    assert content(observation) == pytest.approx(1.01)
    assert observation.interval == Interval(1.01, 1.03, 1 - 2 / 2**8)
    assert observation.n == 8
    assert len(observation.restarts) == 8
    assert observation.environment == MACHINE
    assert observation.engine["id"] == "onnxruntime-cpu"
    assert "8 restarts that had the machine for themselves" in observation.conditions
    assert "shortest run 1 s" in observation.conditions
    plan = segment.timed[0]
    assert (plan.restarts, plan.runs, plan.batch_size, plan.engine) == (8, 3, 1, "")
    full = FakeSegment()
    await observe("B4.5", measurements(full, budget=Budget.FULL))
    assert full.timed[0].restarts > plan.restarts


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (
            restarts(8, others=0.9),
            "0 of 8 restarts had the machine for themselves, and 8 are needed; others used up",
        ),
        (restarts(8, kernel=None), "this machine's own speed is known after timings on two days"),
        ([], "this machine's own speed is known after timings on two days"),
    ],
)
async def test_a_busy_machine_gives_an_upper_bound_only(
    seen: list[segment_benchmark_pb2.Restart], why: str
) -> None:
    busy = changed(QUIET, noisy=True, restart_records=seen)
    observation = await observe("B4.5", measurements(FakeSegment(figures=busy)))
    assert observation.interval == Interval(0.0, 1.03, 1 - 0.5**8)
    assert f"an upper bound, since {why}" in observation.conditions


async def earlier_of(claim: str, *sessions: segment_benchmark_pb2.BenchmarkResult) -> Observation:
    """Observe a claim in several verifications, each with what the ones before kept."""
    kept: list[Evidence] = []
    observation: Observation | None = None

    async def earlier(of: Claim) -> Sequence[Evidence]:
        assert of is CLAIMS[claim]
        return kept

    for place, session in enumerate(sessions):
        asked = Measurements(
            REGISTRY,
            facts.packaged(),
            FakeSegment(figures=session),
            FakeCorpus(),
            Budget.QUICK,
            earlier=earlier,
        )
        observation = await observe(claim, asked)
        kept.append(
            seal(
                observation,
                claim=claim,
                method=CLAIMS[claim].method,
                command="c",
                time=NOON + timedelta(hours=place),
            )
        )
    assert observation is not None
    assert choose(CLAIMS[claim], kept) == kept[-1]
    return observation


def session(
    first: int, seconds: float, count: int = 8, **load: float
) -> segment_benchmark_pb2.BenchmarkResult:
    """A verification whose restarts are the first of their hours."""
    return changed(
        QUIET,
        samples=times(*[(seconds + 0.001 * place,) * 3 for place in range(count)]),
        restart_records=restarts(count, first=first, **load),
    )


async def test_verifications_of_one_environment_are_pooled_and_looked_at_at_8_and_16() -> None:
    first = await earlier_of("B4.5", session(0, 1.0))
    again = await earlier_of("B4.5", session(0, 1.0), session(100, 2.0, count=7))
    # 15 clean restarts: the look at 8 stands, whatever the later ones say.
    assert (again.interval, again.value) == (first.interval, first.value)
    assert (len(again.restarts), again.n) == (15, 8)
    more = await earlier_of("B4.5", session(0, 1.0), session(100, 2.0))
    assert more.n == 16
    assert more.interval is not None
    assert (more.interval.low, more.interval.high) == (1.001, 2.006)
    assert more.interval.level == pytest.approx(0.991943, abs=1e-6)


async def test_clean_restarts_of_several_busy_verifications_add_up() -> None:
    few = [session(100 * place, 1.0, count=3) for place in range(3)]
    assert (await earlier_of("B4.5", *few[:2])).interval == Interval(0.0, 1.002, 1 - 0.5**6)
    assert (await earlier_of("B4.5", *few)).interval == Interval(1.0, 1.002, 1 - 2 / 2**8)


async def test_another_engine_is_another_measurement() -> None:
    other = changed(session(100, 9.0), engine=common_pb2.Engine(id="openvino-cpu"))
    observation = await earlier_of("B4.5", session(0, 1.0), other)
    assert len(observation.restarts) == 8
    assert content(observation) == pytest.approx(9.0035)


async def test_a_claim_that_names_no_engine_is_shown_each_one() -> None:
    slower = changed(QUIET, samples=times((6.0, 6.1, 6.2)), restart_records=restarts(1))
    segment = FakeSegment(engines={"torch-cpu": slower})
    observation = await observe("B4.5", measurements(segment))
    assert observation.breakdown == {"onnxruntime-cpu": pytest.approx(1.01), "torch-cpu": 6.1}
    assert [plan.engine for plan in segment.timed] == ["", "openvino-cpu", "torch-cpu"]
    sealed = seal(observation, claim="B4.5", method="m.f@1", command="c", time=NOON)
    verdict = judge(CLAIMS["B4.5"], sealed)
    assert verdict.verdict is Verdict.UNDERSPECIFIED
    assert "names neither" in verdict.reason
    assert "1.01 s with onnxruntime-cpu, 6.1 s with torch-cpu" in verdict.reason
    assert "on a processor x2" in verdict.reason


@pytest.mark.parametrize(
    ("named", "verdict"),
    [
        (("", "onnxruntime"), Verdict.REFUTED),
        (("", "openvino"), Verdict.NOT_TESTABLE_HERE),
        (("A Processor", ""), Verdict.REFUTED),
        (("NVIDIA V100", ""), Verdict.NOT_TESTABLE_HERE),
        (("x", ""), Verdict.NOT_TESTABLE_HERE),  # a letter names no hardware
        (("", "o"), Verdict.NOT_TESTABLE_HERE),
        (("", "ONNXRuntime-CPU"), Verdict.REFUTED),
    ],
)
async def test_a_speed_is_judged_on_what_the_claim_names(
    named: tuple[str, str], verdict: Verdict
) -> None:
    hardware, engine = named
    claim = replace(CLAIMS["B4.5"], hardware=hardware, engine=engine)  # 2 to 3 s, and it takes 1
    observation = await method_named(claim.method).observe(
        replace(claim, engine=""), measurements()
    )
    sealed = seal(observation, claim="B4.5", method="m.f@1", command="c", time=NOON)
    found = judge(claim, sealed)
    assert found.verdict is verdict
    if verdict is Verdict.NOT_TESTABLE_HERE:
        assert (hardware or engine) in found.reason


async def test_the_engine_that_a_claim_names_is_the_one_that_is_timed() -> None:
    faster = changed(
        QUIET,
        samples=times(*[(0.5, 0.5, 0.5)] * 8),
        engine=common_pb2.Engine(id="openvino-cpu", version="2026.4"),
    )
    segment = FakeSegment(engines={"openvino-cpu": faster})
    claim = replace(CLAIMS["B4.5"], engine="OpenVINO")
    observation = await method_named(claim.method).observe(claim, measurements(segment))
    assert content(observation) == 0.5
    assert [plan.engine for plan in segment.timed] == ["openvino-cpu"]
    assert "with openvino-cpu 2026.4" in observation.conditions


async def test_a_gpu_claim_is_not_timed_on_a_cpu_nor_the_reverse() -> None:
    with pytest.raises(UnobservableError, match="served on a CPU"):
        await observe("B4.4")
    cuda = FakeSegment((B4_CUDA,))
    assert content(await observe("B4.4", measurements(cuda))) == pytest.approx(1.01)
    with pytest.raises(UnobservableError, match="on an accelerator"):
        await observe("B4.5", measurements(cuda))


async def test_another_size_is_not_timed() -> None:
    segment = FakeSegment((B0,))
    with pytest.raises(UnobservableError, match="nothing of its architecture"):
        await observe("B4.5", measurements(segment))
    assert segment.timed == []


async def test_throughput_in_batches_is_orientation_on_a_cpu() -> None:
    with pytest.raises(UnobservableError, match="the claim is about GPUs"):
        await observe("B6.3")
    observation = await observe("B6.3", measurements(budget=Budget.FULL))
    assert observation.relation is SubjectRelation.PROXY
    cuda = FakeSegment((B4_CUDA,))
    observation = await observe("B6.3", measurements(cuda))
    assert observation.relation is RANDOM


def batches(*seconds: float, others: float = 0.0) -> FakeSegment:
    """A segment on an accelerator whose batches of 1, 16 and 32 take so long."""
    timings = {
        size: changed(
            QUIET,
            restart_records=restarts(10, others=others),
            samples=times(*((one * (0.9995 + 0.0001 * place),) * 3 for place in range(10))),
        )
        for size, one in zip((1, 16, 32), seconds, strict=True)
    }
    return FakeSegment((B4_CUDA,), by_batch=timings)


@pytest.mark.parametrize(
    ("seconds", "holding"),
    [
        ((1 / 4, 16 / 21.5, 32 / 40), 3),  # 4, 21.5 and 40 a second: on a line, 10 times
        ((1 / 4, 16 / 39, 32 / 40), 2),  # saturated at 16
        ((1 / 10, 16 / 55, 32 / 100), 2),  # faster than claimed
        ((1 / 30, 16 / 35, 32 / 40), 2),  # a third faster in batches, no more
        ((1 / 30, 16 / 39, 32 / 40), 1),
        ((1.0, 1.0, 1.0), 2),  # a batch takes as long as a picture: on a line, but 32 times
    ],
)
async def test_every_part_of_the_claim_on_batches_counts(
    seconds: tuple[float, ...], holding: int
) -> None:
    observation = await observe("B6.3", measurements(batches(*seconds)))
    assert content(observation) == holding
    assert observation.interval is not None
    surely = observation.interval
    assert surely.level == 0.99
    assert surely.low <= holding <= surely.high
    verdict = judge(
        replace(CLAIMS["B6.3"], hardware="a processor"),
        seal(observation, claim="B6.3", method="m.f@1", command="c", time=NOON),
    ).verdict
    assert verdict is (Verdict.CONFIRMED if holding == 3 else Verdict.REFUTED)


async def test_a_busy_machine_leaves_the_parts_on_batches_open() -> None:
    observation = await observe(
        "B6.3", measurements(batches(1 / 4, 16 / 21.5, 32 / 40, others=1.0))
    )
    assert observation.interval == Interval(0, 3, 0.99)


async def test_subsets_and_sources() -> None:
    assert content(await observe("P1.1")) == 22
    observation = await observe("P5.2")
    assert content(observation) == 1
    assert observation.relation is SubjectRelation.SAMPLE
    assert observation.n == 2200
    anonymous = changed(DESCRIPTION, documents_without_subset=220)
    part = await observe("P5.2", measurements(corpus=FakeCorpus(description=anonymous)))
    assert content(part) == pytest.approx(0.9)
    # Documents that nobody drew say nothing of the others, but that not all name a source.
    assert part.interval == Interval(math.nextafter(0, 1), math.nextafter(1, 0))
    whole = await observe("P5.2", whole_pile(FakeCorpus((COMPLETE,), description=anonymous)))
    assert whole.interval == Interval(0.9, 0.9)
    empty = changed(DESCRIPTION, documents=0, subsets=None, duplicate_documents=0)
    with pytest.raises(UnobservableError, match="no documents"):
        await observe("P5.2", measurements(corpus=FakeCorpus(description=empty)))


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("licensed_share", "the same names may be others"),
        ("share_distance", "the same names may be others"),
        ("ratio_against_gzip", ""),
    ],
)
async def test_what_is_published_of_the_pile_is_of_no_corpus_with_subsets_of_those_names(
    method: str, told: str
) -> None:
    """Corpus knows shares and rights by the names of subsets, which another corpus may have."""
    pile = REGISTRY.artifact("the-pile")
    served = FakeCorpus((changed(COMPLETE, ref=changed(COMPLETE.ref, name="mine")),))
    stated = replace(pile.configuration, digest=COMPLETE.ref.digest, subsets=(), files={})
    mine = replace(pile, id="mine", claims=(), configuration=stated)
    registry = Registry([mine], methods.known())
    asked = Measurements(registry, facts.packaged(), FakeSegment(), served, Budget.QUICK)
    module = methods.storage if method.endswith("gzip") else methods.composition
    observed = getattr(module, method)(replace(CLAIMS["P4.1"], artifact="mine"), asked)
    if told:
        with pytest.raises(UnobservableError, match=told):
            await observed
    else:  # all of it is here, so that nothing is open
        assert not math.isinf((await observed).interval.high)


async def test_the_distance_of_the_shares() -> None:
    sample = await observe("P6.1")
    assert content(sample) == pytest.approx(0, abs=1e-12)
    assert sample.interval == Interval(0.0, 1.0)
    whole = await observe("P6.1", whole_pile())
    assert whole.relation is SubjectRelation.EXACT
    assert whole.interval is not None
    assert whole.interval.low == whole.interval.high
    missing = [changed(one, documents=0, text_bytes=0) for one in SUBSETS[11:]]
    few = changed(DESCRIPTION, subsets=SUBSETS[:11] + missing, text_bytes=11000)
    half = await observe("P6.1", measurements(corpus=FakeCorpus(description=few)))
    assert content(half) == pytest.approx(0.5)


async def test_that_a_corpus_is_whole_is_shown_by_its_digest_alone() -> None:
    """Whoever serves it may call it what he likes, and complete."""
    called = await observe("P1.1", measurements(corpus=FakeCorpus((COMPLETE,))))
    assert called.relation is SubjectRelation.SAMPLE
    assert (await observe("P1.1", whole_pile())).relation is SubjectRelation.EXACT


@pytest.mark.parametrize("names", [["ArXiv", "Wikitext"], [""], []])
async def test_a_corpus_that_lies_about_its_name_is_no_sample(names: list[str]) -> None:
    foreign = [changed(one, name=name) for one, name in zip(SUBSETS, names, strict=False)]
    asked = measurements(corpus=FakeCorpus(description=changed(DESCRIPTION, subsets=foreign)))
    for claim in ("P1.1", "P3.1", "P4.1", "P5.2", "P2.1"):
        with pytest.raises(UnobservableError, match="it is no sample of the-pile"):
            await observe(claim, asked)


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


HALF = changed(
    DESCRIPTION, subsets=[changed(one, documents=0) for one in SUBSETS[:11]] + SUBSETS[11:]
)
"""A sample without half of the text."""


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
    assert observation.conditions == "a part that nobody drew, and the rest may hold anything"
    sealed = seal(observation, claim=claim, method="m.f@2", command="c", time=NOON)
    verdict = judge(CLAIMS[claim], sealed)
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "a part that nobody drew" in verdict.reason


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


async def test_a_stretch_of_the_whole_corpus_is_a_sample_of_it() -> None:
    observation = await observe("P4.1", measurements(corpus=FakeCorpus((COMPLETE,))))
    assert observation.relation is SubjectRelation.SAMPLE


async def test_other_text_stands_in_for_nothing() -> None:
    peer = FakeCorpus((REFERENCE, corpus("zzz", "9e", REFERENCE.kind)))
    for claim in ("P1.1", "P3.1", "P4.1", "P2.1"):
        with pytest.raises(UnobservableError, match="no the-pile, but python-reference, zzz"):
            await observe(claim, measurements(corpus=peer))


@pytest.mark.parametrize(
    ("corpus", "claim", "problem"),
    [
        (FakeCorpus(()), "P3.1", "serves no the-pile"),
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


async def test_a_segment_that_lies_is_refused() -> None:
    lying = FakeSegment(figures=changed(QUIET, samples=times((-1.0, -1.0, -1.0))))
    with pytest.raises(UnobservableError, match=r"took -1\.0 s; that is outside physics"):
        await observe("B4.5", measurements(lying))
    facts_ = changed(B4_FACTS, parameters=1)
    with pytest.raises(UnobservableError, match="outside physics"):
        await observe("B4.1", measurements(FakeSegment((changed(B4_RANDOM, source_facts=facts_),))))


async def test_bits_per_byte_are_a_yardstick() -> None:
    observation = await observe("P2.1")
    assert content(observation) is True
    assert observation.inputs == (Input(BPB.model.digest, "model", BPB.model.name),)
    # The definition and its 22 subsets are cited; the run shows no more than it computed.
    assert observation.basis is Basis.DERIVED
    assert any("Tables 1" in source.locator for source in observation.sources)
    assert "20 held-out documents of 2 subsets of the-pile (sample, sha256:5a5a" in observation.note


async def test_a_yardstick_is_one_whatever_a_model_needs_by_it() -> None:
    """A model that predicts nothing says nothing of the metric, and neither does no text."""
    whole = changed(BPB.overall, nats=9 * math.log(2) * 2000, bits_per_byte=9.0)
    subset = changed(BPB.subsets[0], score=whole)
    ignorant = changed(BPB, overall=whole, subsets=[subset])
    observation = await observe("P2.1", measurements(corpus=FakeCorpus(scores=ignorant)))
    assert content(observation) is True
    assert f"{subset.subset} 9.000" in observation.note
    nothing = changed(BPB, subsets=None)
    with pytest.raises(UnobservableError, match="scored no text of the test split") as error:
        await observe("P2.1", measurements(corpus=FakeCorpus(scores=nothing)))
    assert error.value.reason is UnmeasuredReason.DATA_MISSING


async def test_what_the_page_prints() -> None:
    first = await observe("R1")
    assert content(first) == 42
    assert first.interval == Interval(5, 62)
    assert (await observe("R2")).interval == Interval(25, 82)
    assert content(await observe("R3")) is False
    assert content(await observe("R4")) is True


@pytest.mark.parametrize(("budget", "pictures"), [(Budget.QUICK, 10), (Budget.FULL, 12)])
async def test_an_accuracy_on_pictures_at_hand_is_of_a_sample(
    budget: Budget, pictures: int
) -> None:
    segment = FakeSegment((B4_PUBLISHED,))
    observation = await observe("B1.4", the_published(segment, budget=budget))
    assert observation.value == Value(45.0, "%")
    assert observation.relation is SubjectRelation.SAMPLE
    of_its_name = await observe("B1.4", measurements(FakeSegment((B4_PUBLISHED,)), budget=budget))
    assert of_its_name.relation is SubjectRelation.NAMED
    assert segment.evaluated == [observation.n] == [pictures]
    assert f"on {pictures} of the 2,000 validation pictures" in observation.note


@pytest.mark.parametrize("served", [B4_RANDOM, B0])
async def test_other_weights_have_no_accuracy_of_the_published_ones(served: Model) -> None:
    segment = FakeSegment((served,))
    with pytest.raises(UnobservableError, match=r"random|architecture"):
        await observe("B1.4", measurements(segment))
    assert segment.evaluated == []


async def test_without_labelled_pictures_the_setting_is_named() -> None:
    with pytest.raises(UnobservableError, match="ASSAY_RANKER_LABELLED_PICTURES"):
        await observe("B1.4", measurements(FakeSegment((B4_PUBLISHED,)), pictures=()))


@pytest.mark.parametrize(
    "lie", [{"mean_iou": 1.2}, {"pixel_accuracy": math.nan}, {"pictures": 2000}]
)
async def test_an_accuracy_outside_physics_is_refused(lie: dict[str, float]) -> None:
    segment = FakeSegment((B4_PUBLISHED,), accuracy=replace(ACCURACY, **lie))  # type: ignore[arg-type]
    with pytest.raises(UnobservableError, match="outside physics"):
        await observe("B1.4", measurements(segment))


def described(**counts: object) -> FakeCorpus:
    return FakeCorpus((COMPLETE,), changed(DESCRIPTION, **counts))


async def counted(method: str, asked: Measurements) -> Observation:
    """What a method observes of the Pile."""
    version = next(one for one in methods.known() if one.startswith(f"composition.{method}@"))
    found = replace(CLAIMS["P1.1"], method=version)
    return await method_named(found.method).observe(found, asked)


async def test_duplicates_are_counted_in_the_whole_and_bound_nothing_in_a_part() -> None:
    found = await counted("duplicate_rate", whole_pile(described(duplicate_documents=22)))
    assert found.value == Value(0.01, "share")
    assert (found.relation, found.interval) == (SubjectRelation.EXACT, Interval(0.01, 0.01))
    part = await counted("duplicate_rate", measurements())
    assert (part.relation, part.interval) == (SubjectRelation.SAMPLE, Interval(0.0, 1.0))


@pytest.mark.parametrize(
    ("license_", "licensed"),
    [
        ("CC-BY-SA", True),
        ("public domain (opinions of US courts)", True),
        ("none; books in copyright", False),
        ("each author's own", False),
        ("no known restriction", False),
        ("a library's terms; some abstracts in copyright", False),
        ("", False),
    ],
)
async def test_a_subset_is_licensed_where_one_licence_is_stated_for_all_of_it(
    license_: str, licensed: bool
) -> None:
    subsets = [
        describe_pb2.SubsetInfo(name="a", documents=1, text_bytes=300),
        describe_pb2.SubsetInfo(
            name="b", text_bytes=100, rights=describe_pb2.SubsetRights(license=license_)
        ),
    ]
    asked = whole_pile(described(subsets=subsets, text_bytes=400))
    found = await counted("licensed_share", asked)
    assert found.value == Value(0.25 if licensed else 0.0, "share")


async def test_where_no_rights_are_stated_nothing_is_observed() -> None:
    with pytest.raises(UnobservableError, match="nothing is stated of the rights"):
        await counted("licensed_share", whole_pile())


async def test_every_method_gives_the_unit_of_its_claim() -> None:
    published = FakeSegment((B4_PUBLISHED,))
    cuda = FakeSegment((B4_CUDA,))
    (page,) = REGISTRY.pages
    for claim in REGISTRY.claims.values():
        if claim.artifact not in (*page.compares, page.id):
            continue  # other sizes are not served by the peer made by hand
        if not claim.method or not isinstance(claim.bound, Equals | Range | Ratio):
            continue
        served = {"B4.4": cuda, "B6.3": cuda}
        served |= dict.fromkeys(("B1.1", "B1.4", "B8.2"), published)
        asked = measurements(served.get(claim.id))
        observation = await observe(claim.id, asked)
        assert observation.value is not None
        assert observation.value.unit == claim.bound.unit, claim.id


def beside(count: int, *, others: float = 0.0, kernel: float | None = 1.0) -> FakeSegment:
    """B4 and B0 in so many processes, B4 three times as slow, give or take a hundredth."""
    paired = segment_benchmark_pb2.PairedFigures(
        samples=times(*[(0.1, 0.1, 0.1)] * count),
    )
    slow = [(0.3 + 0.0001 * place,) * 3 for place in range(count)]
    figures = changed(
        QUIET,
        samples=times(*slow),
        restart_records=restarts(count, others=others, kernel=kernel),
        paired=paired,
    )
    return FakeSegment(served=(B4_RANDOM, B0), figures=figures)


RATIO = "S4.7"


@pytest.mark.parametrize(("count", "level"), [(8, 0.99), (16, 0.99), (17, family.LEVEL)])
async def test_a_time_beside_the_reference_is_at_the_level_that_its_restarts_give(
    count: int, level: float
) -> None:
    segment = beside(count)
    found = await observe(RATIO, measurements(segment, budget=Budget.FULL))
    assert segment.timed[0].against == B0.ref.name
    assert found.value is not None
    assert found.value.number == pytest.approx(3 + 0.0005 * (count - 1))
    assert found.interval is not None
    assert found.interval.level >= level
    assert (found.n, found.relation) == (count, RANDOM)
    assert found.inputs == (Input(B0.ref.digest, "model", B0.ref.name),)
    assert found.subject["architecture"] == "segformer-b4"


async def test_the_reference_is_one_by_definition() -> None:
    found = await observe("S0.7", measurements(beside(1)))
    assert found.value == Value(1.0, "1")
    assert found.interval is None
    assert found.engine


@pytest.mark.parametrize(
    ("segment", "budget", "message"),
    [
        (beside(17), Budget.QUICK, "it takes 17 restarts of two models"),
        (beside(7), Budget.FULL, "7 of 7 restarts had the machine for themselves, and 8"),
        (beside(20, others=1.0), Budget.FULL, "0 of 20 restarts had the machine"),
        (beside(20, kernel=None), Budget.FULL, "0 of 20 restarts had the machine"),
        (FakeSegment(), Budget.FULL, "segformer-b0"),
    ],
)
async def test_what_is_no_ratio_is_not_measured(
    segment: FakeSegment, budget: Budget, message: str
) -> None:
    with pytest.raises(UnobservableError, match=message):
        await observe(RATIO, measurements(segment, budget=budget))


def test_every_metric_of_the_methodology_has_a_method() -> None:
    """What is only cited is a truth about a publication."""
    measured = {(one.fact, one.unit) for one in methods.known().values()}
    bits = methods.known()["language_models.bits_per_byte@2"]
    for subset in published.NAMES:
        measured.add((fact_of(replace(CLAIMS["G1"], subset=subset), bits), bits.unit))
    for rules in load().types.values():
        for name, metric in rules.metrics.items():
            if metric.good is None:
                assert (metric.fact, metric.unit) in measured, name


async def test_what_is_not_compressed_says_nothing_of_how_it_compresses() -> None:
    shards = [changed(one, path=one.path.removesuffix(".zst")) for one in DESCRIPTION.corpus.shards]
    plain = FakeCorpus(
        (COMPLETE,), changed(DESCRIPTION, corpus=changed(DESCRIPTION.corpus, shards=shards))
    )
    with pytest.raises(UnobservableError, match=r"train/00\.jsonl is not compressed here"):
        await observe("P3.2", whole_pile(plain))


async def test_weights_whose_licence_is_refused_are_no_service_that_is_down() -> None:
    refusing = FakeSegment(error=LicenseNotAccepted("the licence of m is not accepted"))
    with pytest.raises(UnobservableError, match="segment refuses it: the licence of m") as no:
        await observe("B4.5", measurements(refusing))
    assert no.value.reason is UnmeasuredReason.LICENSE_NOT_ACCEPTED


async def test_what_corpus_cannot_measure_is_no_service_that_is_down() -> None:
    class Plain(FakeCorpus):
        async def storage(self, *_: object) -> NoReturn:
            raise Unsupported("corpus: 00.jsonl is not a .jsonl.zst file")

    with pytest.raises(UnobservableError, match=r"cannot measure it: corpus: 00\.jsonl") as no:
        await observe("P3.1", measurements(corpus=Plain()))
    assert no.value.reason is UnmeasuredReason.DATA_MISSING
