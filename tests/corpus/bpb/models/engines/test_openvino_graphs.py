"""Models that are no graph of OpenVINO's: what is said of them, and what is not tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the score extra")
pytest.importorskip("openvino", reason="needs the openvino extra")

import torch

from benchmarks.bpb import family_configs
from services.corpus.bpb.models.compute import OPENVINO, TORCH, Compute
from services.corpus.bpb.models.engines import openvino_graphs
from services.corpus.bpb.models.registry import Registry
from services.errors import EngineUnavailable

pytestmark = pytest.mark.torch


class _Experts(torch.nn.Module):
    """Goes on as its numbers say, as experts do, which torch cannot export."""

    def forward(self, input_ids: torch.Tensor, **_: Any) -> torch.Tensor:
        return input_ids if input_ids.sum().item() > 1 else input_ids + 1


class _Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base_model, self.head = _Experts(), torch.nn.Linear(4, 8)

    def get_output_embeddings(self) -> torch.nn.Linear:
        return self.head


def test_a_graph_that_cannot_be_exported_is_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception, match="data-dependent"):
        openvino_graphs.convert(_Model(), 16)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("family", "reason"), [("mamba2", "its layers scan"), ("mixtral", "no rule for the products")]
)
def test_what_never_converts_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, reason: str
) -> None:
    monkeypatch.setattr(openvino_graphs, "convert", None)
    registry = Registry({"m": family_configs.make(family, tmp_path / "m")})
    assert registry.start("m").engine == TORCH
    with pytest.raises(EngineUnavailable, match=f"cannot convert m: .*{reason}.*use torch"):
        registry.start("m", Compute(OPENVINO))
