"""A SegFormer with its decode head folded: the same function, up to half the arithmetic.

A 1x1 convolution commutes with bilinear upsampling (both are linear, one mixes channels and the
other places). So

    project each stage -> upsample -> concatenate -> fuse -> batch norm

is one small convolution a stage, at the stage's own resolution, then upsample and add. Its weights
are products of the published ones, computed in float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import SegformerForSemanticSegmentation


class FoldedHead(nn.Module):
    """ReLU(sum_i up(W_i x_i) + b), then the classifier; W_i has the width of the decode head."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        projections = [module for module in head.modules() if isinstance(module, nn.Linear)]
        fuse, norm, classifier = head.linear_fuse, head.batch_norm, head.classifier
        width = fuse.out_channels
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        bias = norm.bias.double() - norm.running_mean.double() * scale
        mix = fuse.weight.double().flatten(1) * scale[:, None]  # (width, stages * width)
        if fuse.bias is not None:
            bias = bias + fuse.bias.double() * scale
        # The head concatenates its stages from the coarsest to the finest.
        slices = list(mix.split(width, dim=1))[::-1]
        self.stages = nn.ModuleList()
        for linear, part in zip(projections, slices, strict=True):
            bias = bias + part @ linear.bias.double()
            stage = nn.Conv2d(linear.in_features, width, kernel_size=1, bias=False)
            stage.weight = nn.Parameter((part @ linear.weight.double()).float()[:, :, None, None])
            self.stages.append(stage)
        # The bias rides on the finest stage, which is never upsampled.
        self.stages[0].bias = nn.Parameter(bias.float())
        self.classifier = classifier

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Return logits (N, C, h, w) from the stages' feature maps, finest first."""
        size = features[0].shape[2:]
        total: Tensor = self.stages[0](features[0])
        for index, feature in enumerate(features[1:], start=1):
            total = total + functional.interpolate(
                self.stages[index](feature), size=size, mode="bilinear", align_corners=False
            )
        logits: Tensor = self.classifier(functional.relu(total))
        return logits


class FoldedSegformer(nn.Module):
    """pixels (N, 3, H, W) -> logits (N, h, w, C) and their arg max (N, h, w), an unsigned integer.

    The source model is read, never changed; its encoder is shared.
    """

    def __init__(self, model: SegformerForSemanticSegmentation, labels: torch.dtype) -> None:
        super().__init__()
        self.encoder = model.segformer
        self.head = FoldedHead(model.decode_head)
        self.labels = labels

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and labels."""
        features = self.encoder(pixels, output_hidden_states=True).hidden_states
        logits = self.head(features).permute(0, 2, 3, 1)
        return logits, logits.argmax(dim=-1).to(self.labels)
