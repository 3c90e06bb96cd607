"""Language models: the artifact itself is scored, on the corpus that the claim names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2

from services.errors import InvalidArgument
from services.ranker.claims import facts
from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.evidence import Observation, seal
from services.ranker.claims.model import Artifact, Claim, Input, SubjectRelation, Verdict
from services.ranker.claims.registry import Registry, packaged, parse_text
from services.ranker.claims.verdict import judge
from services.ranker.measuring import methods
from services.ranker.measuring.measurements import Budget, Measurements
from services.ranker.measuring.methods import method_named
from services.ranker.measuring.unobservable import UnobservableError
from tests.ranker.peers_fake import (
    BYTES,
    ENVIRONMENT,
    FOREIGN,
    REFERENCE,
    SAMPLE,
    TINY,
    FakeCorpus,
    FakeSegment,
    changed,
    ref,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HEAD = f"""
kind: artifact
schema: 1
id: tiny
name: Tiny
type: LANGUAGE_MODEL
description: A small one.
license: {{id: MIT, name: MIT License}}
pricing: free
capabilities: []
digest: {TINY.ref.digest}
"""
UNSTATED = HEAD.replace(f"digest: {TINY.ref.digest}\n", "")
HELD_OUT = f"{{name: held-out, digest: {SAMPLE.ref.digest}}}"
CLAIMS = """
claims:
  - id: PILE_CC
    statement: It needs at most 4 bits per byte on Pile-CC.
    bound: {range: {high: 4}, unit: bits per byte}
    dataset: HELD_OUT
    subset: Pile-CC
    method: language_models.bits_per_byte@2
  - id: WHOLE
    statement: It needs at most 4 bits per byte.
    bound: {range: {high: 4}, unit: bits per byte}
    dataset: HELD_OUT
    method: language_models.bits_per_byte@2
  - id: PARAMETERS
    statement: It has 656,000 parameters.
    bound: {equals: {value: 656000, tolerance: 0}, unit: parameters}
    method: language_models.parameter_count@1
  - id: WINDOW
    statement: It reads 1,024 tokens.
    bound: {equals: {value: 1024, tolerance: 0}, unit: tokens}
    method: language_models.window@1
  - id: VOCABULARY
    statement: It knows 2,048 tokens.
    bound: {equals: {value: 2048, tolerance: 0}, unit: tokens}
    method: language_models.vocabulary@1
  - id: SPEED
    statement: It scores 100 tokens a second.
    bound: {range: {low: 100}, unit: tokens/s}
    dataset: HELD_OUT
    method: language_models.tokens_per_second@1
  - id: DIFFERENCE
    statement: It needs half a bit less than the byte model.
    bound: {range: {high: -0.5}, unit: bits per byte}
    dataset: HELD_OUT
    comparator: {artifact: byte-reference}
    method: language_models.bits_per_byte_difference@2
