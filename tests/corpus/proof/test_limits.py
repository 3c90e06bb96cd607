"""Work on proofs that is ended, documents that have no code, and files that claim any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from services.corpus.bpb.definition import Definition
from services.corpus.proof.engines.proving_model import ProvingModel, open_model
from services.corpus.proof.file_format import Proof
from services.corpus.proof.prove import prove
from services.corpus.proof.verify import verify
from services.errors import PreconditionFailed
from tests.corpus.bpb.fakes import document

TEXTS = [document(f"document {number}, of some length", name=str(number)) for number in range(6)]


@pytest.fixture(scope="module")
def reference() -> ProvingModel:
    pytest.importorskip("onnx", reason="needs the export extra")
    return open_model("byte-reference")


@pytest.fixture(scope="module")
def made(reference: ProvingModel, tmp_path_factory: pytest.TempPathFactory) -> Proof:
    path = tmp_path_factory.mktemp("proofs") / "p"
    return prove(reference, Definition(), TEXTS, path, rows=6)


class Counting:
    """A stepper that counts the calls of another."""

    def __init__(self, stepper: Any) -> None:
        self._stepper = stepper
        self.calls = 0

    def begin(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        self.calls += 1
        return self._stepper.begin(tokens)  # type: ignore[no-any-return]

    def step(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        self.calls += 1
        return self._stepper.step(tokens)  # type: ignore[no-any-return]

    def keep(self, rows: Sequence[int]) -> None:
        self._stepper.keep(rows)


class EndedError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 4])
def test_work_ends_within_a_batch(
    reference: ProvingModel, made: Proof, after: int, tmp_path: Path
) -> None:
    """At the next token, though all documents are one batch, coding as well as decoding."""

    def check(_: int) -> None:
        if next(calls) == after:
            raise EndedError

    for work in (
        lambda model: verify(made, model, progress=check),
        lambda model: prove(model, Definition(), TEXTS, tmp_path / "p", progress=check),
    ):
        calls = count(1)
        stepper = Counting(reference.stepper)
        with pytest.raises(EndedError):
            work(replace(reference, stepper=stepper))
        assert stepper.calls == after
    assert not (tmp_path / "p").exists()


def test_a_file_that_claims_any_size_takes_no_memory_for_it(
    reference: ProvingModel, made: Proof
) -> None:
    """Windows are cut as they come: 2^50 tokens have more of them than memory holds."""
    huge = [replace(one, tokens=2**50, text_bytes=2**50) for one in made.records]

    def check(_: int) -> None:
        raise EndedError

    with pytest.raises(EndedError):
        verify(replace(made, records=tuple(huge)), reference, progress=check)


@pytest.mark.torch
def test_tokens_that_the_model_does_not_have_have_no_code(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the score extra")
    from tests.corpus.bpb import tiny_models  # noqa: PLC0415
    from tests.corpus.bpb.models.tokenizers.test_tokenizers import add_token  # noqa: PLC0415

    folder = tiny_models.make("llama", tmp_path / "padded")
    add_token(folder, 257, "[PAD]")
    model = open_model("padded", folder)
    texts = [*TEXTS, document("a [PAD] here", name="padded")]
    with pytest.raises(PreconditionFailed, match=r"1 of 7 documents.*the model does not have"):
        prove(model, Definition(), texts, tmp_path / "p")
    proof = prove(model, Definition(), texts, tmp_path / "p", leave_out_lossy=True)
    assert proof.header.left_out == (texts[-1].id,)
    assert verify(proof, model, expected=texts).holds
