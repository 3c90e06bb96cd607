"""Checkpoints as other programs write them: the same logits as those of whoever wrote them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.errors import InvalidArgument

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from services.segment.export.checkpoint import load_checkpoint  # noqa: E402
from services.segment.export.folding import FoldedSegformer  # noqa: E402
from services.segment.export.given import Given  # noqa: E402
from services.segment.export.measure import source_logits  # noqa: E402
from services.segment.export.pipeline import checkpoint_source  # noqa: E402

pytestmark = pytest.mark.torch
Saver = Callable[..., Path]
FIXTURES = Path(__file__).with_name("fixtures")
PIXELS = np.random.default_rng(0).standard_normal((1, 3, 64, 96)).astype(np.float32)
SIZE = Given(size=(64, 96))


def computed(path: Path, given: Given = SIZE) -> Any:
    """The logits of a checkpoint, which the folded model gives as well."""
    model = load_checkpoint(path, print, given).model
    logits = source_logits(model, PIXELS)
    with torch.inference_mode():
        folded, _ = FoldedSegformer(model, torch.uint8).eval()(torch.from_numpy(PIXELS))
    np.testing.assert_allclose(folded.numpy(), logits, atol=1e-5)
    return logits


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("tensorflow", ["config.json", "tf_model.h5"]),
        ("mmsegmentation/segformer.pth", ["segformer.pth"]),
        ("mmsegmentation", ["segformer.pth"]),
    ],
)
def test_logits_are_those_of_the_library_that_wrote_it(path: str, files: list[str]) -> None:
    if "tensorflow" in path:
        pytest.importorskip("h5py")
    folder = FIXTURES / path.partition("/")[0]
    wanted = np.load(folder / "logits.npy").transpose(0, 2, 3, 1)
    np.testing.assert_allclose(computed(FIXTURES / path), wanted, atol=2e-6)
    loaded = load_checkpoint(FIXTURES / path, print, SIZE)
    assert loaded.classes == ("sky", "sea", "sand")
    assert [file.name for file in loaded.files] == files


def state_of(directory: Path) -> dict[str, Any]:
    """The weights under the hub's names."""
    from safetensors.torch import load_file  # noqa: PLC0415

    return dict(load_file(directory / "model.safetensors"))


def by_the_authors_names(state: dict[str, Any]) -> dict[str, Any]:
    """The same weights as the authors' own code saves them."""
    rules = [
        (r"segformer\.encoder\.patch_embeddings\.(\d)\.proj", "backbone.patch_embed{}.proj"),
        (r"segformer\.encoder\.patch_embeddings\.(\d)\.layer_norm", "backbone.patch_embed{}.norm"),
        (r"segformer\.encoder\.layer_norm\.(\d)", "backbone.norm{}"),
        (r"segformer\.encoder\.block\.(\d)", "backbone.block{}"),
        (r"decode_head\.linear_c\.(\d)", "decode_head.linear_c{}"),
    ]
    plain = [
        ("layer_norm_", "norm"),
        ("attention.self.query", "attn.q"),
        ("attention.self.sr", "attn.sr"),
        ("attention.self.layer_norm", "attn.norm"),
        ("attention.output.dense", "attn.proj"),
        ("mlp.dense", "mlp.fc"),
        ("decode_head.linear_fuse.", "decode_head.linear_fuse.conv."),
        ("decode_head.batch_norm.", "decode_head.linear_fuse.bn."),
        ("decode_head.classifier.", "decode_head.linear_pred."),
    ]
    found = {}
    for name, value in state.items():
        if "attention.self.value" in name:
            continue
        new, kept = name, value
        if "attention.self.key" in name:
            new = name.replace("attention.self.key", "attn.kv")
            kept = torch.cat([value, state[name.replace("self.key", "self.value")]])
        for pattern, becomes in rules:
            new = re.sub(pattern, lambda m, b=becomes: b.format(int(m[1]) + 1), new)  # type: ignore[misc]
        for before, after in plain:
            new = new.replace(before, after)
        found[new] = kept
    return found


@pytest.mark.parametrize("config", [True, False])
def test_the_authors_own_checkpoints(tiny_checkpoint: Saver, config: bool) -> None:
    directory = tiny_checkpoint()
    wanted = computed(directory)
    state = by_the_authors_names(state_of(directory))
    assert "backbone.block1.0.attn.kv.weight" in state
    # They keep an unused classifier of their base class.
    state["decode_head.conv_seg.weight"] = torch.zeros(3, 16, 1, 1)
    torch.save({"state_dict": state, "meta": {"CLASSES": ["a", "b", "c"]}}, directory / "b0.pth")
    if config:
        found = computed(directory / "b0.pth")
    else:
        (directory / "config.json").unlink()
        loaded = load_checkpoint(directory / "b0.pth", print, SIZE)
        assert loaded.classes == ("a", "b", "c")
        found = computed(directory / "b0.pth")
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("prefix", "wrapper"),
    [("module.", None), ("_orig_mod.", "model"), ("model._orig_mod.net.", "state_dict")],
)
def test_prefixes_of_wrappers_are_taken_off(
    tiny_checkpoint: Saver, prefix: str, wrapper: str | None
) -> None:
    directory = tiny_checkpoint()
    wanted = computed(directory)
    state: dict[str, Any] = {prefix + name: x for name, x in state_of(directory).items()}
    state["ema_decay"] = torch.zeros(1)
    (directory / "model.safetensors").unlink()
    saved = state if wrapper is None else {wrapper: state, "epoch": 3, "lr": [0.1]}
    torch.save(saved, directory / "last.ckpt")
    np.testing.assert_array_equal(computed(directory), wanted)


