"""Turns a torch causal language model into two OpenVINO graphs.

The body reads tokens [1, length] and gives hidden states [1, length, width]; the head reads rows of
hidden states and their targets and gives log-likelihoods. Cut there, only positions that are scored
meet the vocabulary, a few at a time, so that their logits stay in the caches and never leave the
graph. Both take any length: a shape costs nothing to change, and nothing is padded.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import openvino
import torch
import torch.export._trace
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder
from torch import Tensor, nn

_EXAMPLE_LENGTH = 64


class _Body(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.base = model.base_model

    def forward(self, tokens: Tensor) -> Tensor:
        hidden: Tensor = self.base(input_ids=tokens, use_cache=False).last_hidden_state
        return hidden


class _Head(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.project = model.get_output_embeddings()

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits: Tensor = self.project(hidden).float()
        largest = logits.amax(1, keepdim=True)
        chosen = logits.gather(1, targets.unsqueeze(1)) - largest
        total: Tensor = (logits - largest).exp().sum(1, keepdim=True)
        return (chosen - total.log()).squeeze(1)


def convert(model: Any, max_length: int) -> tuple[openvino.Model, openvino.Model]:
    """Return body and head of a transformers model in float32.

    Raises whatever torch.export and OpenVINO raise for a model that they can't convert.
    """
    length = torch.export.Dim("length", min=2, max=max(_EXAMPLE_LENGTH + 1, max_length))
    rows = torch.export.Dim("rows", min=2, max=1 << 20)
    width = model.get_output_embeddings().in_features
    tokens = torch.zeros((1, _EXAMPLE_LENGTH), dtype=torch.int64)
    targets = torch.zeros(_EXAMPLE_LENGTH, dtype=torch.int64)
    hidden = torch.zeros((_EXAMPLE_LENGTH, width))
    body = _convert(_Body(model), (tokens,), {"tokens": {1: length}})
    shapes = {"hidden": {0: rows}, "targets": {0: rows}}
    return body, _convert(_Head(model), (hidden, targets), shapes)


def _say_nothing(*_: object, **__: object) -> None:
    """Take the place of `print`."""


def _convert(
    module: nn.Module, example: tuple[Tensor, ...], shapes: dict[str, Any]
) -> openvino.Model:
    # torch prints the whole graph of what it can't export, 30 kB and more, into a service's log.
    vars(torch.export._trace)["print"] = _say_nothing
    # Not openvino.convert_model, which reports each conversion to the maker.
    frontend = FrontEndManager().load_by_framework("pytorch")
    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)  # torch logs what it finds missing on the way, to no one's use
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(module.eval(), example, dynamic_shapes=shapes)
            decoder = TorchFXPythonDecoder.from_exported_program(program)
            return frontend.convert(frontend.load(decoder))
    finally:
        logging.disable(previous)
