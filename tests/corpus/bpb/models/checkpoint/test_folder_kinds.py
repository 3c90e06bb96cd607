"""A folder that is no causal language model is refused with what it is and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.corpus.bpb.models.checkpoint.model_directory import read_directory
from services.corpus.tokens.tokenizer import Tokenizers
from services.errors import InvalidArgument
from tests.corpus.bpb.models import folders


def refusal(directory: Path) -> str:
    with pytest.raises(InvalidArgument) as caught:
        read_directory("m", directory)
    assert caught.value.field == "language_models['m']"
    return caught.value.problem


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"architectures": ["RobertaForMaskedLM"]}, "is a masked language model"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "is a classifier or reward model"),
        ({"architectures": ["BertForTokenClassification"]}, "is a classifier of tokens"),
        ({"architectures": ["LlamaForQuestionAnswering"]}, "marks answers"),
        (
            {"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True},
            "is a sequence-to-sequence model (T5ForConditionalGeneration)",
        ),
        ({"model_type": "t5", "is_encoder_decoder": True}, "is a sequence-to-sequence model (t5)"),
        (
            {"model_type": "xlnet", "architectures": ["XLNetLMHeadModel"]},
            "is a permutation language model, which predicts tokens in random orders",
        ),
    ],
)
def test_models_of_another_kind(tmp_path: Path, config: dict[str, Any], words: str) -> None:
    problem = refusal(folders.write(tmp_path, config={**folders.CONFIG, **config}))
    assert words in problem
    assert "score" in problem, "it says what to do"


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["LlamaForCausalLM"]},
        {"architectures": None},
        {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": folders.CONFIG},
        {"architectures": ["BartForCausalLM"], "is_encoder_decoder": True},
    ],
)
def test_causal_models_are_not_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    read_directory("m", folders.write(tmp_path, config={**folders.CONFIG, **config}))


def test_an_adapter_is_told_to_be_merged(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "is an adapter (PEFT) without its base model" in refusal(tmp_path)
    assert "merge_adapter BASE" in refusal(tmp_path)


def test_a_model_beside_an_adapter_is_two_things(tmp_path: Path) -> None:
    folders.write(tmp_path, adapter_config={})
    assert "holds a model and an adapter" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("tokenizer.model", "which needs `pip install sentencepiece protobuf`"),
        ("merges.txt", "has no tokenizer.json but merges.txt"),
    ],
)
def test_other_tokenizers_are_told_how_to_be_converted(
    tmp_path: Path, file: str, words: str
) -> None:
    folders.write(tmp_path, tokenizer=None)
    assert "has no tokenizer.json, without which" in refusal(tmp_path)
    (tmp_path / file).write_bytes(b"")
    problem = refusal(tmp_path)
    assert words in problem
    assert f"T.from_pretrained('{tmp_path.name}').save_pretrained('{tmp_path.name}')" in problem


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("pytorch_model.bin", "pickled weights, which are not loaded: convert pytorch_model.bin"),
        ("model.gguf", "weights in llama.cpp's format"),
        ("tf_model.h5", "weights in TensorFlow's format"),
        ("model-00001-of-00002.safetensors", "which no model.safetensors.index.json names"),
        ("training_args.bin", "has no model.safetensors"),
    ],
)
def test_other_weights_are_named(tmp_path: Path, file: str, words: str) -> None:
    folders.write(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / file)
    assert words in refusal(tmp_path)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_pointer_of_git_lfs_is_told_to_be_pulled(tmp_path: Path, file: str) -> None:
    folders.write(tmp_path)
    (tmp_path / file).write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 548105171\n"
    )
    problem = refusal(tmp_path)
    assert f"a git-lfs pointer instead of {file}" in problem
    assert "`git lfs pull`" in problem
    assert f"`hf download NAME --local-dir {tmp_path.name}`" in problem


def test_weights_that_are_cut_short_are_told_to_be_fetched_again(tmp_path: Path) -> None:
    file = folders.write(tmp_path) / "model.safetensors"
    tensor = {"dtype": "F32", "shape": [7, 4], "data_offsets": [0, 112]}
    header = json.dumps({"embed": tensor}).encode()
    whole = len(header).to_bytes(8, "little") + header + bytes(112)
    file.write_bytes(whole)
    read_directory("m", tmp_path)
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        assert "has a model.safetensors that is cut short; fetch it again" in refusal(tmp_path)


def _weights(*names: str) -> bytes:
    tensors = {
        name: {"dtype": "F32", "shape": [7, 4], "data_offsets": [112 * i, 112 * i + 112]}
        for i, name in enumerate(names)
    }
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + bytes(112 * len(names))


def test_bytes_behind_the_tensors_are_named(tmp_path: Path) -> None:
    file = folders.write(tmp_path) / "model.safetensors"
    file.write_bytes(_weights("embed") + b"12345678")
    assert "has a model.safetensors with 8 bytes behind its tensors" in refusal(tmp_path)


def test_a_tensor_in_two_files_is_refused_whatever_the_index_says(tmp_path: Path) -> None:
    (folders.write(tmp_path) / "model.safetensors").unlink()
    first, second = (f"model-0000{n}-of-00002.safetensors" for n in (1, 2))
    (tmp_path / first).write_bytes(_weights("embed", "head"))
    (tmp_path / second).write_bytes(_weights("norm", "head"))
    index = {"weight_map": {"embed": first, "head": first, "norm": second}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert f"has the tensor head in {first} and in {second}" in refusal(tmp_path)


def test_weights_of_another_format_are_not_called_cut_short(tmp_path: Path) -> None:
    file = folders.write(tmp_path) / "model.safetensors"
    file.write_bytes(b"<!DOCTYPE html><title>Not found</title>")
    assert "is not a safetensors file" in refusal(tmp_path)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    folders.write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"cposix\nsystem\n(S'exit 1'\ntR.")
    assert "convert pytorch_model.bin, where you trust it" in refusal(tmp_path)


def test_a_tokenizer_that_draws_its_tokens_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="needs the score extra")
    model: Any = folders.TOKENIZER["model"]
    folders.write(tmp_path, tokenizer={"model": {**model, "dropout": 0.5}})
    assert "BPE dropout (0.5)" in refusal(tmp_path)
    with pytest.raises(InvalidArgument, match=r"BPE dropout \(0\.5\).*to null"):
        Tokenizers({"m": tmp_path}).open("m")


@pytest.mark.parametrize("dropout", [None, 0.0])
def test_a_tokenizer_without_dropout_is_read(tmp_path: Path, dropout: float | None) -> None:
    model: Any = folders.TOKENIZER["model"]
    folders.write(tmp_path, tokenizer={"model": {**model, "dropout": dropout}})
    read_directory("m", tmp_path)


def test_other_programs_formats_and_folders_around_a_model(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text("{}")
    assert "another program's format" in refusal(tmp_path)
    (tmp_path / "params.json").unlink()
    folders.write(tmp_path / "snapshots" / "0a1b")
    assert "snapshots/0a1b in it has one" in refusal(tmp_path)


def test_code_of_the_folders_own_is_not_run(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the score extra")
    code = tmp_path / "modeling.py"
    config = {"model_type": "mine", "auto_map": {"AutoConfig": "modeling.Config"}}
    folders.write(tmp_path, config=config)
    code.write_text("raise SystemExit('it ran')")
    assert "needs its own code (auto_map in config.json), which is never run" in refusal(tmp_path)


def test_a_config_of_no_known_kind(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the score extra")
    folders.write(tmp_path, config={"model_type": "nothing-like-it"})
    assert "nothing-like-it" in refusal(tmp_path)


def test_an_index_of_weights_is_read(tmp_path: Path) -> None:
    folders.write(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "model-1.safetensors")
    index = {"weight_map": {"embed": "model-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    read_directory("m", tmp_path)
