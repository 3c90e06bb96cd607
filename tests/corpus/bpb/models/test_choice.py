"""Engines give what torch gives in float32, or are not used."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the score extra")
pytest.importorskip("transformers", reason="needs the score extra")
pytest.importorskip("openvino", reason="needs the openvino extra")

import torch

from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models import engines
from services.corpus.bpb.models.checks.parity import require_parity, trial_windows
from services.corpus.bpb.models.compute import (
    CUDA,
    ONNXRUNTIME,
    OPENVINO,
    TORCH,
    Compute,
    Precision,
)
from services.corpus.bpb.models.engines import hugging_face_engines
from services.corpus.bpb.models.language_model import LanguageModel
from services.corpus.bpb.models.registry import REFERENCE, Registry
from services.corpus.bpb.scored_windows import Window
from services.corpus.shards.layout import find_shards
from services.corpus.stream import reader
from services.corpus.stream.selection import Selection
from services.errors import EngineUnavailable, InvalidArgument
from tests.corpus.bpb import tiny_models
from tests.corpus.bpb.fakes import UniformModel

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {family: tiny_models.make(family, root / family) for family in tiny_models.FAMILIES}


@pytest.fixture(scope="module")
def pairs(directories: dict[str, Path]) -> dict[str, tuple[LanguageModel, LanguageModel]]:
    """Every model on OpenVINO, and on what it is compared with."""
    loaded = {}
    for name in (*directories, REFERENCE):
        fast = Registry(directories).start(name)
        assert fast.engine == OPENVINO
        assert fast.shift.tokens > 0
        slow = TORCH if name in directories else ONNXRUNTIME
        loaded[name] = fast.model, Registry(directories).load(name, Compute(slow))
    return loaded


@pytest.mark.parametrize("name", [*tiny_models.FAMILIES, REFERENCE])
@settings(max_examples=15)
@given(data=st.data())
def test_openvino_gives_what_the_reference_gives(
    name: str, data: st.DataObject, pairs: dict[str, tuple[LanguageModel, LanguageModel]]
) -> None:
    fast, slow = pairs[name]
    inputs = data.draw(st.lists(st.integers(0, 255), min_size=1, max_size=tiny_models.MAX_LENGTH))
    scored = data.draw(st.integers(1, len(inputs)))
    window = Window(
        inputs, data.draw(st.lists(st.integers(0, 255), min_size=scored, max_size=scored))
    )
    (mine,), (theirs,) = fast.log_likelihoods([window]), slow.log_likelihoods([window])
    assert mine == pytest.approx(theirs, abs=1e-4)
    assert len(mine) == scored


@pytest.mark.parametrize("name", [*tiny_models.FAMILIES, REFERENCE])
def test_a_window_gives_the_same_whatever_came_before(
    name: str, pairs: dict[str, tuple[LanguageModel, LanguageModel]]
) -> None:
    fast, _ = pairs[name]
    windows = [Window(list(range(n)), list(range(1, n + 1))) for n in (3, 90, 17, 3, 64, 90)]
    first = [fast.log_likelihoods([window])[0].tobytes() for window in windows]
    again = [fast.log_likelihoods([window])[0].tobytes() for window in reversed(windows)]
    assert first == again[::-1]


@pytest.mark.parametrize("engine", [OPENVINO, TORCH])
@pytest.mark.parametrize("name", ["gpt_neox", "llama"])
def test_bfloat16_states_its_shift(name: str, engine: str, directories: dict[str, Path]) -> None:
    if engine == OPENVINO and not _computes("BF16"):
        pytest.skip("this processor has no bfloat16")
    loaded = Registry(directories).start(name, Compute(engine, Precision.BF16))
    assert (loaded.engine, loaded.precision) == (engine, Precision.BF16)
    assert 0 < abs(loaded.shift.mean) < loaded.shift.largest


def _computes(what: str) -> bool:
    import openvino  # noqa: PLC0415

    return what in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_gated_layers_in_bfloat16_are_refused_on_one_processor(
    directories: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with pytest.raises(EngineUnavailable, match="needs two processors"):
        Registry(directories).load("llama", Compute(OPENVINO, Precision.BF16))


class _Off(UniformModel):
    """Likelihoods that are off by a thousandth."""

    def log_likelihoods(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        return [row + np.float32(1e-3) for row in super().log_likelihoods(windows)]


def test_an_engine_that_does_not_agree_is_refused_with_both_values() -> None:
    windows = trial_windows(UniformModel(), 64)
    with pytest.raises(EngineUnavailable, match=r"2\.078442 nats.*2\.079442"):
        require_parity("it", Precision.FP32, _Off(), UniformModel(), windows)
    assert require_parity("it", Precision.BF16, _Off(), UniformModel(), windows).mean > 0


def test_likelihoods_that_are_no_numbers_are_refused() -> None:
    model = UniformModel(poison=ord("e"))
    with pytest.raises(EngineUnavailable, match="nan"):
        require_parity("it", Precision.BF16, model, UniformModel(), trial_windows(model, 64))


def test_trial_windows_fit_the_model_and_have_context() -> None:
    windows = trial_windows(UniformModel(), 64)
    assert max(len(window.inputs) for window in windows) == 64
    assert any(len(window.targets) < len(window.inputs) for window in windows)


def test_without_openvino_torch_takes_its_place_unless_it_was_named(
    directories: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # None in sys.modules is Python's own way to say that a module cannot be imported.
    monkeypatch.setitem(sys.modules, "openvino", None)
    for module in ("openvino_graphs", "openvino_model"):
        monkeypatch.delitem(sys.modules, f"{engines.__name__}.{module}", raising=False)
        monkeypatch.delattr(engines, module, raising=False)
    registry = Registry(directories)
    assert registry.start("gpt2").engine == TORCH
    for name in ("gpt2", REFERENCE):
        with pytest.raises(
            EngineUnavailable, match=r"needs openvino.*'assay-services\[openvino\]'"
        ):
            registry.load(name, Compute(OPENVINO))


def test_a_model_that_cannot_be_converted_runs_on_torch(
    directories: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise EngineUnavailable("no")

    monkeypatch.setattr(hugging_face_engines, "_openvino", refuse)
    assert Registry(directories).start("gpt2").engine == TORCH


@pytest.mark.parametrize(
    ("name", "engine", "problem"),
    [
        ("gpt2", "fast", "'fast' is not an engine"),
        ("gpt2", ONNXRUNTIME, "does not run it: gpt2 runs on openvino-cpu or torch-cpu or"),
        (REFERENCE, TORCH, "runs on openvino-cpu or onnxruntime-cpu"),
    ],
)
def test_engines_that_do_not_fit(
    name: str, engine: str, problem: str, directories: dict[str, Path]
) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        Registry(directories).load(name, Compute(engine))


def test_a_gpu_that_is_not_there(directories: dict[str, Path]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(EngineUnavailable, match="finds no GPU"):
        Registry(directories).load("gpt2", Compute(CUDA))


def test_onnx_runtime_has_one_precision() -> None:
    with pytest.raises(EngineUnavailable, match="fp32 only"):
        Registry({}).load(REFERENCE, Compute(ONNXRUNTIME, Precision.BF16))


@pytest.mark.data
def test_real_documents_get_the_same_figures(data_dir: Path) -> None:
    registry = {
        engine: Registry({"tiny": data_dir / "lm" / "tinystories-656k"})
        for engine in (OPENVINO, TORCH)
    }
    definition = Definition().resolve(registry[TORCH].describe("tiny"))
    documents = reader.documents(
        find_shards(data_dir / "pile"), Selection(splits=("test",), max_documents=12)
    )
    for document in documents:
        mine, theirs = (
            score_document(registry[engine].load("tiny", Compute(engine)), definition, document)
            for engine in (OPENVINO, TORCH)
        )
        assert mine.nats == pytest.approx(theirs.nats, rel=1e-7)
