from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from services.corpus.bpb.definition import Definition, Prefix, Preset
from services.corpus.bpb.document_scoring import score_document
from services.errors import InvalidArgument
from tests.corpus.bpb.fakes import PREFIX, UniformModel, document, info, resolved

GPT2 = replace(info(1024, 50256), vocabulary=50257, eos_token=50256)


@pytest.mark.parametrize(
    ("preset", "context", "stride", "prefix"),
    [
        (Preset.LM_EVAL, 1, 1024, 50256),
        (Preset.PILE_PAPER, 512, 513, 50256),
        (Preset.HUGGINGFACE_GUIDE, 512, 512, None),
        (Preset.LEVANTER, 1, 1023, 50256),
        (Preset.PALOMA, 1, 1024, 50256),
    ],
)
def test_what_the_presets_are_for_gpt2(
    preset: Preset, context: int, stride: int, prefix: int | None
) -> None:
    found = Definition(preset=preset).resolve(GPT2)
    assert (found.max_length, found.context_length, found.stride) == (1024, context, stride)
    assert found.prefix_token == prefix
    own = {Preset.HUGGINGFACE_GUIDE: Prefix.NONE, Preset.PALOMA: Prefix.EOS}
    assert found.prefix is own.get(preset, Prefix.BOS_OR_EOS)


@pytest.mark.slow
@given(
    st.sampled_from(Preset), st.integers(2, 50), st.integers(0, 50), st.integers(0, 50), st.data()
)
def test_a_resolved_definition_resolves_to_itself(
    preset: Preset, length: int, context: int, stride: int, data: st.DataObject
) -> None:
    prefixes = [Prefix.PRESET, Prefix.NONE]
    if preset is not Preset.HUGGINGFACE_GUIDE:
        prefixes += [Prefix.BOS, Prefix.EOS, Prefix.BOS_OR_EOS]
    prefix = data.draw(st.sampled_from(prefixes))
    asked = Definition(length, preset=preset, context_length=context, stride=stride, prefix=prefix)
    try:
        found = asked.resolve(GPT2)
    except InvalidArgument:
        reject()
    assert found.resolve(GPT2) == found
    assert found.context_length >= 1
    assert found.stride >= 1
    assert context in {0, found.context_length}
    assert stride in {0, found.stride}


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        (Definition(1025), "definition.max_length", "longest window is 1024"),
        (Definition(8, context_length=9), "definition.context_length", "must have 1 to 8"),
        (Definition(8, stride=9), "definition.stride", "must have 1 to 8"),
        (Definition(8, context_length=2, stride=5), "definition.stride", "give one of the two"),
        (Definition(prefix=Prefix.GIVEN), "definition.prefix_token", "is None"),
        (
            Definition(prefix=Prefix.GIVEN, prefix_token=50257),
            "definition.prefix_token",
            "tokens are 0 to 50256",
        ),
        (Definition(prefix_token=3), "definition.prefix_token", "of m is 50256"),
        (
            Definition(preset=Preset.HUGGINGFACE_GUIDE, prefix=Prefix.BOS),
            "definition.prefix",
            "no prefix token",
        ),
        (
            Definition(prefix=Prefix.NONE, prefix_everywhere=True),
            "definition.prefix_everywhere",
            "need one",
        ),
        (
            Definition(preset=Preset.HUGGINGFACE_GUIDE, prefix_everywhere=True),
            "definition.prefix_everywhere",
            "need one",
        ),
    ],
)
def test_what_does_not_fit_is_refused(asked: Definition, field: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        asked.resolve(GPT2)
    assert caught.value.field == field


def test_a_prefix_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="m has no such token as eos"):
        Definition(prefix=Prefix.EOS).resolve(info(16))
    assert Definition(prefix=Prefix.GIVEN, prefix_token=7).resolve(info(16)).prefix_token == 7


def test_a_prefix_that_has_no_embedding_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="is token 1000, and the model has 900"):
        Definition().resolve(replace(info(16), vocabulary=900))


def test_every_window_can_begin_with_the_prefix() -> None:
    model = UniformModel()
    everywhere = replace(Definition(prefix_everywhere=True), max_length=4).resolve(info(16))
    score_document(model, everywhere, document("abcdefgh"))
    begins = [window.inputs[0] for batch in model.batches for window in batch]
    assert begins == [PREFIX, PREFIX]


def test_without_a_prefix_the_first_token_is_not_scored() -> None:
    bare = Definition(prefix=Prefix.NONE).resolve(info(16))
    for text, tokens in (("", 0), ("x", 0), ("xy", 1), ("x" * 40, 39)):
        score = score_document(UniformModel(), bare, document(text))
        assert (score.tokens, score.text_bytes) == (tokens, len(text))
        assert score.nats == pytest.approx(tokens * math.log(8))


def test_the_guide_counts_what_it_says() -> None:
    guide = resolved(8, preset=Preset.HUGGINGFACE_GUIDE)
    # 17 tokens: 7 of the first window, then 4, 4 and 1 that count for 3, 3 and 0.
    score = score_document(UniformModel(), guide, document("x" * 17))
    assert score.tokens == 7 + 3 + 3
    assert score.nats == pytest.approx(13 * math.log(8))


@pytest.mark.parametrize("preset", [Preset.LEVANTER, Preset.PALOMA])
@pytest.mark.parametrize(("context", "stride"), [(2, 0), (0, 7)])
def test_how_windows_follow_each_other_is_fixed_in_some(
    preset: Preset, context: int, stride: int
) -> None:
    with pytest.raises(InvalidArgument, match="fixes how windows follow each other") as caught:
        Definition(16, preset=preset, context_length=context, stride=stride).resolve(GPT2)
    assert caught.value.field == f"definition.{'context_length' if context else 'stride'}"


def test_windows_without_context_cannot_begin_with_the_prefix() -> None:
    with pytest.raises(InvalidArgument, match="is for windows with context"):
        Definition(16, preset=Preset.LEVANTER, prefix_everywhere=True).resolve(GPT2)


def test_levanter_needs_two_tokens_in_a_window() -> None:
    with pytest.raises(InvalidArgument, match="does not score its first"):
        Definition(1, preset=Preset.LEVANTER).resolve(GPT2)


def test_levanter_counts_the_bytes_of_scored_tokens() -> None:
    text = document("\u00e9" * 40)  # two bytes a token
    plain = score_document(UniformModel(), resolved(16), text)
    packed = score_document(UniformModel(), resolved(16, preset=Preset.LEVANTER), text)
    assert (plain.tokens, plain.text_bytes) == (40, 80)
    assert (packed.tokens, packed.text_bytes) == (38, 76)  # of 41 with the prefix, 3 windows
    assert packed.nats / packed.text_bytes == pytest.approx(plain.nats / plain.text_bytes)


def test_paloma_scores_what_lm_eval_does_from_less_context() -> None:
    definition = replace(info(16, PREFIX), eos_token=7)
    model = UniformModel()
    score = score_document(
        model, Definition(preset=Preset.PALOMA).resolve(definition), document("x" * 40)
    )
    assert score.tokens == 40
    assert model.batches[0][0].inputs[0] == 7
    assert [len(window.inputs) for batch in model.batches for window in batch] == [16, 16, 8]