""".replace("HELD_OUT", HELD_OUT)


def serving(**given: Any) -> FakeCorpus:
    """A corpus service whose documents nothing but their name describes."""
    return FakeCorpus(served=(changed(SAMPLE, ref=changed(SAMPLE.ref, name="held-out")),), **given)


def registry(head: str = HEAD, claims: str = CLAIMS) -> Registry:
    known = packaged(methods.known())
    for text in (UNSTATED.replace("id: tiny", "id: byte-reference") + "claims: []", head + claims):
        artifact = parse_text(text.encode(), "m.yaml")
        assert isinstance(artifact, Artifact)
        known.register(artifact)
    return known


KNOWN = registry()


async def observe(name: str, corpus: FakeCorpus, known: Registry = KNOWN) -> Observation:
    claim = known.claim(f"tiny/{name}")
    asked = Measurements(known, facts.packaged(), FakeSegment(), corpus, Budget.QUICK)
    return await method_named(claim.method).observe(claim, asked)


def verdict(name: str, observation: Observation, known: Registry = KNOWN) -> Verdict:
    claim = known.claim(f"tiny/{name}")
    sealed = seal(observation, claim=name, method=claim.method, command="c", time=NOON)
    return judge(claim, sealed).verdict


EXACT = scoring_pb2.Basis(
    standing=scoring_pb2.STANDING_EXACT, documents=8, text_bytes=1000, scored=8
)
SAMPLED = scoring_pb2.Basis(
    standing=scoring_pb2.STANDING_ESTIMATE,
    unit=scoring_pb2.SAMPLE_UNIT_SPANS,
    scored=100,
    by_chance=90,
    documents=800,
    text_bytes=10**6,
    kept_share=0.25,
)


def figure(
    bits: float, basis: scoring_pb2.Basis, half: float | None = None
) -> scoring_pb2.BitsPerByte:
    interval = None
    if half is not None:
        interval = common_pb2.Interval(low=bits - half, high=bits + half, level=0.99)
    return scoring_pb2.BitsPerByte(
        nats=bits * math.log(2) * 1000,
        text_bytes=1000,
        documents=8,
        bits_per_byte=bits,
        interval=interval,
        basis=basis,
    )


def final(
    overall: scoring_pb2.BitsPerByte,
    subsets: Sequence[scoring_pb2.SubsetScore] = (),
    **more: object,
) -> scoring_pb2.FinalScore:
    return scoring_pb2.FinalScore(
        model=TINY.ref,
        overall=overall,
        subsets=subsets,
        environment=ENVIRONMENT,
        definition=scoring_pb2.Definition(
            preset=scoring_pb2.DEFINITION_PRESET_LM_EVAL, max_length=512, context_length=1
        ),
        compute=scoring_pb2.ComputeReport(engine=common_pb2.Engine(id="torch-cpu")),
        **more,  # type: ignore[arg-type]
    )


def on_pile_cc(score: scoring_pb2.BitsPerByte) -> scoring_pb2.FinalScore:
    return final(score, [scoring_pb2.SubsetScore(subset="Pile-CC", score=score)])


async def test_the_artifacts_own_model_is_scored_on_the_subset_of_its_claim() -> None:
    corpus = serving(scores=on_pile_cc(figure(3.3, EXACT)))
    observation = await observe("PILE_CC", corpus)
    ((scored, plan),) = corpus.plans
    assert scored == "tiny"
    assert (plan.split, plan.subsets, plan.spans, plan.level) == ("test", ("Pile-CC",), 100, 0.99)
    assert observation.value is not None
    assert (observation.value.content, observation.interval) == (3.3, None)
    assert verdict("PILE_CC", observation) is Verdict.CONFIRMED
    assert (
        "8 documents in the test split of held-out (sample, sha256:5a5a5a5a5a5a), all scored"
        in (observation.conditions)
    )
    assert observation.inputs == (
        Input(TINY.ref.digest, "model", TINY.ref.name),
        Input("sha256:" + "5a" * 32, "corpus", "held-out"),
    )
    assert observation.subject["dataset"] == "held-out sha256:" + "5a" * 32
    assert observation.subject["definition"] == "lm_eval, windows of 512 tokens, 1 of context"
    assert observation.engine["id"] == "torch-cpu"


async def test_a_sample_has_the_interval_that_a_verdict_needs() -> None:
    subsets = [
        scoring_pb2.SubsetScore(subset=name, score=figure(bits, SAMPLED))
        for name, bits in (("b", 3.0), ("a", 4.1))
    ]
    overall = changed(figure(3.9, SAMPLED, 0.2), nats=(3.0 + 4.1) * math.log(2) * 1000)
    corpus = serving(scores=final(overall, subsets))
    observation = await observe("WHOLE", corpus)
    assert observation.interval is not None
    found = observation.interval
    assert (found.low, found.high, found.level) == pytest.approx((3.7, 4.1, 0.99))
    assert verdict("WHOLE", observation) is Verdict.INCONCLUSIVE
    assert observation.breakdown == {"a": 4.1, "b": 3.0}
    assert observation.n == 100
    assert "the tokenizer reproduces 25.0 % of the text" in observation.conditions


async def test_an_example_decides_nothing_and_a_subset_is_scored_further() -> None:
    example = changed(
        SAMPLED, standing=scoring_pb2.STANDING_EXAMPLE, no_interval="10 spans are needed"
    )
    corpus = serving(scores=on_pile_cc(figure(3.3, example)))
    observation = await observe("PILE_CC", corpus)
    assert [plan.spans for _, plan in corpus.plans] == [100, 400, 1600]
    assert verdict("PILE_CC", observation) is Verdict.INCONCLUSIVE
    assert "no measurement: 10 spans are needed" in observation.conditions


async def test_the_text_that_the_tokenizer_loses_is_told() -> None:
    left = scoring_pb2.Excluded(score=scoring_pb2.BitsPerByte(text_bytes=9000))
    score = figure(3.3, EXACT)
    result = final(score, [scoring_pb2.SubsetScore(subset="Pile-CC", score=score)], excluded=[left])
    observation = await observe("PILE_CC", serving(scores=result))
    assert "the tokenizer reproduces 10.0 % of the text" in observation.conditions


async def test_a_subset_without_text_is_named() -> None:
    with pytest.raises(UnobservableError, match="no text of Pile-CC in the test split of held-out"):
        await observe("PILE_CC", serving(scores=final(figure(3.3, EXACT))))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("PARAMETERS", 656_000, Verdict.CONFIRMED),
        ("WINDOW", 512, Verdict.REFUTED),
        ("VOCABULARY", 2048, Verdict.CONFIRMED),
    ],
)
async def test_what_a_model_is_comes_from_what_is_served(
    name: str, content: float, expected: Verdict
) -> None:
    observation = await observe(name, serving())
    assert observation.value is not None
    assert observation.value.content == content
    assert observation.subject["type"] == "LANGUAGE_MODEL"
    assert verdict(name, observation) is expected


async def test_a_window_that_no_file_states_decides_nothing() -> None:
    assumed = serving(models=(changed(TINY, max_length_assumed=True),))
    with pytest.raises(UnobservableError, match="no file of tiny states a window"):
        await observe("WINDOW", assumed)
    assert (await observe("PARAMETERS", assumed)).value is not None


@pytest.mark.parametrize(
    ("served", "why"),
    [
        ((), "does not have the language model tiny"),
        (
            (changed(TINY, ref=ref("other", "7e")),),
            "does not have the language model tiny; it has other",
        ),
        ((changed(TINY, weights=common_pb2.WEIGHTS_KIND_RANDOM),), "random weights"),
    ],
)
async def test_another_model_is_no_stand_in(
    served: tuple[scoring_pb2.LanguageModel, ...], why: str
) -> None:
    with pytest.raises(UnobservableError, match=why) as caught:
        await observe("PARAMETERS", serving(models=served))
    assert caught.value.remedy == "serve it: --language-model tiny=DIR"


async def test_a_model_that_lies_about_its_name_is_known_by_its_digest() -> None:
    known = registry(UNSTATED + "digest: sha256:" + "ff" * 32 + "\n")
    with pytest.raises(UnobservableError, match=r"digest sha256:7e7e.*not the manifest's"):
        await observe("PARAMETERS", serving(), known)
    observation = await observe("PARAMETERS", serving())
    assert observation.relation is SubjectRelation.EXACT


def as_read(name: str, observation: Observation, known: Registry) -> tuple[Verdict, str]:
    claim = known.claim(f"tiny/{name}")
    sealed = seal(observation, claim=name, method=claim.method, command="c", time=NOON)
    found = judge(claim, sealed)
    return found.verdict, found.reason


async def test_a_tokenizer_may_know_fewer_tokens_than_there_are_embeddings_for() -> None:
    stated = "{equals: {value: 2048, tolerance: 0}"
    fewer = registry(claims=CLAIMS.replace(stated, "{equals: {value: 2000, tolerance: 0}"))
    with pytest.raises(UnobservableError, match="embeddings for 2,048 tokens, and its tokenizer"):
        await observe("VOCABULARY", serving(), fewer)
    more = registry(claims=CLAIMS.replace(stated, "{equals: {value: 2049, tolerance: 0}"))
    observation = await observe("VOCABULARY", serving(), more)
    assert verdict("VOCABULARY", observation, more) is Verdict.REFUTED
    # What was observed for another bound is not of this one.
    configurations = {one.claim("tiny/VOCABULARY").configuration["bound"] for one in (fewer, more)}
    assert len(configurations) == 2


@pytest.mark.parametrize("name", ["PARAMETERS", "WINDOW", "VOCABULARY", "PILE_CC", "DIFFERENCE"])
async def test_a_name_alone_identifies_no_model(name: str) -> None:
    """What is served under the name is measured and shown, and decides nothing."""
    known = registry(UNSTATED)
    served = serving(scores=on_pile_cc(figure(3.3, EXACT)), comparison=comparison(0.2, 0.1))
    observation = await observe(name, served, known)
    assert observation.value is not None
    assert observation.relation is SubjectRelation.NAMED
    found, reason = as_read(name, observation, known)
    assert found is Verdict.NOT_TESTABLE_HERE
    assert reason.startswith("what is served as tiny gave ")
    assert f"state the digest of tiny {TINY.ref.digest}" in reason


async def test_a_name_alone_identifies_no_corpus() -> None:
    known = registry(claims=CLAIMS.replace(HELD_OUT, "held-out"))
    observation = await observe("PILE_CC", serving(scores=on_pile_cc(figure(3.3, EXACT))), known)
    found, reason = as_read("PILE_CC", observation, known)
    assert found is Verdict.NOT_TESTABLE_HERE
    assert f"state the digest of held-out {SAMPLE.ref.digest}" in reason
    assert "3.3" in reason
    # A speed is of no text in particular.
    fast = serving(scores=final(figure(3.3, EXACT), tokens_per_second=250.0))
    assert (await observe("SPEED", fast, known)).relation is SubjectRelation.EXACT


FILES = {
    "config.json": "sha256:" + "c0" * 32,
    "model-00001-of-00002.safetensors": "sha256:" + "a1" * 32,
    "model-00002-of-00002.safetensors": "sha256:" + "a2" * 32,
    "tokenizer.json": "sha256:" + "70" * 32,
}
SHARDED = changed(TINY, digests=FILES)


def stating(files: dict[str, str]) -> str:
    return UNSTATED + "files:\n" + "".join(f"  {name}: {one}\n" for name, one in files.items())


@pytest.mark.parametrize("left_out", FILES)
async def test_all_files_that_a_figure_depends_on_are_known_or_nothing_is(left_out: str) -> None:
    served = serving(models=(BYTES, SHARDED))
    known = registry(stating(FILES))
    assert (await observe("PARAMETERS", served, known)).relation is SubjectRelation.EXACT
    rest = {name: one for name, one in FILES.items() if name != left_out}
    observation = await observe("PARAMETERS", served, registry(stating(rest)))
    assert observation.relation is SubjectRelation.NAMED
    other = registry(stating({**FILES, left_out: "sha256:" + "00" * 32}))
    with pytest.raises(
        UnobservableError, match=f"whose {left_out} has the digest {FILES[left_out]}"
    ):
        await observe("PARAMETERS", served, other)


async def test_the_digest_of_the_weights_alone_is_said_to_be_that() -> None:
    """A card prints that of model.safetensors; another tokenizer gives other figures."""
    known = registry(UNSTATED + f"digest: {FILES['model-00001-of-00002.safetensors']}\n")
    with pytest.raises(UnobservableError, match=f"state the digest of all, {TINY.ref.digest}"):
        await observe("PILE_CC", serving(models=(BYTES, SHARDED)), known)


@pytest.mark.parametrize("name", ["PILE_CC", "DIFFERENCE"])
async def test_a_figure_that_corpus_doubts_decides_nothing(name: str) -> None:
    doubt = "the tokenizer cannot reproduce plain English and Python"
    result = changed(on_pile_cc(figure(3.3, EXACT)), doubts=[doubt])
    both = comparison(-0.8, 0.1)
    doubted = changed(both, against=changed(both.against, doubts=[doubt]))
    observation = await observe(name, serving(scores=result, comparison=doubted))
    found, reason = as_read(name, observation, KNOWN)
    assert found is Verdict.INCONCLUSIVE
    assert f"in doubt, so it decides nothing: {doubt}" in reason


async def test_a_misspelt_subset_is_told_the_nearest() -> None:
    known = registry(claims=CLAIMS.replace("subset: Pile-CC", "subset: PileCC"))
    with pytest.raises(UnobservableError, match="has no subset 'PileCC'; did you mean Pile-CC"):
        await observe("PILE_CC", serving(), known)


async def test_a_speed_has_a_lower_bound_and_names_its_engine() -> None:
    corpus = serving(scores=final(figure(3.3, EXACT), tokens_per_second=250.0))
    observation = await observe("SPEED", corpus)
    assert [plan.fresh for _, plan in corpus.plans] == [True] * 8
    assert observation.interval == Interval(250.0, math.inf, 1 - 0.5**8)
    assert verdict("SPEED", observation) is Verdict.UNDERSPECIFIED
    claim = replace(KNOWN.claim("tiny/SPEED"), engine="torch")
    sealed = seal(observation, claim="SPEED", method=claim.method, command="c", time=NOON)
    assert judge(claim, sealed).verdict is Verdict.CONFIRMED
    with pytest.raises(UnobservableError, match="scored nothing"):
        await observe("SPEED", serving(scores=final(figure(3.3, EXACT))))


def comparison(bits: float, half: float | None, **more: object) -> scoring_pb2.BPBComparison:
    interval = None
    if half is not None:
        interval = common_pb2.Interval(low=bits - half, high=bits + half, level=0.99)
    difference = scoring_pb2.BPBDifference(
        bits_per_byte=bits,
        interval=interval,
        model=figure(3.0, SAMPLED, 0.1),
        against=figure(3.0 - bits, SAMPLED, 0.1),
        basis=SAMPLED,
        **more,  # type: ignore[arg-type]
    )
    both = final(figure(3.0, SAMPLED, 0.1))
    return scoring_pb2.BPBComparison(model=both, against=both, overall=difference)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (comparison(-0.8, 0.1), Verdict.CONFIRMED),
        (comparison(-0.5, 0.1), Verdict.INCONCLUSIVE),
        (comparison(0.2, 0.1), Verdict.REFUTED),
        (comparison(0.0, None, identical=True), Verdict.REFUTED),
    ],
)
async def test_two_models_are_compared_on_the_same_text(
    found: scoring_pb2.BPBComparison, expected: Verdict
) -> None:
    corpus = serving(comparison=found)
    observation = await observe("DIFFERENCE", corpus)
    assert [name for name, _ in corpus.plans] == ["tiny against byte-reference"]
    assert verdict("DIFFERENCE", observation) is expected
    assert "of byte-reference, on the same text" in observation.note
    assert len(observation.inputs) == 3


async def test_a_model_is_not_compared_with_itself() -> None:
    twin = changed(TINY, ref=changed(TINY.ref, name="byte-reference"))
    with pytest.raises(UnobservableError, match="is the same model"):
        await observe("DIFFERENCE", serving(models=(TINY, twin)))


async def test_what_would_have_been_seen_is_told() -> None:
    found = comparison(-0.01, 0.1, smallest_detectable=0.05)
    observation = await observe("DIFFERENCE", serving(comparison=found))
    assert "a difference of 0.05 would have been seen" in observation.conditions


async def test_what_is_published_stands_beside_what_is_measured() -> None:
    printed = scoring_pb2.PublishedBitsPerByte(
        model="tiny", source="a table", bits_per_byte=3.0, by_subset={"Pile-CC": 2.5}
    )
    score = figure(3.3, EXACT)
    result = final(
        score, [scoring_pb2.SubsetScore(subset="Pile-CC", score=score)], published=[printed]
    )
    observation = await observe("PILE_CC", serving(scores=result))
    assert "Published for tiny: 2.5, a table." in observation.note


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (f"    dataset: {HELD_OUT}\n", "is missing: the corpus that it is measured on"),
        (
            "    comparator: {artifact: byte-reference}\n",
            "is missing: the id of the other artifact",
        ),
    ],
)
def test_a_claim_names_what_it_is_measured_on(change: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        registry(claims=CLAIMS.replace(change, ""))


def test_facts_are_of_the_corpus_and_subset() -> None:
    pile = registry(claims=CLAIMS.replace(HELD_OUT, "the-pile"))
    groups = {claim.id: claim.group for claim in pile.artifact("tiny").claims}
    assert groups["PILE_CC"] == "bits-per-byte-pile-cc"
    assert groups["WHOLE"] == "bits-per-byte"
    assert groups["DIFFERENCE"] == "bits-per-byte-difference-against-byte-reference"
    other = registry(claims=CLAIMS.replace(HELD_OUT, "python-reference"))
    assert other.claim("tiny/WHOLE").group == "bits-per-byte-on-python-reference"
    printed = registry(
        claims=CLAIMS.replace(HELD_OUT, "the-pile").replace("Pile-CC", "Wikipedia (en)")
    )
    assert printed.claim("tiny/PILE_CC").group == "bits-per-byte-wikipedia"


def artifact() -> Artifact:
    return KNOWN.artifact("tiny")


def test_the_corpus_is_the_one_that_the_claim_names() -> None:
    claim: Claim = KNOWN.claim("tiny/PILE_CC")
    assert (claim.dataset, claim.subset) == ("held-out", "Pile-CC")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("dataset: foo.bar", "dataset: foo-bar"),  # one fact, and two corpora
        ("dataset: d\n    subset: \u66f8\u7c4d", "dataset: d\n    subset: \u65b0\u805e"),
        ("dataset: d\n    subset: Code", "dataset: d\n    subset: code"),
    ],
)
def test_what_was_measured_on_one_text_is_not_of_a_claim_about_another(
    before: str, after: str
) -> None:
    one, other = (
        registry(claims=CLAIMS.replace(f"dataset: {HELD_OUT}\n    subset: Pile-CC", text))
        for text in (before, after)
    )
    configurations = [known.claim("tiny/PILE_CC").configuration for known in (one, other)]
    assert configurations[0] != configurations[1]
    again = registry(claims=CLAIMS.replace(f"dataset: {HELD_OUT}\n    subset: Pile-CC", before))
    assert again.claim("tiny/PILE_CC").configuration == configurations[0]


def test_a_corpus_of_a_stated_digest_is_not_the_one_that_a_score_reads() -> None:
    """Anybody may call any corpus The Pile, and state the digest of that."""
    usual = registry(claims=CLAIMS.replace(HELD_OUT, "the-pile")).claim("tiny/WHOLE")
    assert usual.group == "bits-per-byte"
    groups = [usual.group]
    for digest in ("11" * 32, "22" * 32):
        own = f"{{name: the-pile, digest: sha256:{digest}}}"
        groups.append(registry(claims=CLAIMS.replace(HELD_OUT, own)).claim("tiny/WHOLE").group)
    assert len(set(groups)) == 3


def test_what_another_is_stated_to_be_is_part_of_what_a_claim_is_about() -> None:
    """The comparator may be registered anew as another thing, and so may the corpus."""
    known = registry()
    before = known.claim("tiny/DIFFERENCE").configuration
    stated = UNSTATED.replace("id: tiny", f"id: byte-reference\ndigest: sha256:{'11' * 32}")
    again = parse_text((stated + "claims: []").encode(), "m.yaml")
    assert isinstance(again, Artifact)
    known.register(again)
    assert known.claim("tiny/DIFFERENCE").configuration != before


async def test_the_corpus_that_comes_with_it_is_not_one_of_another_digest() -> None:
    name = REFERENCE.ref.name
    here = FakeCorpus(served=(REFERENCE,), scores=on_pile_cc(figure(9.9, EXACT)))
    for stated, relation in (
        (name, SubjectRelation.EXACT),
        (f"{{name: {name}, digest: {REFERENCE.ref.digest}}}", SubjectRelation.EXACT),
        (f"{{name: {name}, digest: sha256:{'00' * 32}}}", SubjectRelation.NAMED),
    ):
        known = registry(claims=CLAIMS.replace(HELD_OUT, stated))
        observation = await observe("PILE_CC", here, known)
        assert observation.relation is relation


async def test_what_is_served_under_a_registered_name_is_known_by_digests_alone() -> None:
    lying = FakeCorpus(scores=on_pile_cc(figure(9.9, EXACT)))
    known = registry(claims=CLAIMS.replace(HELD_OUT, "the-pile"))
    observation = await observe("PILE_CC", lying, known)
    # Its files are known to hold documents of it; they are no part that decides a figure of it.
    assert observation.relation is SubjectRelation.SAMPLE
    foreign = replace(lying, description=FOREIGN)
    assert (await observe("PILE_CC", foreign, known)).relation is SubjectRelation.NAMED
    assert observation.value == Value(9.9, "bits per byte")
    assert verdict("PILE_CC", observation, known) is Verdict.NOT_TESTABLE_HERE
    digest = lying.served[0].ref.digest
    data = f"kind: artifact\nschema: 1\nid: the-pile-2\nname: It\ntype: DATASET\ndigest: {digest}\n"
    data += "description: What it is.\nlicense: {id: MIT, name: MIT}\npricing: free\n"
    data += "capabilities: []\nclaims: []\n"
    known = registry(claims=CLAIMS.replace(HELD_OUT, "the-pile-2"))
    artifact = parse_text(data.encode(), "d.yaml")
    assert isinstance(artifact, Artifact)
    known.register(artifact)
    same = changed(SAMPLE, ref=changed(SAMPLE.ref, name="the-pile-2"))
    served = FakeCorpus(served=(same,), scores=on_pile_cc(figure(9.9, EXACT)))
    observation = await observe("PILE_CC", served, known)
    assert observation.relation is SubjectRelation.EXACT
    assert verdict("PILE_CC", observation, known) is Verdict.REFUTED
