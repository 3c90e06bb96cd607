from __future__ import annotations

import hashlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.corpus.bpb.definition import Definition, Prefix
from services.corpus.bpb.models import checkpoint, engines
from services.corpus.bpb.models.checkpoint.model_directory import (
    HuggingFaceModel,
    digest,
    file_digests,
    read_directory,
)
from services.corpus.bpb.models.registry import Registry
from services.errors import InvalidArgument, NotFound, PreconditionFailed
from tests.corpus.bpb.models import folders

WEIGHTS = "model.safetensors"  # which nothing may be appended to


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return folders.write(tmp_path / "model")


def read(path: Path) -> HuggingFaceModel:
    found = read_directory("m", path)
    assert isinstance(found, HuggingFaceModel)
    return found


def test_what_a_directory_says_about_itself(directory: Path) -> None:
    found = read(directory)
    assert (found.architecture, found.max_length, found.parameters) == ("llama", 64, 56)
    assert (found.bos_token, found.eos_token, found.prefix_token) == (1, 2, 1)


def test_a_tied_head_counts_once(directory: Path) -> None:
    (directory / "config.json").write_text(
        json.dumps({**folders.CONFIG, "tie_word_embeddings": True})
    )
    assert read(directory).parameters == 28


def test_the_prefix_is_eos_where_there_is_no_bos(directory: Path) -> None:
    (directory / "tokenizer_config.json").write_text('{"bos_token": null, "eos_token": "</s>"}')
    assert read(directory).prefix_token == 2


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_directory_that_is_not_a_model_says_what_is_missing(
    directory: Path, missing: str
) -> None:
    (directory / missing).unlink()
    with pytest.raises(InvalidArgument, match=f"has no {missing}") as caught:
        read(directory)
    assert caught.value.field == "language_models['m']"


def test_a_shard_that_the_index_names_must_be_there(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (directory / "model-1.safetensors").write_bytes(folders.safetensors({"a": [2]}))
    with pytest.raises(InvalidArgument, match=r"has no model-2\.safetensors"):
        read(directory)
    (directory / "model-2.safetensors").write_bytes(folders.safetensors({"b": [3]}))
    assert read(directory).parameters == 5


def test_a_model_without_special_tokens_has_no_prefix_until_one_is_given(directory: Path) -> None:
    (directory / "tokenizer_config.json").write_text('{"bos_token": null, "eos_token": null}')
    assert read(directory).prefix_token is None
    info = Registry({"m": directory}).describe("m")
    with pytest.raises(InvalidArgument, match="--prefix ID or --prefix none") as caught:
        Definition().resolve(info)
    assert caught.value.field == "definition.prefix"
    assert Definition(prefix=Prefix.NONE).resolve(info).prefix_token is None
    assert Definition(prefix=Prefix.GIVEN, prefix_token=3).resolve(info).prefix_token == 3


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="is not a directory"):
        read_directory("m", tmp_path / "nothing")


@pytest.mark.torch  # some contents of config.json are a question to transformers, if it is there
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["config.json", "tokenizer_config.json", "model.safetensors", "lm.json"]),
    content=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["model_type", "vocab_size", "format", "bos_token", "model"]),
                    inner,
                )
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_no_content_of_a_file_is_more_than_an_invalid_argument(
    directory: Path, name: str, content: bytes
) -> None:
    path = directory / name
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(content)
    try:
        read(directory)
    except InvalidArgument:
        pass
    finally:
        path.unlink() if before is None else path.write_bytes(before)


def test_a_model_is_known_by_all_that_its_figures_depend_on(directory: Path) -> None:
    known = Registry({"m": directory}).describe("m")
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= set(known.files)
    lines = (f"{name}\0{one[7:]}\n" for name, one in sorted(known.files.items()))
    assert known.digest == f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"
    for name, one in known.files.items():
        path = directory / name
        content = path.read_bytes()
        assert one == f"sha256:{hashlib.sha256(content).hexdigest()}"
        path.write_bytes(content + b" ")
        changed = digest(file_digests(read(directory).files)) if name != WEIGHTS else ""
        assert changed != known.digest, name
        path.write_bytes(content)


def test_an_unknown_model_is_not_found_and_the_known_are_listed(directory: Path) -> None:
    registry = Registry({"mine": directory})
    for ask in (registry.describe, registry.load):
        with pytest.raises(NotFound, match="known: byte-reference, mine"):
            ask("other")
    with pytest.raises(NotFound, match="`hf download openai-community/gpt2 --local-dir gpt2`"):
        registry.describe("openai-community/gpt2")


def test_a_bad_directory_is_found_by_the_check(directory: Path, tmp_path: Path) -> None:
    Registry({"mine": directory}).check()
    with pytest.raises(InvalidArgument, match=r"language_models\['bad'\]"):
        Registry({"bad": tmp_path}).check()


def test_a_model_is_listed_without_being_loaded(directory: Path) -> None:
    reference, mine = Registry({"mine": directory}).list()
    engine = "openvino-cpu" if find_spec("openvino") else "torch-cpu"
    assert (reference.name, mine.name, mine.engine) == ("byte-reference", "mine", engine)
    assert mine.version == mine.digest.removeprefix("sha256:")[:12]


def test_without_torch_the_error_names_the_extra(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None in sys.modules is Python's own way to say that a module cannot be imported.
    monkeypatch.setitem(sys.modules, "torch", None)
    for folder, module in (
        (engines, "hugging_face_engines"),
        (engines, "torch_model"),
        (checkpoint, "torch_module"),
        (checkpoint, "tensors"),
    ):
        monkeypatch.delitem(sys.modules, f"{folder.__name__}.{module}", raising=False)
        monkeypatch.delattr(folder, module, raising=False)
    with pytest.raises(
        PreconditionFailed, match=r"needs torch.*pip install 'assay-services\[score\]'"
    ):
        Registry({"mine": directory}).load("mine")
