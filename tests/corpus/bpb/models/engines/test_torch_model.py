from __future__ import annotations

import hashlib
import json
import math
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the score extra")
pytest.importorskip("transformers", reason="needs the score extra")

import torch

from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.exclusion import Exclusion
from services.corpus.bpb.models.language_model import LanguageModel
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.scored_windows import Window
from services.corpus.shards.documents import Document
from services.corpus.shards.layout import find_shards
from services.corpus.stream import reader
from services.corpus.stream.selection import Selection
from services.errors import InvalidArgument, ModelUnusable
from tests.corpus.bpb.fakes import document, resolved

pytestmark = [pytest.mark.data, pytest.mark.torch]

GOLDEN = json.loads((Path(__file__).parent / "golden" / "lm_eval_tinystories.json").read_text())
STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside."


@pytest.fixture(scope="module")
def directory(data_dir: Path) -> Path:
    return data_dir / "lm" / "tinystories-656k"


@pytest.fixture(scope="module")
def registry(directory: Path) -> Registry:
    return Registry({"tinystories-656k": directory})


@pytest.fixture(scope="module")
def model(registry: Registry) -> LanguageModel:
    return registry.load("tinystories-656k")


@pytest.fixture(scope="module")
def documents(data_dir: Path) -> dict[str, Document]:
    """The real documents that the golden file knows, by the digest of their text."""
    wanted = {row["text_sha256"] for row in GOLDEN["documents"]}
    found: dict[str, Document] = {}
    selection = Selection(splits=("test", "val"))
    for item in reader.documents(find_shards(data_dir / "pile"), selection):
        digest = hashlib.sha256(item.text).hexdigest()
        if digest in wanted:
            found[digest] = item
        if len(found) == len(wanted):
            break
    return found


def test_what_the_directory_is(registry: Registry) -> None:
    info = registry.describe("tinystories-656k")
    assert (info.parameters, info.max_length, info.architecture) == (656_000, 512, "llama")
    assert info.digest == GOLDEN["model"]["digest"]


@pytest.mark.parametrize("row", GOLDEN["documents"], ids=lambda row: row["text_sha256"][:8])
def test_likelihoods_are_lm_evals(
    row: dict[str, float], model: LanguageModel, documents: dict[str, Document]
) -> None:
    item = documents[str(row["text_sha256"])]
    score = score_document(model, resolved(512, model.prefix_token), item)
    special = score_document(model, resolved(512, model.prefix_token, special_tokens=True), item)
    assert score.tokens == row["tokens"]
    assert (score.excluded is None) == row["round_trips"]
    for mine, theirs in ((score, row["nats"]), (special, row["nats_with_special_tokens"])):
        bits_per_byte = abs(mine.nats - theirs) / (math.log(2) * len(item.text))
        assert bits_per_byte < 1e-6


def test_every_document_of_the_golden_file_is_there(documents: dict[str, Document]) -> None:
    assert len(documents) == len(GOLDEN["documents"]) >= 8


@pytest.mark.parametrize("text", ["a\tb", "caf\u00e9", "\u4e2d", "a\ud800"])
def test_texts_that_the_tokenizer_loses_do_not_round_trip(text: str, model: LanguageModel) -> None:
    data = text.encode("utf-8", "surrogatepass")
    score = score_document(model, resolved(512, model.prefix_token), document(data))
    assert score.excluded is Exclusion.NOT_ROUND_TRIPPING
    assert score.text_bytes == len(data)
    assert math.isfinite(score.nats)


@pytest.mark.parametrize("text", [STORY, "", " two  spaces and a\nline", STORY * 40])
def test_texts_that_it_keeps_do(text: str, model: LanguageModel) -> None:
    assert (
        score_document(model, resolved(512, model.prefix_token), document(text)).excluded
        is not Exclusion.NOT_ROUND_TRIPPING
    )


def test_no_second_beginning_of_sequence(model: LanguageModel) -> None:
    assert model.prefix_token == 1
    assert model.prefix_token not in model.encode(STORY)
    assert model.encode(STORY, special_tokens=True) == [1, *model.encode(STORY)]


def test_a_batch_gives_what_its_windows_give_alone(model: LanguageModel) -> None:
    tokens = model.encode(STORY * 3)
    windows = [Window([1, *tokens[i : i + 20]], tokens[i : i + 21]) for i in range(3)]
    together = model.log_likelihoods(windows)
    for window, row in zip(windows, together, strict=True):
        assert model.log_likelihoods([window])[0] == pytest.approx(row, abs=1e-4)


def copied(directory: Path, to: Path) -> Path:
    return Path(shutil.copytree(directory, to / "copy", copy_function=shutil.copyfile))


def test_a_tokenizer_that_is_none_is_refused(directory: Path, tmp_path: Path) -> None:
    copy = copied(directory, tmp_path)
    copy.chmod(0o755)
    (copy / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(ModelUnusable, match=r"tokenizer\.json cannot be read"):
        Registry({"m": copy}).load("m")


def test_weights_that_are_cut_off_are_refused(directory: Path, tmp_path: Path) -> None:
    copy = copied(directory, tmp_path)
    copy.chmod(0o755)
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(InvalidArgument, match="cut short; fetch it again"):
        Registry({"m": copy}).load("m")


def test_a_small_model_takes_one_thread(model: LanguageModel) -> None:
    assert model.prefix_token == 1
    assert torch.get_num_threads() == 1
