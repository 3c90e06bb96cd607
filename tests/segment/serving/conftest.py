"""The real model that labels are compared with Hugging Face's by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.segment.export.command import export_checkpoint

MODEL = "segformer-b0-finetuned-ade-512-512"


@pytest.fixture(scope="session")
def real_model(data_dir: Path, made_once: Callable[..., Path]) -> Path:
    """The real B0, exported."""
    pytest.importorskip("torch")

    def write(out: Path) -> None:
        probes = sorted((data_dir / "ade20k/images").iterdir())[:1]
        export_checkpoint(data_dir / "segformer/b0-ade", out, name=MODEL, probes=probes)

    return made_once(MODEL, write)
