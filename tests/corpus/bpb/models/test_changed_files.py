"""A model's files that are written again while it is served: no figure is of other weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the score extra")
pytest.importorskip("transformers", reason="needs the score extra")

from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models import choice
from services.corpus.bpb.models.compute import TORCH, Compute
from services.corpus.bpb.models.engines.threads import threads_for
from services.corpus.bpb.models.registry import Registry
from services.corpus.proof.engines import proving_model
from services.corpus.proof.engines.proving_model import open_registered
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


def test_a_folder_that_changes_while_it_is_loaded_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its files can be read in the middle of that or not."""
    folder = tiny_models.make("llama", tmp_path / "m")
    whole = (folder / "model.safetensors").read_bytes()
    for change in (overwrite, lambda file: os.truncate(file, 100)):
        (folder / "model.safetensors").write_bytes(whole)
        registry = Registry({"m": folder})
        registry.describe("m")
        start = choice.start

        def changed(*arguments: Any, change: Any = change, start: Any = start) -> Any:
            change(folder / "model.safetensors")
            return start(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(choice, "start", changed)
            with pytest.raises(SourceChanged, match=r"\(model\.safetensors\)"):
                registry.load("m", Compute(TORCH))


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_proof_is_of_the_files_of_its_digest(tmp_path: Path, file: str) -> None:
    folder = tiny_models.make("llama", tmp_path / "m")
    registry = Registry({"m": folder})
    info = registry.describe("m")
    assert open_registered(registry, "m").info == info
    overwrite(folder / file)
    with pytest.raises(SourceChanged, match=f"model m have changed .* \\({file}\\)"):
        open_registered(registry, "m")


@pytest.mark.parametrize("change", [overwrite, lambda file: os.truncate(file, 100)])
def test_no_proof_is_of_a_folder_that_changes_while_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """The digest is taken first, and the weights are read after it."""
    folder = tiny_models.make("llama", tmp_path / "m")

    def later(parameters: int) -> int:
        change(folder / "model.safetensors")
        return threads_for(parameters)

    monkeypatch.setattr(proving_model, "threads_for", later)
    with pytest.raises(SourceChanged, match=r"\(model\.safetensors\)"):
        proving_model.open_model("m", folder)
