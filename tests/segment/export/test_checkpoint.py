"""Checkpoints that cannot be loaded say why, and run no code of their own."""

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.errors import InvalidArgument, Unavailable

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402

from services.segment.export.checkpoint import load_checkpoint  # noqa: E402
from services.segment.export.given import Given  # noqa: E402

pytestmark = pytest.mark.torch
Saver = Callable[..., Path]


def _edit(directory: Path, **changes: object) -> None:
    path = directory / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(config))


def test_a_checkpoint(tiny_checkpoint: Saver) -> None:
    loaded = load_checkpoint(tiny_checkpoint(), print)
    assert loaded.classes == ("sky", "sea", "sand")
    assert (loaded.preprocessing.height, loaded.preprocessing.mean) == (64, (0.5, 0.4, 0.3))
    assert loaded.name == "tiny"
    assert loaded.license.needs_accepting  # nothing is stated
    assert not loaded.model.training


def test_what_is_given_goes_before_the_files(tiny_checkpoint: Saver, tmp_path: Path) -> None:
    directory = tiny_checkpoint()
    own = load_checkpoint(directory, print, Given(size=(32, 96), license="MIT"))
    assert (own.preprocessing.height, own.preprocessing.width) == (32, 96)
    assert own.preprocessing.mean == (0.5, 0.4, 0.3)
    assert (own.license.id, own.license.needs_accepting) == ("MIT", False)
    (directory / "preprocessor_config.json").unlink()
    bare = load_checkpoint(directory, print, Given(size=(32, 96)))
    assert bare.preprocessing.mean == (0.485, 0.456, 0.406)
    other = tmp_path / "other.json"
    other.write_text('{"size": [128, 256], "image_mean": [0, 0, 0]}')
    read = load_checkpoint(directory, print, Given(preprocessor=other)).preprocessing
    assert (read.height, read.width, read.mean) == (128, 256, (0, 0, 0))
    with pytest.raises(InvalidArgument, match=r"nowhere\.json: give"):
        load_checkpoint(directory, print, Given(preprocessor=tmp_path / "nowhere.json"))


def test_a_pickled_checkpoint_is_read_as_weights_only(tiny_checkpoint: Saver) -> None:
    directory = tiny_checkpoint()
    model = load_checkpoint(directory, print).model
    (directory / "model.safetensors").unlink()
    torch.save(model.state_dict(), directory / "pytorch_model.bin")
    again = load_checkpoint(directory, print).model
    assert torch.equal(again.decode_head.classifier.weight, model.decode_head.classifier.weight)


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_code_in_a_pickle_is_not_run(tiny_checkpoint: Saver, tmp_path: Path, form: str) -> None:
    directory, trap = tiny_checkpoint(), tmp_path / "sprung"
    (directory / "model.safetensors").unlink()
    if form == "torch":
        torch.save({"weight": _Trap(trap)}, directory / "pytorch_model.bin")
    else:
        (directory / "pytorch_model.bin").write_bytes(pickle.dumps(_Trap(trap), protocol=2))
    with pytest.raises(InvalidArgument, match=r"pytorch_model.bin cannot be loaded"):
        load_checkpoint(directory, print)
    assert not trap.exists()


