"""A SegFormer with its decode head folded: the same function for as little as half the arithmetic.

A 1x1 convolution commutes with bilinear upsampling (both are linear; one mixes channels, the other
positions). So

    project each stage -> upsample -> concatenate -> fuse -> batch norm

equals one small convolution for each stage, at the stage's own resolution, then upsample and add.
Its weights are products of the published ones, computed in float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import SegformerForSemanticSegmentation

from services.segment.export.mmsegmentation import ConvolutionalHead


class FoldedHead(nn.Module):
    """ReLU(sum_i up(W_i x_i) + b), then the classifier; W_i has the width of the decode head."""

    def __init__(self, head: Any, background: float | None = None) -> None:
        """Fold a decode head; with `background`, put a class with that logit before the only one.

        The arg max is then the class where its logit is larger, which interpolation preserves.
        """
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
        self.classifier: nn.Module = _with_background(classifier, background)

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


class FoldedConvolutionalHead(nn.Module):
    """mmsegmentation's decode head: ReLU(sum_i up(V_i ReLU(W_i x_i)) + b), then the classifier."""

    def __init__(self, head: ConvolutionalHead, background: float | None = None) -> None:
        """Fold a decode head, as FoldedHead does."""
        super().__init__()
        self.stages = nn.ModuleList(_folded_convolution(part) for part in head.convs)
        fused = _folded_convolution(head.fusion_conv)
        width, bias = fused.out_channels, fused.state_dict()["bias"]
        self.fuses = nn.ModuleList()
        for part in torch.split(fused.weight, width, dim=1):
            fuse = nn.Conv2d(width, width, kernel_size=1, bias=False)
            fuse.weight = nn.Parameter(part.contiguous())
            self.fuses.append(fuse)
        # The bias rides on the finest stage, which is never upsampled.
        self.fuses[0].register_parameter("bias", nn.Parameter(bias))
        self.classifier: nn.Module = _with_background(head.conv_seg, background)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Return logits (N, C, h, w) from the stages' feature maps, finest first."""
        size = features[0].shape[2:]
        total: Tensor = self.fuses[0](functional.relu(self.stages[0](features[0])))
        for index, feature in enumerate(features[1:], start=1):
            total = total + functional.interpolate(
                self.fuses[index](functional.relu(self.stages[index](feature))),
                size=size,
                mode="bilinear",
                align_corners=False,
            )
        logits: Tensor = self.classifier(functional.relu(total))
        return logits


def _folded_convolution(part: Any) -> nn.Conv2d:
    """Return a convolution of one pixel that includes its batch norm, computed in float64."""
    conv, norm = part["conv"], part["bn"]
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    folded = nn.Conv2d(conv.in_channels, conv.out_channels, kernel_size=1)
    weight = conv.weight.double() * scale[:, None, None, None]
    folded.weight = nn.Parameter(weight.float())
    folded.bias = nn.Parameter((norm.bias.double() - norm.running_mean.double() * scale).float())
    return folded


def _with_background(classifier: nn.Conv2d, background: float | None) -> nn.Conv2d:
    """Return the classifier, preceded by a class of a constant logit if there is one."""
    if background is None:
        return classifier
    wider = nn.Conv2d(classifier.in_channels, classifier.out_channels + 1, kernel_size=1)
    weight, bias = classifier.weight, classifier.bias
    own = torch.zeros(classifier.out_channels) if bias is None else bias
    wider.weight = nn.Parameter(torch.cat([torch.zeros_like(weight[:1]), weight]))
    wider.bias = nn.Parameter(torch.cat([torch.tensor([background]), own]))
    return wider


class FoldedSegformer(nn.Module):
    """pixels (N, 3, H, W) -> logits (N, h, w, C) and their arg max (N, h, w), an unsigned integer.

    The source model is read, never changed; its encoder is shared.
    """

    def __init__(
        self,
        model: SegformerForSemanticSegmentation,
        labels: torch.dtype,
        background: float | None = None,
    ) -> None:
        """Fold a model; `background` is as in the head."""
        super().__init__()
        self.encoder = model.segformer
        head: Any = model.decode_head
        folded = FoldedConvolutionalHead if isinstance(head, ConvolutionalHead) else FoldedHead
        self.head = folded(head, background)
        self.labels = labels

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and labels."""
        features = self.encoder(pixels, output_hidden_states=True).hidden_states
        logits = self.head(features).permute(0, 2, 3, 1)
        return logits, logits.argmax(dim=-1).to(self.labels)
