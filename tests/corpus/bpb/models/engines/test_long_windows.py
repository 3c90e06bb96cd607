"""Memory grows with the window: logits come in parts, and OpenVINO leaves long windows to torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the score extra")
pytest.importorskip("transformers", reason="needs the score extra")

from torch import Tensor

from benchmarks.bpb import family_configs
from services.corpus.bpb.models.compute import OPENVINO, TORCH, Compute
from services.corpus.bpb.models.engines import hugging_face_engines, torch_model
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.scored_windows import Window
from services.errors import EngineUnavailable
from tests.corpus.bpb import tiny_models

pytestmark = pytest.mark.torch
WINDOW = Window(list(range(60)), list(range(10, 60)))


# Heads that scale logits, cap them, and divide them; states in a recurrence; and one with experts.
@pytest.mark.parametrize("family", ["cohere", "gemma2", "granite", "mamba", "gpt2", "qwen2_moe"])
def test_logits_in_parts_are_those_of_the_whole(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Registry({"m": family_configs.make(family, tmp_path / "m")}).load("m", Compute(TORCH))
    assert isinstance(model, torch_model.TorchModel)
    (whole,) = model.log_likelihoods([WINDOW])
    monkeypatch.setattr(torch_model, "_LOGITS", 7 * model.vocabulary)
    widths: list[int] = []
    rows = torch_model.TorchModel._rows

    def noted(self: torch_model.TorchModel, logits: Tensor, targets: Sequence[int]) -> Any:
        widths.append(len(targets))
        return rows(self, logits, targets)

    monkeypatch.setattr(torch_model.TorchModel, "_rows", noted)
    (parts,) = model.log_likelihoods([WINDOW])
    assert parts == pytest.approx(whole, abs=1e-5)
    assert widths == [7] * 7 + [1]
    (again,) = model.log_likelihoods([WINDOW])
    assert again.tobytes() == parts.tobytes()


def test_long_windows_are_torchs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="needs the openvino extra")
    from services.corpus.bpb.models.engines import openvino_model  # noqa: PLC0415

    directories = {"m": tiny_models.make("llama", tmp_path / "m")}
    slow = Registry(directories).load("m", Compute(TORCH))
    short = Window(WINDOW.inputs[:50], WINDOW.inputs[:50])
    alone = Registry(directories).load("m", Compute(OPENVINO)).log_likelihoods([short])[0]
    monkeypatch.setattr(openvino_model, "LONGEST", 50)
    fast = Registry(directories).load("m", Compute(OPENVINO))
    assert (
        fast.log_likelihoods([WINDOW])[0].tobytes() == slow.log_likelihoods([WINDOW])[0].tobytes()
    )
    assert fast.log_likelihoods([short])[0].tobytes() == alone.tobytes()


def test_without_memory_for_a_second_copy_torch_takes_openvinos_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="needs the openvino extra")
    directories = {"m": tiny_models.make("llama", tmp_path / "m")}
    monkeypatch.setattr(hugging_face_engines, "available", lambda: 1000)
    assert Registry(directories).start("m").engine == TORCH
    with pytest.raises(EngineUnavailable, match=r"GB of memory, and 0\.0 GB are free"):
        Registry(directories).start("m", Compute(OPENVINO))
    monkeypatch.setattr(hugging_face_engines, "available", lambda: None)
    assert Registry(directories).start("m").engine == OPENVINO
