from __future__ import annotations

import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models.language_model import LanguageModel
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.scored_windows import Window
from services.errors import PreconditionFailed
from tests.corpus.bpb.fakes import document, resolved

DIRECTORY = Path(__file__).parents[3] / "services" / "corpus" / "bpb" / "reference"
CODE = b"def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n"


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return Registry({}).load("byte-reference")


def test_the_file_is_small_and_is_the_one_that_its_manifest_describes() -> None:
    data = (DIRECTORY / "model.onnx").read_bytes()
    manifest = json.loads((DIRECTORY / "lm.json").read_text())
    assert len(data) <= 4 * 2**20
    assert manifest["sha256"] == hashlib.sha256(data).hexdigest()
    info = Registry({}).describe("byte-reference")
    assert info.reference
    assert (info.max_length, info.parameters) == (manifest["max_length"], manifest["parameters"])


def test_the_model_card_speaks_of_this_file() -> None:
    card = (DIRECTORY / "MODEL_CARD.md").read_text()
    assert json.loads((DIRECTORY / "lm.json").read_text())["sha256"] in card


def test_another_file_than_the_manifests_is_not_loaded(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(DIRECTORY / "lm.json", copy)
    (copy / "model.onnx").write_bytes(b"something else")
    with pytest.raises(PreconditionFailed, match="SHA-256 differs"):
        Registry({"mine": copy}).load("mine")


@pytest.mark.slow
def test_the_same_text_gets_the_same_figure(model: LanguageModel) -> None:
    scores = [
        score_document(model, resolved(2048, model.prefix_token), document(CODE)) for _ in range(2)
    ]
    assert scores[0] == scores[1]
    assert scores[0].tokens == scores[0].text_bytes == len(CODE)


def test_python_is_likelier_than_noise(model: LanguageModel) -> None:
    noise = np.random.default_rng(0).bytes(len(CODE)).decode("latin-1").encode()
    code = score_document(model, resolved(2048, model.prefix_token), document(CODE))
    other = score_document(model, resolved(2048, model.prefix_token), document(noise))
    assert code.nats / code.text_bytes < 3 * math.log(2) < other.nats / other.text_bytes


@pytest.mark.slow
@pytest.mark.parametrize("context", [b"", b"import o", CODE])
def test_the_probabilities_of_the_next_byte_sum_to_one(
    model: LanguageModel, context: bytes
) -> None:
    inputs = [model.prefix_token, *context]
    rows = model.log_likelihoods([Window(inputs, [byte]) for byte in range(256)])
    total = sum(math.exp(row[0]) for row in rows)
    assert total == pytest.approx(1, abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.binary(min_size=2, max_size=300), st.data())
def test_what_comes_later_does_not_change_a_likelihood(
    model: LanguageModel, text: bytes, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(text)))
    inputs = [model.prefix_token, *text]
    (whole,) = model.log_likelihoods([Window(inputs[:-1], inputs[1:])])
    (part,) = model.log_likelihoods([Window(inputs[:cut], inputs[1 : cut + 1])])
    np.testing.assert_allclose(whole[:cut], part, atol=1e-4)


def test_a_batch_gives_what_its_windows_give_alone(model: LanguageModel) -> None:
    texts = [CODE, bytes(reversed(CODE)), CODE[1:] + b"x"]
    windows = [Window([256, *text[:-1]], list(text)) for text in texts]
    together = model.log_likelihoods(windows)
    for window, row in zip(windows, together, strict=True):
        np.testing.assert_allclose(model.log_likelihoods([window])[0], row, atol=1e-4)


@given(st.text())
def test_every_text_round_trips(model: LanguageModel, text: str) -> None:
    assert model.decode(model.encode(text)) == text


def test_lone_surrogates_are_three_bytes(model: LanguageModel) -> None:
    text = "a\ud800"
    assert model.encode(text) == [97, 0xED, 0xA0, 0x80]
    assert model.decode(model.encode(text)) == text


def test_a_long_document_is_scored_in_windows(model: LanguageModel) -> None:
    text = (CODE * 100)[:5_000]
    score = score_document(model, resolved(1024, model.prefix_token), document(text))
    assert score.tokens == len(text)
    assert score.nats / score.text_bytes < math.log(2)
