"""Weights that are not all of a model's, or another's, are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the score extra")
pytest.importorskip("transformers", reason="needs the score extra")

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.bpb import family_configs
from services.corpus.bpb.models.compute import TORCH, Compute
from services.corpus.bpb.models.language_model import LanguageModel
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.scored_windows import Window
from services.errors import ModelUnusable
from tests.corpus.bpb import tiny_models

pytestmark = pytest.mark.torch
Tensors = dict[str, Tensor]
WINDOW = Window(list(range(40)), list(range(1, 41)))


def load(directory: Path) -> LanguageModel:
    return Registry({"m": directory}).load("m", Compute(TORCH))


@pytest.fixture(params=["llama"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tiny_models.make(str(request.param), tmp_path / "model")


def change(directory: Path, edit: Callable[[Tensors], Any]) -> None:
    weights = directory / "model.safetensors"
    tensors = {name: value.clone() for name, value in load_file(weights).items()}
    edit(tensors)
    save_file(tensors, weights, {"format": "pt"})


def configure(directory: Path, **values: Any) -> None:
    config = directory / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **values}))


def refusal(directory: Path) -> str:
    with pytest.raises(ModelUnusable, match=r"^m: ") as caught:
        load(directory)
    return str(caught.value)


LAYER = "model.layers.1.mlp.up_proj.weight"


def drop_layer(tensors: Tensors) -> None:
    for name in [name for name in tensors if name.startswith("model.layers.1.mlp.")]:
        del tensors[name]


def rename(tensors: Tensors) -> None:
    tensors["model.layers.1.mlp.up.weight"] = tensors.pop(LAYER)


def wrap(tensors: Tensors) -> None:
    for name in list(tensors):
        tensors[f"_orig_mod.module.{name}"] = tensors.pop(name)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            lambda tensors: tensors.pop("lm_head.weight"),
            ["lack lm_head.weight of a LlamaForCausal"],
        ),
        (drop_layer, ["model.layers.1.mlp.down_proj.weight", LAYER]),
        (rename, ["lack " + LAYER, "get the whole checkpoint"]),
        (wrap, ["it has them as _orig_mod.module.", "take '_orig_mod.module.' off the names"]),
        (
            lambda tensors: tensors.update({LAYER: torch.zeros(3, 64)}),
            [LAYER, "3 x 64, not 128 x 64"],
        ),
        (lambda tensors: tensors[LAYER].fill_(float("nan")), ["not finite numbers in " + LAYER]),
        (lambda tensors: tensors[LAYER][0, 0:1].fill_(float("inf")), ["not finite", LAYER]),
        (
            lambda tensors: tensors.update({LAYER: tensors[LAYER].to(torch.int8)}),
            [LAYER, "are whole numbers", "quantization_config"],
        ),
        (
            lambda tensors: tensors.update({"score.weight": torch.zeros(1, 64)}),
            ["score.weight", "a classifier or reward model"],
        ),
        (
            lambda tensors: tensors.update({LAYER[:-6] + "lora_A.weight": torch.zeros(4, 64)}),
            ["lora_A.weight", "an adapter that is not merged"],
        ),
        (
            lambda tensors: tensors.update(
                {"model.layers.0.self_attn.q_proj.bias": torch.ones(64)}
            ),
            ["model.layers.0.self_attn.q_proj.bias", "does not use"],
        ),
        (
            lambda tensors: tensors.update({"model.layers.2.mlp.up_proj.weight": torch.ones(2, 2)}),
            ["model.layers.2.mlp.up_proj.weight", "does not use"],
        ),
        (
            lambda tensors: tensors.update({"lm_head.bias": torch.ones(257)}),
            ["lm_head.bias", "does not use"],
        ),
    ],
)
def test_what_is_wrong_is_named(
    directory: Path, edit: Callable[[Tensors], Any], words: list[str]
) -> None:
    change(directory, edit)
    problem = refusal(directory)
    assert all(word in problem for word in words), problem


def test_a_correction_that_training_left_in_a_buffer_is_a_weight_too(tmp_path: Path) -> None:
    directory = family_configs.make("deepseek_v3", tmp_path / "model")
    name = "model.layers.1.mlp.gate.e_score_correction_bias"
    change(directory, lambda tensors: tensors[name][1:2].fill_(float("nan")))
    assert f"not finite numbers in {name}" in refusal(directory)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"vocab_size": 256}, "(config.json has vocab_size 256, where the weights have 257); get"),
        ({"intermediate_size": 96}, "has intermediate_size 96, where the weights have 128)"),
        (
            {"num_key_value_heads": 4, "head_dim": 16},
            "and head_dim 16, where the weights have 32: num_key_value_heads 2 or head_dim 8 would",
        ),
        (
            {"num_attention_heads": 8, "head_dim": 16},
            "(config.json has num_attention_heads 8 and head_dim 16, where the weights have 64: ",
        ),
        ({"num_hidden_layers": 3}, "config.json has num_hidden_layers 3, and the weights have 2"),
        ({"num_hidden_layers": 1}, "config.json has num_hidden_layers 1, and the weights have 2"),
    ],
)
def test_what_of_the_config_does_not_fit_the_weights_is_named(
    directory: Path, values: dict[str, int], words: str
) -> None:
    configure(directory, **values)
    assert words in refusal(directory)


@pytest.mark.parametrize(
    "name",
    [
        "model.rotary_emb.inv_freq",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "v_head.summary.weight",
        "mtp.layers.0.weight",
    ],
)
def test_what_leaves_likelihoods_alone_is_passed_over(directory: Path, name: str) -> None:
    before = load(directory).log_likelihoods([WINDOW])[0].tobytes()
    change(directory, lambda tensors: tensors.update({name: torch.ones(4)}))
    loaded = Registry({"m": directory}).start("m", Compute(TORCH))
    assert loaded.model.log_likelihoods([WINDOW])[0].tobytes() == before
    known = name.endswith("inv_freq")  # older versions stored what the class makes by itself
    assert any(f"does not use: {name}" in doubt for doubt in loaded.doubts) is not known


def test_layers_that_predict_further_tokens_stand_behind_the_others(directory: Path) -> None:
    configure(directory, num_nextn_predict_layers=1)
    extra = {"model.layers.2.mlp.up_proj.weight": torch.ones(2, 2)}
    change(directory, lambda tensors: tensors.update(extra))
    load(directory)


@pytest.mark.parametrize("directory", ["gpt2"], indirect=True)
def test_tied_weights_and_masks_are_not_missing(directory: Path) -> None:
    assert "lm_head.weight" not in load_file(directory / "model.safetensors")
    before = load(directory).log_likelihoods([WINDOW])[0].tobytes()
    mask = {"transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8)}
    change(directory, lambda tensors: tensors.update(mask))
    assert load(directory).log_likelihoods([WINDOW])[0].tobytes() == before


def test_half_a_tied_pair_is_enough_either_way(directory: Path) -> None:
    configure(directory, tie_word_embeddings=True)
    change(directory, lambda tensors: tensors.pop("lm_head.weight"))
    load(directory)
    change(directory, lambda tensors: tensors.pop("model.embed_tokens.weight"))
    assert "model.embed_tokens.weight" in refusal(directory)


def test_a_tied_head_that_is_not_the_embedding_is_refused(directory: Path) -> None:
    configure(directory, tie_word_embeddings=True)
    problem = refusal(directory)
    assert "tie_word_embeddings" in problem
    assert "lm_head.weight that differs from model.embed_tokens.weight" in problem
    embedding = load_file(directory / "model.safetensors")["model.embed_tokens.weight"]
    change(directory, lambda tensors: tensors.update({"lm_head.weight": embedding.clone()}))
    load(directory)
    change(directory, lambda tensors: tensors["lm_head.weight"][-1, -1:].add_(1e-3))
    assert "lm_head.weight that differs" in refusal(directory)


@pytest.mark.parametrize("directory", ["gpt2"], indirect=True)
def test_a_head_is_tied_where_the_config_leaves_it_to_its_class(directory: Path) -> None:
    head = {"lm_head.weight": torch.ones(257, 64)}
    change(directory, lambda tensors: tensors.update(head))
    assert "lm_head.weight that differs from transformer.wte.weight" in refusal(directory)


def test_weights_that_need_a_package_name_it(directory: Path) -> None:
    configure(directory, quantization_config={"quant_method": "gptq", "bits": 4})
    problem = refusal(directory)
    assert "quantised with gptq" in problem
    assert "`pip install gptqmodel`" in problem


def test_a_config_of_another_shape_is_not_an_internal_error(directory: Path) -> None:
    configure(directory, num_attention_heads="many")
    assert "transformers cannot load it" in refusal(directory)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"hidden_act": "nonsense"}, r"what its config.json says (KeyError: 'nonsense')"),
        ({"num_attention_heads": 0}, "what its config.json says (ZeroDivisionError: "),
        (
            {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "modeling_mine.Mine"}},
            "its own code (auto_map in config.json), which is never run",
        ),
    ],
)
def test_an_error_without_a_sentence_is_put_into_one(
    directory: Path, entry: dict[str, Any], told: str
) -> None:
    configure(directory, **entry)
    assert told in refusal(directory)


def test_what_is_wrong_with_an_entry_of_the_config_is_said(directory: Path) -> None:
    configure(directory, num_attention_heads=7, head_dim=None)
    assert "The hidden size (64) is not a multiple of the number of attention heads (7)" in refusal(
        directory
    )
