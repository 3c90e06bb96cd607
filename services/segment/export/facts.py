"""Facts about a SegFormer exactly as published: counted before anything is folded or fused."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from services.segment.manifest import ModelFacts, StageFacts


def source_facts(
    model: SegformerForSemanticSegmentation, height: int = 512, width: int = 512
) -> ModelFacts:
    """Count the modules and parameters of an unmodified model, and trace its shapes.

    The shapes come from a forward pass of the same architecture for one (3, height, width) input,
    on the meta device, which is exact and free. Modules are counted by class, without containers.
    """
    encoder, head = model.segformer, model.decode_head
    hidden, logits = _trace(model.config, height, width)
    stages = tuple(
        StageFacts(depth=depth, width=shape[1], downsampling=round(height / shape[2]))
        for depth, shape in zip(model.config.depths, hidden, strict=True)
    )
    batch, classes, rows, columns = logits
    return ModelFacts(
        parameters=_parameters(model),
        parameters_by_part={"encoder": _parameters(encoder), "decode_head": _parameters(head)},
        modules=_leaves(model),
        convolutions=_convolutions(encoder, head),
        head_modules=_leaves(head),
        stages=stages,
        logits_shape=(batch, classes, rows, columns),
        decoder_width=model.config.decoder_hidden_size,
    )


def architecture_facts(config: SegformerConfig, height: int = 512, width: int = 512) -> ModelFacts:
    """Return the facts of a model with that configuration, without allocating its weights."""
    with torch.device("meta"):
        return source_facts(SegformerForSemanticSegmentation(config), height, width)


def _trace(
    config: SegformerConfig, height: int, width: int
) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
    """Return the shapes of the encoder's feature maps and of the logits."""
    with torch.device("meta"), torch.inference_mode():
        model = SegformerForSemanticSegmentation(config).train(False)
        result = model(
            torch.empty(1, config.num_channels, height, width), output_hidden_states=True
        )
    return [tuple(state.shape) for state in result.hidden_states], tuple(result.logits.shape)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _leaves(module: nn.Module) -> dict[str, int]:
    """Count modules without children by class name, most frequent first."""
    leaves = (leaf for leaf in module.modules() if next(leaf.children(), None) is None)
    counts = Counter(type(leaf).__name__ for leaf in leaves)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _convolutions(encoder: nn.Module, head: nn.Module) -> dict[str, int]:
    """Count convolutions by role, judged by their shape rather than by a library's names.

    Depthwise: one group for each channel. Spatial reduction: windows that touch (kernel = stride).
    Patch embedding: windows that overlap.
    """
    roles = {"depthwise": 0, "patch_embedding": 0, "spatial_reduction": 0, "decode_head": 0}
    for module in encoder.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if module.groups == module.in_channels > 1:
            roles["depthwise"] += 1
        elif tuple(module.kernel_size) == tuple(module.stride):
            roles["spatial_reduction"] += 1
        else:
            roles["patch_embedding"] += 1
    roles["decode_head"] = sum(isinstance(module, nn.Conv2d) for module in head.modules())
    return roles
