"""A model that reads what follows is not scored, on whatever engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.bpb.models.checks.causality import causality_trial, require_causal
from services.corpus.bpb.models.compute import OPENVINO, TORCH, Compute, Precision
from services.corpus.bpb.models.registry import REFERENCE, Registry
from services.corpus.bpb.scored_windows import Window
from services.errors import EngineUnavailable, ModelUnusable
from tests.corpus.bpb import tiny_models
from tests.corpus.bpb.fakes import UniformModel

TOKENS = list(range(50, 200))


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=200),
    st.integers(1, 200),
    st.integers(0, 10**12),
)
def test_windows_agree_up_to_the_middle_and_differ_from_there_on(
    tokens: list[int], max_length: int, parameters: int
) -> None:
    trial = causality_trial(tokens, 7, max_length, parameters)
    first, second = trial.first, trial.second
    half = (len(first.inputs) + 1) // 2
    assert len(first.inputs) == len(second.inputs) == len(first.targets) <= max_length
    assert list(first.inputs[:half]) == list(second.inputs[:half])
    if len(set(tokens)) > 1:
        pairs = zip(first.inputs[half:], second.inputs[half:], strict=True)
        assert all(a != b for a, b in pairs)
    assert set(second.inputs) <= {7, *tokens}


class _Ahead(UniformModel):
    """Likelihoods that depend a little on the token after the one that is predicted."""

    def log_likelihoods(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        rows = super().log_likelihoods(windows)
        for row, window in zip(rows, windows, strict=True):
            row[:-1] += np.array(window.inputs[1:], np.float32) * np.float32(1e-5)
        return rows


class _Drawing(UniformModel):
    """Likelihoods with noise, as of hashes that are drawn anew."""

    def log_likelihoods(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        rows = super().log_likelihoods(windows)
        return [row + _NOISE.normal(size=row.shape).astype(np.float32) for row in rows]


_NOISE = np.random.default_rng(0)


def test_a_model_that_draws_its_likelihoods_is_not_called_one_that_sees_ahead() -> None:
    trial = causality_trial(TOKENS, 1000, 64, 1)
    with pytest.raises(ModelUnusable, match="it gives other likelihoods each time"):
        require_causal("it", Precision.FP32, _Drawing(), trial)


def test_one_token_ahead_is_seen() -> None:
    trial = causality_trial(TOKENS, 1000, 64, 1)
    require_causal("it", Precision.FP32, UniformModel(), trial)
    trial = causality_trial(TOKENS[::-1], 1, 64, 1)
    with pytest.raises(ModelUnusable, match=r"it is not causal: .* 0\.0\d+ nats"):
        require_causal("it", Precision.FP32, _Ahead(), trial)
    # Where the reference is causal, the fault is the engine's.
    with pytest.raises(EngineUnavailable, match="not causal"):
        require_causal("it", Precision.FP32, _Ahead(), trial, refusal=EngineUnavailable)


def test_likelihoods_that_are_no_numbers_are_refused() -> None:
    trial = causality_trial(TOKENS, 1000, 64, 1)
    with pytest.raises(ModelUnusable, match="not finite"):
        require_causal("it", Precision.FP32, UniformModel(poison=TOKENS[0]), trial)


@pytest.mark.slow
def test_the_reference_model_is_causal() -> None:
    Registry({}).start(REFERENCE)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A model of BERT's class with the tokenizer of the other small models."""
    pytest.importorskip("torch", reason="needs the score extra")
    transformers = pytest.importorskip("transformers", reason="needs the score extra")
    directory = tiny_models.make("gpt2", tmp_path / "model")
    config = transformers.BertConfig(
        vocab_size=257,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=96,
        initializer_range=0.2,
    )
    transformers.BertLMHeadModel(config).save_pretrained(directory)
    return directory


@pytest.mark.torch
@pytest.mark.parametrize("engine", ["", OPENVINO, TORCH])
def test_a_masked_model_under_a_causal_name_is_refused(bert: Path, engine: str) -> None:
    if engine == OPENVINO:
        pytest.importorskip("openvino", reason="needs the openvino extra")
    with pytest.raises(ModelUnusable, match=r"^m \(.*not causal.*is_decoder false"):
        Registry({"m": bert}).load("m", Compute(engine))


@pytest.mark.torch
def test_the_same_class_as_a_decoder_is_scored(bert: Path) -> None:
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps({**config, "is_decoder": True}))
    Registry({"m": bert}).load("m", Compute(TORCH))
