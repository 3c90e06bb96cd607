"""SegFormers as mmsegmentation and the authors' own code write them.

The authors' checkpoints are the published model under other names. mmsegmentation's encoder is the
same, but its decode head differs: a convolution with batch norm and ReLU projects each stage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import SegformerForSemanticSegmentation

LAYER_NORM_EPS = 1e-6
"""Epsilon of mmsegmentation's layer norms; the library uses 1e-5 in places."""
State = dict[str, Tensor]
_ENCODER, _HEAD = "segformer.encoder.", "decode_head."
_BLOCK = _ENCODER + r"block.{}.{}."


def _name(pattern: str) -> Callable[[re.Match[str]], str]:
    """Fill {} with the match's groups; digits in the authors' names count from 1."""
    return lambda match: pattern.format(*match.groups())


def _from_one(pattern: str) -> Callable[[re.Match[str]], str]:
    return lambda match: pattern.format(int(match[1]) - 1, *match.groups()[1:])


# Both kinds of names: a pattern for the whole name, and its replacement.
_NAMES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        # mmsegmentation
        (r"backbone\.layers\.(\d+)\.0\.projection\.(\w+)",
         _name(_ENCODER + "patch_embeddings.{}.proj.{}")),
        (r"backbone\.layers\.(\d+)\.0\.norm\.(\w+)",
         _name(_ENCODER + "patch_embeddings.{}.layer_norm.{}")),
        (r"backbone\.layers\.(\d+)\.2\.(\w+)", _name(_ENCODER + "layer_norm.{}.{}")),
        (r"backbone\.layers\.(\d+)\.1\.(\d+)\.norm([12])\.(\w+)",
         _name(_BLOCK + "layer_norm_{}.{}")),
        (r"backbone\.layers\.(\d+)\.1\.(\d+)\.attn\.sr\.(\w+)",
         _name(_BLOCK + "attention.self.sr.{}")),
        (r"backbone\.layers\.(\d+)\.1\.(\d+)\.attn\.norm\.(\w+)",
         _name(_BLOCK + "attention.self.layer_norm.{}")),
        (r"backbone\.layers\.(\d+)\.1\.(\d+)\.attn\.attn\.out_proj\.(\w+)",
         _name(_BLOCK + "attention.output.dense.{}")),
        (r"backbone\.layers\.(\d+)\.1\.(\d+)\.ffn\.layers\.0\.(\w+)",
         _name(_BLOCK + "mlp.dense1.{}")),
        (r"backbone\.layers\.(\d+)\.1\.(\d+)\.ffn\.layers\.1\.(\w+)",
         _name(_BLOCK + "mlp.dwconv.dwconv.{}")),
        (r"backbone\.layers\.(\d+)\.1\.(\d+)\.ffn\.layers\.4\.(\w+)",
         _name(_BLOCK + "mlp.dense2.{}")),
        # the authors
        (r"backbone\.patch_embed(\d)\.proj\.(\w+)",
         _from_one(_ENCODER + "patch_embeddings.{}.proj.{}")),
        (r"backbone\.patch_embed(\d)\.norm\.(\w+)",
         _from_one(_ENCODER + "patch_embeddings.{}.layer_norm.{}")),
        (r"backbone\.norm(\d)\.(\w+)", _from_one(_ENCODER + "layer_norm.{}.{}")),
        (r"backbone\.block(\d)\.(\d+)\.norm([12])\.(\w+)",
         _from_one(_BLOCK + "layer_norm_{}.{}")),
        (r"backbone\.block(\d)\.(\d+)\.attn\.q\.(\w+)",
         _from_one(_BLOCK + "attention.self.query.{}")),
        (r"backbone\.block(\d)\.(\d+)\.attn\.sr\.(\w+)",
         _from_one(_BLOCK + "attention.self.sr.{}")),
        (r"backbone\.block(\d)\.(\d+)\.attn\.norm\.(\w+)",
         _from_one(_BLOCK + "attention.self.layer_norm.{}")),
        (r"backbone\.block(\d)\.(\d+)\.attn\.proj\.(\w+)",
         _from_one(_BLOCK + "attention.output.dense.{}")),
        (r"backbone\.block(\d)\.(\d+)\.mlp\.fc([12])\.(\w+)",
         _from_one(_BLOCK + "mlp.dense{}.{}")),
        (r"backbone\.block(\d)\.(\d+)\.mlp\.dwconv\.dwconv\.(\w+)",
         _from_one(_BLOCK + "mlp.dwconv.dwconv.{}")),
        (r"decode_head\.linear_c(\d)\.proj\.(\w+)", _from_one(_HEAD + "linear_c.{}.proj.{}")),
        (r"decode_head\.linear_fuse\.conv\.(\w+)", _name(_HEAD + "linear_fuse.{}")),
        (r"decode_head\.linear_fuse\.bn\.(\w+)", _name(_HEAD + "batch_norm.{}")),
        (r"decode_head\.linear_pred\.(\w+)", _name(_HEAD + "classifier.{}")),
    )
)  # fmt: skip
# Queries, keys and values in one tensor.
_JOINED = re.compile(r"backbone\.layers\.(\d+)\.1\.(\d+)\.attn\.attn\.in_proj_(weight|bias)")
_KEYS_VALUES = re.compile(r"backbone\.block(\d)\.(\d+)\.attn\.kv\.(weight|bias)")


