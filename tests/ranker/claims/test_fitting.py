"""What a method says of its claims holds, whatever their manifests say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.claims.bounds import Boolean, Bound, Equals, Range, Ratio, Text
from services.ranker.claims.definition import (
    Definition,
    Kind,
    Plausible,
    cannot_fail,
    cannot_hold,
    guess,
)
from services.ranker.claims.fitting import fitted, problems
from services.ranker.claims.model import ArtifactType, Aspect, Claim, Undecidable, Verdict
from services.ranker.measuring import methods

METHODS = methods.known()
MODEL, DATA = ArtifactType.SEGMENTATION_MODEL, ArtifactType.DATASET
LANGUAGE = ArtifactType.LANGUAGE_MODEL


def claim(method: str, bound: Bound | None = None, aspect: Aspect | None = None) -> Claim:
    return Claim(
        id="C",
        artifact="a",
        statement="s",
        aspect=aspect or Aspect.PUBLICATION,
        stated_aspect=aspect,
        group="mine",
        bound=bound,
        method=method,
    )


def told(of: Claim, about: ArtifactType | None) -> str:
    return "; ".join(f"{key}: {problem}" for key, problem in problems(of, about, METHODS))


@pytest.mark.parametrize(
    ("method", "bound", "about", "message"),
    [
        ("model_facts.parameter_count@1", Equals(9e8, 1, "GFLOPs"), MODEL, "gives 'parameters'"),
        ("model_facts.convolution_count@1", None, LANGUAGE, "no method measures this"),
        ("model_facts.parameter_count@1", None, DATA, "no method measures this of a dataset"),
        ("storage.plain_parse_share@2", Boolean(True), DATA, "write `equals` or `range` with unit"),
        ("storage.plain_parse_share@2", Range(99, 100, "%"), DATA, "1 share is 100 %"),
        ("model_speed.cpu_latency@2", Range(20, 30, "ms"), MODEL, "1 s is 1,000 ms"),
        (
            "language_models.bits_per_byte@2",
            Range(None, 2.3, "nats per byte"),
            LANGUAGE,
            "1 bits per byte is 0.693147 nats per byte",
        ),
        ("storage.plain_parse_share@2", Range(0, 1, "share"), DATA, "nothing can fail it"),
        ("storage.plain_parse_share@2", Range(None, 1, "share"), DATA, "nothing can fail it"),
        ("model_facts.parameter_count@1", Range(1, 1e12, "parameters"), MODEL, "nothing can fail"),
        ("storage.plain_parse_share@2", Equals(-3, 0, "share"), DATA, "gives 0 to 1 share"),
        ("storage.plain_parse_share@2", Range(1.01, None, "share"), DATA, "nothing can meet it"),
        ("model_accuracy.mean_iou@1", Equals(101, 0.9, "%"), MODEL, "gives 0 to 100 %"),
        ("model_speed.cpu_latency@2", Range(None, -1, "s"), MODEL, "gives 0 s or more"),
        ("model_facts.stage_depths@1", Equals(3, 0, "1"), MODEL, "gives a text, never a number"),
        ("model_facts.pads@1", Text("no"), MODEL, "write `boolean`"),
        ("model_speed.cpu_latency@2", Ratio(2, 3), MODEL, "gives 's', not '1'"),
        ("model_speed.cpu_latency@2", Ratio(2, 3, "s"), MODEL, "no ratio to another"),
        ("model_fact.parameter_count@1", None, MODEL, "did you mean model_facts.parameter_count@1"),
    ],
)
def test_a_claim_that_does_not_fit_its_method_is_told_what_the_method_says(
    method: str, bound: Bound | None, about: ArtifactType, message: str
) -> None:
    assert message in told(claim(method, bound), about)


@pytest.mark.parametrize("bound", [Equals(-3, 3, "share"), Range(1, 2, "share")])
def test_a_bound_that_one_value_meets_is_no_mistake(bound: Bound) -> None:
    assert told(claim("storage.plain_parse_share@2", bound), DATA) == ""


@pytest.mark.parametrize(
    ("method", "about", "statement", "refused"),
    [
        ("model_facts.parameter_count@1", MODEL, "Its encoder has 3.3M parameters.", True),
        ("model_facts.parameter_count@1", MODEL, "It has 85 M, 81.4 in the encoder.", False),
        ("model_facts.parameter_count@1", MODEL, "Of 13,000,000 active parameters.", True),
        ("language_models.parameter_count@1", LANGUAGE, "85,056,000 non-embedding ones.", True),
        ("language_models.parameter_count@1", LANGUAGE, "85 M without the embeddings.", True),
        ("language_models.parameter_count@1", LANGUAGE, "It is ahead with 85 M of them.", False),
        ("language_models.tokens_per_second@1", LANGUAGE, "It generates 50 tokens/s.", True),
        ("composition.duplicate_rate@1", DATA, "4 % are near duplicates.", True),
        ("composition.near_duplicate_rate@1", DATA, "4 % are near duplicates.", False),
    ],
)
def test_a_statement_about_another_figure_than_the_methods_is_refused(
    method: str, about: ArtifactType, statement: str, refused: bool
) -> None:
    stated = replace(claim(method), statement=statement)
    assert ("statement: says" in told(stated, about)) is refused
    apart = replace(stated, undecidable=Undecidable(Verdict.NOT_TESTABLE_HERE, "not counted"))
    assert "statement:" not in told(apart, about)


def test_a_model_is_not_compared_with_itself() -> None:
    mine = replace(
        claim("language_models.bits_per_byte_difference@2", Range(None, 0, "bits per byte")),
        dataset="the-pile",
    )
    itself = replace(mine, rival="a", comparator="a")
    assert told(itself, LANGUAGE) == "comparator.artifact: is the artifact itself; name another"
    assert told(replace(mine, rival="b", comparator="b"), LANGUAGE) == ""


def test_the_methods_aspect_and_fact_hold() -> None:
    mine = claim("composition.subset_count@1", Equals(17, 0, "subsets"), Aspect.STORAGE)
    assert "is of 'composition'" in told(mine, DATA)
    taken = fitted(mine, {}, METHODS)
    assert (taken.aspect, taken.group) == (Aspect.COMPOSITION, "subsets")
    assert not taken.sample_decides
    assert told(replace(mine, stated_aspect=None), DATA) == ""


@pytest.mark.parametrize("stated", ["encoder-parameters", "PARAMETERS", "parameter"])
def test_a_group_that_is_not_the_methods_fact_is_refused_and_not_replaced(stated: str) -> None:
    mine = claim("model_facts.parameter_count@1", Equals(9e7, 1, "parameters"))
    problem = told(fitted(replace(mine, stated_group=stated), {}, METHODS), MODEL)
    assert problem.startswith("group: model_facts.parameter_count@1 is about 'parameters' here")
    for allowed in ("", "parameters"):
        assert told(replace(mine, stated_group=allowed), MODEL) == ""
    cited = claim("sources.cite@1", Equals(5, 1, "checkpoints"))
    assert told(replace(cited, stated_group=stated), LANGUAGE) == ""


def test_the_group_of_a_figure_on_a_corpus_is_of_the_corpus_and_the_subset() -> None:
    mine = replace(
        claim("language_models.bits_per_byte@2", Range(None, 4, "bits per byte")),
        dataset="other",
        subset="Pile-CC",
    )
    stated = replace(mine, stated_group="bits-per-byte")
    assert "is about 'bits-per-byte-on-other-pile-cc' here" in told(stated, LANGUAGE)
    assert told(replace(mine, stated_group="bits-per-byte-on-other-pile-cc"), LANGUAGE) == ""


B0 = "segformer-b0-finetuned-ade-512-512"


@pytest.mark.parametrize(
    ("method", "about", "comparator", "rival", "message"),
    [
        ("model_facts.parameter_count@1", MODEL, "PSPNet", "", "compares with nothing"),
        ("model_facts.parameter_count@1", MODEL, B0, B0, "compares with nothing"),
        ("language_models.bits_per_byte@2", LANGUAGE, "gpt2", "gpt2", "compares with nothing"),
        ("relative_speed.latency_ratio@1", MODEL, "b1", "b1", f"compares with {B0} alone"),
        ("relative_speed.latency_ratio@1", MODEL, B0, "b1", f"compares with {B0} alone"),
        ("relative_speed.latency_ratio@1", MODEL, "PSPNet", B0, f"compares with {B0} alone"),
        ("relative_speed.latency_ratio@1", MODEL, B0, B0, ""),
        ("relative_speed.latency_ratio@1", MODEL, "SegFormer-B0", "", ""),
        ("model_facts.head_parameter_ratio@1", MODEL, "PSPNet's head", "", "with DeepLabV3+'s"),
        ("model_facts.head_parameter_ratio@1", MODEL, "DeepLabV3+ (R-101)", "", ""),
        ("model_facts.head_parameter_ratio@1", MODEL, "DeepLabV3+", B0, "with DeepLabV3+'s"),
        ("storage.ratio_against_gzip@3", DATA, "bzip2", "", "with gzip at its default level"),
        ("storage.ratio_against_gzip@3", DATA, "", "", ""),
        ("storage.ratio_against_gzip@3", DATA, "gzip at its default level, 6", "", ""),
        ("storage.ratio_against_gzip@3", DATA, "gzip at level 9", "", "with gzip at its default"),
        ("storage.speed_against_gzip@3", DATA, "pigz, a gzip", "", "with gzip at its default"),
        ("model_facts.head_parameter_ratio@1", MODEL, "UPerNet, no DeepLabV3+", "", "DeepLabV3+'s"),
        ("relative_speed.latency_ratio@1", MODEL, "segformer-b0 in TensorRT", "", "alone"),
        ("sources.cite@1", DATA, "C4", "c4", ""),
    ],
)
def test_a_comparator_is_what_the_method_compares_with(
    method: str, about: ArtifactType, comparator: str, rival: str, message: str
) -> None:
    mine = replace(claim(method), comparator=comparator, rival=rival, dataset="")
    found = [problem for key, problem in problems(mine, about, METHODS) if key == "comparator"]
    assert [message in one for one in found] == ([True] if message else [])


@pytest.mark.parametrize(
    ("method", "text", "message"),
    [
        ("model_facts.stage_depths@1", "3, 8, 27 and 3", "numbers in a row, as 3-8-27-3"),
        ("model_facts.stage_depths@1", "four stages", "numbers in a row"),
        ("model_facts.stage_depths@1", "[3, 8, 27, 3]", ""),
        ("model_facts.logits_shape@1", "1x150x128x128", "3 numbers in a row, as 150x128x128"),
        ("model_facts.logits_shape@1", "150 x 128 x 128", ""),
        ("model_facts.logits_size@1", "150x128x128", "2 numbers in a row, as 128x128"),
    ],
)
def test_a_text_is_of_the_form_that_its_method_gives(method: str, text: str, message: str) -> None:
    """Or what is true in other words would be refuted."""
    found = told(claim(method, Text(text)), MODEL)
    assert message in found if message else found == ""


@pytest.mark.parametrize(
    ("method", "scope", "refused"),
    [
        ("model_speed.cpu_latency@2", "one picture of 1024x1024", True),
        ("model_speed.cpu_latency@2", "pictures of 2048 \u00d7 1024", True),
        ("model_speed.cpu_latency@2", "one picture of 512x640", False),
        ("model_speed.cpu_latency@2", "one picture, 640x512", False),
        ("model_facts.parameter_count@1", "of the model for 1024x1024", False),
    ],
)
def test_a_size_in_the_scope_is_the_one_that_is_measured_at(
    method: str, scope: str, refused: bool
) -> None:
    mine = replace(claim(method), scope=scope)
    found = [key for key, _ in problems(mine, MODEL, METHODS, size=(512, 640))]
    assert ("scope" in found) is refused
    assert "scope" not in [key for key, _ in problems(mine, MODEL, METHODS)]


def test_a_manifest_of_an_earlier_version_of_a_method_is_of_the_one_that_is() -> None:
    later = METHODS["composition.subset_count@1"]
    methods_ = {"composition.subset_count@3": later, "composition.subset_count@2": later}
    old = claim("composition.subset_count@1", Equals(17, 0, "subsets"))
    assert list(problems(old, DATA, methods_)) == []
    assert fitted(old, {}, methods_).method == "composition.subset_count@3"
    for method in ("composition.subset_count@4", "composition.subset_count", "subset_count@1"):
        assert "no method" in next(problems(claim(method), DATA, methods_))[1]
    kept = claim("composition.subset_count@2", Equals(17, 0, "subsets"))
    assert fitted(kept, {}, methods_).method == "composition.subset_count@2"


def test_a_citation_keeps_its_own() -> None:
    cited = claim("sources.cite@1", Equals(5, 1, "checkpoints"), Aspect.SIZE)
    assert told(cited, LANGUAGE) == ""
    assert (fitted(cited, {}, METHODS).aspect, fitted(cited, {}, METHODS).group) == (
        Aspect.SIZE,
        "mine",
    )


def test_every_method_of_a_number_says_what_would_be_plausible() -> None:
    for name, one in METHODS.items():
        if one.kind is Kind.NUMBER:
            assert isinstance(one.chance, Plausible), name
            assert one.unit, name
        if one.kind is not Kind.ANY:
            assert one.fact, name
            assert one.aspect, name


WIDE = Definition(None, Kind.NUMBER, "s", "f", chance=Plausible(1, 1e4, logarithmic=True, least=0))


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (Range(10, 100, "s"), 0.25),
        (Range(100, None, "s"), 0.5),
        (Range(None, None, "s"), 1.0),
        (Equals(50, 0, "s"), 0.0),
        (Range(-5, -1, "s"), 0.0),
        (Range(1e5, 1e6, "s"), 0.0),
    ],
)
def test_a_guess_holds_as_often_as_the_bound_is_wide(bound: Bound, expected: float) -> None:
    assert guess(claim("m", bound), WIDE) == pytest.approx(expected)


@given(st.floats(-10, 10), st.floats(0, 10), st.floats(0, 1))
def test_no_share_is_within_a_bound_that_cannot_hold(low: float, width: float, at: float) -> None:
    definition = METHODS["storage.plain_parse_share@2"]
    bound = Range(low, low + width, "share")
    assert not (cannot_hold(bound, definition) and low <= at <= low + width)
    assert cannot_hold(bound, definition) == (low > 1 or low + width < 0)


@pytest.mark.slow
@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6), st.floats(1, 10))
def test_a_wider_bound_is_no_harder_to_guess(low: float, width: float, more: float) -> None:
    narrow, wide = (Range(low / f, (low + width) * f, "s") for f in (1, more))
    first, second = guess(claim("m", narrow), WIDE), guess(claim("m", wide), WIDE)
    assert 0 <= first <= second < 1
    assert cannot_fail(wide, WIDE) or not cannot_fail(narrow, WIDE)


@given(st.sampled_from(sorted(METHODS)), st.booleans(), st.floats(allow_nan=False))
def test_a_guess_is_always_a_chance(name: str, truth: bool, number: float) -> None:
    for bound in (Boolean(truth), Text("x"), Range(number, None, "1"), Equals(number, 1, "1")):
        if math.isinf(number) and isinstance(bound, Equals):
            continue
        assert 0 <= guess(claim(name, bound), METHODS[name]) < 1
