"""A model's files that are written again while it is served: no figure is of other weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the score extra")
pytest.importorskip("transformers", reason="needs the score extra")

from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models.compute import TORCH, Compute
from services.corpus.bpb.models.registry import Registry
from services.errors import SourceChanged
from tests.corpus.bpb import tiny_models
from tests.corpus.bpb.fakes import document

pytestmark = pytest.mark.torch


def overwrite(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(size // 3)
        opened.write(bytes(size - size // 3))


@pytest.mark.parametrize("change", [overwrite, lambda file: os.truncate(file, 0)])
def test_what_is_loaded_stays_as_it_is(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Weights that are mapped would follow their file, and one that was cut ended the process."""
    folder = tiny_models.make("llama", tmp_path / "m")
    registry = Registry({"m": folder})
    definition = Definition().resolve(registry.describe("m"))
    model = registry.load("m", Compute(TORCH))
    before = score_document(model, definition, document("some text")).nats
    change(folder / "model.safetensors")
    assert registry.load("m", Compute(TORCH)) is model
    assert score_document(model, definition, document("some text")).nats == before


def test_weights_that_changed_behind_their_digest_are_not_loaded(tmp_path: Path) -> None:
    folder = tiny_models.make("llama", tmp_path / "m")
    registry = Registry({"m": folder})
    registry.describe("m")
    overwrite(folder / "model.safetensors")
    with pytest.raises(SourceChanged, match=r"model m have changed .* \(model\.safetensors\)"):
        registry.load("m", Compute(TORCH))


def test_a_folder_of_which_nothing_was_said_is_read_as_it_is(tmp_path: Path) -> None:
    folder = tiny_models.make("llama", tmp_path / "m")
    registry = Registry({"m": folder})
    registry.check()
    overwrite(folder / "model.safetensors")
    assert registry.describe("m").digest == Registry({"m": folder}).describe("m").digest
    registry.load("m", Compute(TORCH))


def test_a_digest_is_of_what_is_loaded(tmp_path: Path) -> None:
    folder = tiny_models.make("llama", tmp_path / "m")
    registry = Registry({"m": folder})
    registry.load("m", Compute(TORCH))
    overwrite(folder / "model.safetensors")
    with pytest.raises(SourceChanged):
        registry.describe("m")
