"""Merges a LoRA adapter into its base model, so that the two can be scored as one.

    python -m services.corpus.bpb.models.merge_adapter BASE ADAPTER OUT

BASE is a Hugging Face model's folder, ADAPTER one that PEFT wrote. Every matrix W that the adapter
changes becomes W + scale * B A (Hu et al. 2021), with scale alpha / r, or alpha / sqrt(r) for
rank-stabilised adapters; modules that were trained whole replace the base's. Adapters of other
kinds, and those that change more than linear layers, are refused: PEFT merges them itself.
"""

from __future__ import annotations

import argparse
import math
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from services.corpus.bpb.models.checkpoint.folder_kinds import NotAModelError
from services.corpus.bpb.models.checkpoint.json_files import NUMBER, OBJECT, TEXT, json_object
from services.corpus.bpb.models.checkpoint.weight_files import WEIGHTS, WEIGHTS_INDEX, weight_files

_CONFIG, _ADAPTER = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_PAIR = re.compile(r"(?P<place>.+)\.lora_A\.weight")
# What changes more than W + scale * B A, by its key in the configuration.
_MORE = (
    "use_dora",
    "megatron_config",
    "layer_replication",
    "trainable_token_indices",
    "loftq_config",
)


class CannotMergeError(Exception):
    """The message says what the adapter has that is not merged here, or lacks."""


def merge(base: Path, adapter: Path, out: Path) -> None:
    """Write the merged model into the new folder `out`.

    Raises CannotMergeError, naming tensors, for an adapter that is not of this base or not of
    linear layers alone; NotAModelError for a base without weights; OSError.
    """
    if not (adapter / _CONFIG).is_file() or not (adapter / _ADAPTER).is_file():
        raise CannotMergeError(f"{adapter} lacks {_CONFIG} or {_ADAPTER}")
    try:
        config = json_object(
            adapter / _CONFIG, {"alpha_pattern": OBJECT, "lora_alpha": NUMBER, "peft_type": TEXT}
        )
    except NotAModelError as error:
        raise CannotMergeError(f"{adapter} {error}") from None
    if config.get("peft_type") != "LORA":
        raise CannotMergeError(
            f"{adapter} is an adapter of kind {config.get('peft_type')}, not LORA"
        )
    for key in _MORE:
        if config.get(key):
            raise CannotMergeError(f"{adapter} was trained with {key}; merge it with PEFT")
    weights: dict[str, Tensor] = {}
    for path in weight_files(base):
        weights |= load_file(path)
    apply(weights, load_file(adapter / _ADAPTER), config)
    out.mkdir(parents=True)
    stored = {path.name for path in weight_files(base)} | {WEIGHTS_INDEX}
    for path in base.iterdir():
        if path.is_file() and path.name not in stored:
            shutil.copyfile(path, out / path.name)
    # An adapter's own tokenizer has the tokens that it was trained with.
    for path in adapter.glob("*token*"):
        shutil.copyfile(path, out / path.name)
    save_file(weights, out / WEIGHTS, {"format": "pt"})


def apply(
    weights: dict[str, Tensor], adapter: Mapping[str, Tensor], config: Mapping[str, Any]
) -> None:
    """Change `weights` by the tensors of an adapter. Raises CannotMergeError."""
    rest = set(adapter)
    for name in adapter:
        if found := _PAIR.fullmatch(name):
            place = found["place"]
            second = f"{place}.lora_B.weight"
            if second not in adapter:
                raise CannotMergeError(f"the adapter has {name} and no {second}")
            rest -= {name, second}
            _add(weights, place.removeprefix(_PREFIX), adapter[name], adapter[second], config)
    for name in sorted(rest):
        whole = name.removeprefix(_PREFIX)
        if "lora_" in name or whole not in weights:
            raise CannotMergeError(f"the adapter's {name} is of no linear layer of the base")
        weights[whole] = adapter[name].to(weights[whole].dtype)


def _add(
    weights: dict[str, Tensor], place: str, a: Tensor, b: Tensor, config: Mapping[str, Any]
) -> None:
    name = f"{place}.weight"
    if name not in weights:
        raise CannotMergeError(f"the adapter changes {name}, which the base does not have")
    change = _scale(place, len(a), config) * (b.double() @ a.double())
    if config.get("fan_in_fan_out"):
        change = change.T
    if change.shape != weights[name].shape:
        raise CannotMergeError(
            f"the adapter's change of {name} is {tuple(change.shape)}, and the base's "
            f"{tuple(weights[name].shape)}"
        )
    weights[name] = (weights[name].double() + change).to(weights[name].dtype).contiguous()


def _scale(place: str, rank: int, config: Mapping[str, Any]) -> float:
    alpha = float(config["lora_alpha"])
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", place):
            alpha = float(value)
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def main() -> int:
    """Merge what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("base", "adapter", "out"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    try:
        merge(given.base, given.adapter, given.out)
    except NotAModelError as error:
        parser.error(f"{given.base} {error}")
    except (CannotMergeError, OSError) as error:
        parser.error(str(error))
    print(f"written to {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
