"""A folded SegFormer in a narrower number type, as far as accuracy allows.

fp16: everything except layer norms, softmax and the classifier. Those stay in fp32: norms and
softmax sum many values, and rounded logits would make ties between classes that are close.

bf16: only the products of the linear layers and of attention, with sums in fp32 between them. bf16
has three bits fewer than fp16, and no engine here has bf16 convolutions or resizing.

The input and the outputs are those of the fp32 graph. Softmax is in fp32 in the source model.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from services.segment.export.folding import FoldedSegformer
from services.segment.manifest import Precision

_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class _Between(nn.Module):
    """A layer that computes in one number type, between layers that compute in others."""

    def __init__(self, layer: nn.Module, inside: torch.dtype, outside: torch.dtype) -> None:
        super().__init__()
        self.layer = layer.to(inside)
        self.inside, self.outside = inside, outside

    def forward(self, value: Tensor) -> Tensor:
        """Convert, compute, convert."""
        result: Tensor = self.layer(value.to(self.inside)).to(self.outside)
        return result


class _Narrow(nn.Module):
    """pixels float32 -> logits float32 and their arg max, with a narrower encoder and head."""

    def __init__(self, folded: FoldedSegformer, inside: torch.dtype) -> None:
        super().__init__()
        self.encoder, self.head, self.labels = folded.encoder, folded.head, folded.labels
        self.inside = inside

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, h, w, C) and labels (N, h, w)."""
        features = self.encoder(pixels.to(self.inside), output_hidden_states=True).hidden_states
        logits = self.head(features).float().permute(0, 2, 3, 1)
        return logits, logits.argmax(dim=-1).to(self.labels)


def in_precision(folded: FoldedSegformer, precision: Precision) -> nn.Module:
    """Return the module in that number type. Never changes the given one."""
    wide, narrow = torch.float32, _TYPES[precision]
    if narrow is wide:
        return folded
    folded = copy.deepcopy(folded)
    if narrow is torch.float16:
        folded.half()
        _replace(folded, nn.LayerNorm, wide, narrow)
        folded.head.classifier = _Between(folded.head.classifier, wide, wide)
        return _Narrow(folded, narrow).eval()
    _replace(folded, nn.Linear, narrow, narrow)
    _replace(folded, nn.LayerNorm, wide, wide)
    _replace(folded, nn.Conv2d, wide, wide)
    return _Narrow(folded, wide).eval()


def _replace(
    module: nn.Module, kind: type[nn.Module], inside: torch.dtype, outside: torch.dtype
) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, kind):
            setattr(module, name, _Between(child, inside, outside))
        elif not isinstance(child, _Between):
            _replace(child, kind, inside, outside)
