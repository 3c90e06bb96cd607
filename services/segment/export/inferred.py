"""The configuration of a SegFormer without a config file, inferred from its weights. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from services.errors import InvalidArgument

_EMBEDDING = re.compile(r"segformer\.encoder\.patch_embeddings\.(\d+)\.proj\.weight")
_BLOCK = re.compile(r"segformer\.encoder\.block\.(\d+)\.(\d+)\.layer_norm_1\.weight")


def inferred_config(state: Mapping[str, Tensor], file: str) -> dict[str, Any]:
    """Return what a config.json would say, from weights under the hub's names.

    Heads are as wide as the first stage, as in every published SegFormer. Raises InvalidArgument
    for weights that are not a SegFormer's.
    """
    embeddings = _by_stage(state, _EMBEDDING)
    depths = [0] * len(embeddings)
    try:
        for name in state:
            if (match := _BLOCK.fullmatch(name)) is not None:
                depths[int(match[1])] = max(depths[int(match[1])], int(match[2]) + 1)
        widths = [int(weight.shape[0]) for weight in embeddings]
        first = "segformer.encoder.block.{}.0."
        dense = [state[first.format(stage) + "mlp.dense1.weight"] for stage in range(len(widths))]
        reductions = [
            state.get(first.format(stage) + "attention.self.sr.weight")
            for stage in range(len(widths))
        ]
        fuse = state.get("decode_head.linear_fuse.weight")
        if fuse is None:
            fuse = state["decode_head.fusion_conv.conv.weight"]
        classifier = state.get("decode_head.classifier.weight")
        if classifier is None:
            classifier = state["decode_head.conv_seg.weight"]
    except (KeyError, IndexError) as error:
        raise InvalidArgument(
            "checkpoint", f"{file} is not a SegFormer's, or needs its config.json: {error} missing"
        ) from error
    if not widths or any(width % widths[0] for width in widths):
        raise InvalidArgument("checkpoint", f"{file} needs a config.json beside it")
    return {
        "model_type": "segformer",
        "num_encoder_blocks": len(widths),
        "depths": depths,
        "hidden_sizes": widths,
        "patch_sizes": [int(weight.shape[2]) for weight in embeddings],
        "strides": [4] + [2] * (len(widths) - 1),
        "num_attention_heads": [width // widths[0] for width in widths],
        "sr_ratios": [1 if sr is None else int(sr.shape[2]) for sr in reductions],
        "mlp_ratios": [
            int(weight.shape[0]) // width for weight, width in zip(dense, widths, strict=True)
        ],
        "decoder_hidden_size": int(fuse.shape[0]),
        "num_labels": int(classifier.shape[0]),
    }


def _by_stage(state: Mapping[str, Tensor], pattern: re.Pattern[str]) -> list[Tensor]:
    found = {int(match[1]): state[name] for name in state if (match := pattern.fullmatch(name))}
    return [found[stage] for stage in sorted(found)]