def is_mmsegmentation(state: Mapping[str, Tensor]) -> bool:
    """Whether the decode head is mmsegmentation's."""
    return "decode_head.fusion_conv.conv.weight" in state


def renamed(state: State) -> State:
    """Return the weights under the hub's names; the hub's own names stay unchanged."""
    if not any(name.startswith("backbone.") for name in state):
        return state
    found: State = {}
    for name, value in state.items():
        if (match := _JOINED.fullmatch(name)) is not None:
            stage, block, kind = match.groups()
            for part, values in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[_BLOCK.format(stage, block) + f"attention.self.{part}.{kind}"] = values
        elif (match := _KEYS_VALUES.fullmatch(name)) is not None:
            stage, block, kind = int(match[1]) - 1, match[2], match[3]
            for part, values in zip(("key", "value"), value.chunk(2), strict=True):
                found[_BLOCK.format(stage, block) + f"attention.self.{part}.{kind}"] = values
        else:
            new = _renamed(name)
            # The library's dense layers equal these 1x1 convolutions.
            dense = re.search(r"\.dense[12]\.weight$", new) is not None and value.ndim == 4
            found[new] = value.flatten(1) if dense else value
    return found


def _renamed(name: str) -> str:
    for pattern, becomes in _NAMES:
        if (match := pattern.fullmatch(name)) is not None:
            return becomes(match)
    return name


class ConvolutionalHead(nn.Module):
    """mmsegmentation's SegformerHead: project with ReLU, upsample, concatenate, fuse, classify."""

    def __init__(self, widths: tuple[int, ...], width: int, classes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_projection(channels, width) for channels in widths)
        self.fusion_conv = _projection(width * len(widths), width)
        self.conv_seg = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, features: tuple[Tensor, ...], **_: Any) -> Tensor:
        """Return logits (N, C, h, w) from the stages' feature maps, finest first."""
        size = features[0].shape[2:]
        projected = [
            functional.interpolate(
                _project(conv, feature), size=size, mode="bilinear", align_corners=False
            )
            for conv, feature in zip(self.convs, features, strict=True)
        ]
        logits: Tensor = self.conv_seg(_project(self.fusion_conv, torch.cat(projected, dim=1)))
        return logits


def _projection(channels: int, width: int) -> nn.ModuleDict:
    """Return a module whose parts are named as in mmsegmentation."""
    return nn.ModuleDict(
        {
            "conv": nn.Conv2d(channels, width, kernel_size=1, bias=False),
            "bn": nn.BatchNorm2d(width),
        }
    )


def _project(part: Any, feature: Tensor) -> Tensor:
    return functional.relu(part["bn"](part["conv"](feature)))


def with_convolutional_head(
    model: SegformerForSemanticSegmentation, state: State
) -> SegformerForSemanticSegmentation:
    """Give a model mmsegmentation's decode head, with its weights, and its layer norms.

    Raises RuntimeError if the weights do not fit.
    """
    config: Any = model.config
    head: Any = ConvolutionalHead(
        tuple(config.hidden_sizes), config.decoder_hidden_size, config.num_labels
    )
    own = {name.removeprefix(_HEAD): x for name, x in state.items() if name.startswith(_HEAD)}
    head.load_state_dict(own)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = LAYER_NORM_EPS
    model.decode_head = head
    return model