def test_code_beside_a_checkpoint_is_not_run(tiny_checkpoint: Saver, tmp_path: Path) -> None:
    directory = tiny_checkpoint()
    _edit(directory, auto_map={"AutoModel": "trap.Model", "AutoConfig": "trap.Config"})
    (directory / "trap.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'sprung')!r})\n")
    load_checkpoint(directory, print)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "is not a model: it lacks config.json"),
        ("preprocessor_config.json", r"lacks preprocessor_config.json: .*--size WxH.*FILE"),
        ("model.safetensors", r"lacks model.safetensors or .*pytorch_model.bin"),
    ],
)
def test_a_missing_file_is_named(tiny_checkpoint: Saver, missing: str, message: str) -> None:
    directory = tiny_checkpoint()
    (directory / missing).unlink()
    with pytest.raises(InvalidArgument, match=message):
        load_checkpoint(directory, print)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_type": "bert"},
            "is of a 'bert' model; only 'segformer' is exported: .*import-onnx",
        ),
        ({"depths": [10**9, 1, 1, 1]}, "depths in config.json is .*: not that of"),
        ({"decoder_hidden_size": 10**12}, "decoder_hidden_size in config.json is 10+: not that"),
        ({"architectures": ["SegformerForImageClassification"]}, "it has a decode head"),
        ({"num_channels": 4}, "num_channels must be 3"),
        ({"id2label": {"0": "sky", "2": "sea"}}, "must name ids 0, 1, 2, ...: 1 is missing"),
        ({"id2label": {"0": "sky"}}, "classes, and config.json names 1: let id2label name those"),
        ({"id2label": ["sky"]}, "id2label in config.json must name ids"),
        ({"id2label": {}}, "id2label in config.json must name ids"),
        ({"hidden_sizes": [8, 16, 24, 64]}, "mismatched keys"),
        ({"depths": [1, 1, 2, 1]}, "missing keys"),
        ({"hidden_sizes": "wide"}, "cannot be loaded"),
        ({"num_attention_heads": [0, 0, 0, 0]}, "cannot be loaded"),
    ],
)
def test_a_wrong_config(tiny_checkpoint: Saver, changes: dict[str, object], message: str) -> None:
    directory = tiny_checkpoint()
    _edit(directory, **changes)
    with pytest.raises(InvalidArgument, match=message):
        load_checkpoint(directory, print)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.full((2,), float("nan")), "bias holds values that are not finite"),
        (torch.zeros(2, dtype=torch.int8), "is quantised: decode_head.classifier.bias is in int8"),
    ],
)
def test_weights_that_are_no_numbers_to_compute_with(
    tiny_checkpoint: Saver, values: Any, message: str
) -> None:
    directory = tiny_checkpoint()
    file = directory / "model.safetensors"
    state = load_file(file)
    bias = state["decode_head.classifier.bias"]
    state["decode_head.classifier.bias"] = values[:1].expand(len(bias)).contiguous()
    save_file(state, file)
    with pytest.raises(InvalidArgument, match=message):
        load_checkpoint(directory, print)


def test_what_is_no_checkpoint_is_named(tiny_checkpoint: Saver, tmp_path: Path) -> None:
    directory = tiny_checkpoint()
    (directory / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(InvalidArgument, match="a Git LFS pointer: run `git lfs pull`"):
        load_checkpoint(directory, print)
    folder = tmp_path / "exported"
    folder.mkdir()
    for name in ("model.onnx", "manifest.json"):
        (folder / name).write_bytes(b"")
    with pytest.raises(InvalidArgument, match="is a model folder already: `assay segment"):
        load_checkpoint(folder, print)
    with pytest.raises(InvalidArgument, match="is an ONNX file: `assay import-onnx`"):
        load_checkpoint(folder / "model.onnx", print)


@pytest.mark.parametrize("damage", [b"", b"\xff" * 64, b"\x10" + b"\0" * 7 + b"{" * 16])
def test_damaged_weights(tiny_checkpoint: Saver, damage: bytes) -> None:
    directory = tiny_checkpoint()
    (directory / "model.safetensors").write_bytes(damage)
    with pytest.raises(InvalidArgument, match=r"model.safetensors cannot be loaded"):
        load_checkpoint(directory, print)


def test_a_damaged_archive(tiny_checkpoint: Saver) -> None:
    directory = tiny_checkpoint()
    (directory / "model.safetensors").unlink()
    with zipfile.ZipFile(directory / "pytorch_model.bin", "w") as archive:
        archive.writestr("nothing", b"")
    with pytest.raises(InvalidArgument, match=r"pytorch_model.bin cannot be loaded"):
        load_checkpoint(directory, print)


def test_json_that_is_none(tiny_checkpoint: Saver) -> None:
    directory = tiny_checkpoint()
    (directory / "config.json").write_text("{")
    with pytest.raises(InvalidArgument, match=r"config.json is not valid JSON"):
        load_checkpoint(directory, print)
    (directory / "config.json").write_text("[]")
    with pytest.raises(InvalidArgument, match="must hold an object"):
        load_checkpoint(directory, print)


def test_a_hub_out_of_reach_is_one_line_with_the_command_for_another_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fetch(*_: object, **__: object) -> str:
        raise OSError("no such host.\nAn error happened while trying to locate the files")

    monkeypatch.setattr("services.segment.export.checkpoint.snapshot_download", fetch)
    with pytest.raises(Unavailable) as raised:
        load_checkpoint("some/model", print)
    said = str(raised.value)
    assert "from the hub: no such host. On a machine" in said
    assert "`hf download some/model --local-dir model`" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "name", ["nowhere", "./no/where", "/no/where", "a/b/c", "a b/c", "../none"]
)
def test_neither_a_directory_nor_a_name(name: str) -> None:
    with pytest.raises(InvalidArgument, match="neither a directory nor a name on the hub"):
        load_checkpoint(name, print)