def test_shards_are_read_as_one(tiny_checkpoint: Saver) -> None:
    from safetensors.torch import save_file  # noqa: PLC0415

    directory = tiny_checkpoint()
    wanted = computed(directory)
    state = state_of(directory)
    (directory / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors":
             names[1::2]}  # fmt: skip
    for file, members in parts.items():
        save_file({name: state[name] for name in members}, directory / file)
    index = directory / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {n: f for f, ns in parts.items() for n in ns}}))
    np.testing.assert_array_equal(computed(directory), wanted)
    assert len(load_checkpoint(directory, print, SIZE).files) == 5
    (directory / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InvalidArgument, match="lacks the shard model-00002"):
        load_checkpoint(directory, print)
    for damage in ("[]", "{", '{"weight_map": 3}', '{"weight_map": {"a": "../../etc/passwd"}}'):
        index.write_text(damage)
        with pytest.raises(InvalidArgument, match=r"is not an index|is not the name of a file"):
            load_checkpoint(directory, print)


def test_what_is_no_state_dict_is_named(tiny_checkpoint: Saver) -> None:
    directory = tiny_checkpoint()
    state = state_of(directory)
    (directory / "model.safetensors").unlink()
    file = directory / "model.pth"
    for saved, says in (
        ({"optimizer": {}, "epoch": 1}, "no state dict; it holds optimizer, epoch"),
        ([1, 2], "it holds no state dict"),
        ({"encoder.weight": torch.zeros(1)}, "no SegFormer with a decode head is in it"),
        (
            {prefix + name: x for prefix in ("model.", "ema.") for name, x in state.items()},
            "holds several models, under 'ema.', 'model.'",
        ),
        (
            {name: x for name, x in state.items() if "block.0.0.mlp.dense1.bias" not in name},
            "1 missing keys",
        ),
    ):
        torch.save(saved, file)
        with pytest.raises(InvalidArgument, match=re.escape(says)):
            load_checkpoint(directory, print)
    shutil.copyfile(file, directory / "other.ckpt")
    with pytest.raises(InvalidArgument, match=r"holds model\.pth, other\.ckpt: leave one"):
        load_checkpoint(directory, print)


def test_a_file_of_other_weights_needs_a_configuration(tmp_path: Path) -> None:
    torch.save({"decode_head.classifier.weight": torch.zeros(3, 8, 1, 1)}, tmp_path / "x.pth")
    with pytest.raises(InvalidArgument, match=r"not a SegFormer's, or needs its config\.json"):
        load_checkpoint(tmp_path / "x.pth", print, SIZE)


@pytest.mark.parametrize("damage", [b"", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + b"\0" * 2000])
def test_damaged_tensorflow_weights(tmp_path: Path, damage: bytes) -> None:
    pytest.importorskip("h5py")
    shutil.copyfile(FIXTURES / "tensorflow/config.json", tmp_path / "config.json")
    (tmp_path / "tf_model.h5").write_bytes(damage)
    with pytest.raises(InvalidArgument, match=r"tf_model\.h5 cannot be loaded"):
        load_checkpoint(tmp_path, print, SIZE)


@pytest.mark.parametrize("threshold", [None, 0.5, 0.2, 0.9])
def test_a_model_of_one_class_gets_a_background(
    tiny_checkpoint: Saver, threshold: float | None
) -> None:
    directory = tiny_checkpoint()
    config = json.loads((directory / "config.json").read_text())
    config |= {"id2label": {"0": "road"}, "label2id": {"road": 0}}
    (directory / "config.json").write_text(json.dumps(config))
    state = state_of(directory)
    weight, bias = "decode_head.classifier.weight", "decode_head.classifier.bias"
    state[weight], state[bias] = state[weight][:1], torch.zeros(1)
    (directory / "model.safetensors").unlink()
    torch.save(state, directory / "pytorch_model.bin")
    drawn = source_logits(load_checkpoint(directory, print, SIZE).model, PIXELS)
    # Spread around the threshold.
    state[weight] = state[weight] * float(2 / drawn.std())
    state[bias] = torch.tensor([float(-2 * np.median(drawn) / drawn.std())])
    torch.save(state, directory / "pytorch_model.bin")
    given = Given(size=(64, 96), threshold=threshold)
    source = checkpoint_source(directory, None, (), print, given)
    assert source.classes == ("background", "road")
    assert f"probability is above {threshold or 0.5:g}" in source.words
    folded = FoldedSegformer(source.model, torch.uint8, source.background).eval()
    with torch.inference_mode():
        logits, labels = folded(torch.from_numpy(PIXELS))
        plain = source.model(torch.from_numpy(PIXELS)).logits[:, 0]
    wanted = torch.sigmoid(plain) > (threshold or 0.5)
    assert 0 < wanted.float().mean() < 1
    assert (labels == wanted).float().mean() > 0.999
    np.testing.assert_allclose(
        logits.numpy(), source_logits(source.model, PIXELS, source.background), atol=1e-4
    )


def test_a_threshold_is_for_models_of_one_class(tiny_checkpoint: Saver) -> None:
    with pytest.raises(InvalidArgument, match="one class; this one has 3"):
        checkpoint_source(tiny_checkpoint(), None, (), print, Given(threshold=0.5))
    for threshold in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InvalidArgument, match="is not between 0 and 1"):
            Given(threshold=threshold)
