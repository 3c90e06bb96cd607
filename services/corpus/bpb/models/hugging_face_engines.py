"""Loads a Hugging Face model on one of its engines, measured against torch in float32."""

from __future__ import annotations

import copy
import os
from typing import Any

import torch

from services.corpus.bpb.models.compute import CUDA, OPENVINO, TORCH, Precision, Shift
from services.corpus.bpb.models.hugging_face import HuggingFaceTokenizer, load_module
from services.corpus.bpb.models.language_model import LanguageModel
from services.corpus.bpb.models.model_directory import HuggingFaceModel
from services.corpus.bpb.models.parity import require_parity, trial_windows
from services.corpus.bpb.models.threads import threads_for
from services.corpus.bpb.models.torch_model import TorchModel
from services.errors import PreconditionFailed

_TYPES = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}


def start(
    name: str, found: HuggingFaceModel, engine: str, precision: Precision
) -> tuple[LanguageModel, Shift]:
    """Load a model on openvino-cpu, torch-cpu or torch-cuda.

    Raises InvalidArgument when it can't be loaded at all; PreconditionFailed when the engine can't
    run it here, or does not agree with torch; ImportError when the engine is not installed.
    """
    if engine == CUDA and not torch.cuda.is_available():
        raise PreconditionFailed(f"{engine}: torch {torch.__version__} finds no GPU here")
    threads = threads_for(found.parameters)
    torch.set_num_threads(threads)
    tokenizer = HuggingFaceTokenizer(name, found)
    module = load_module(name, found, tokenizer, torch.float32)
    reference = TorchModel(tokenizer, module)
    model: LanguageModel
    if engine == TORCH and precision is Precision.FP32:
        return reference, Shift()
    if engine == OPENVINO:
        if precision is not Precision.FP32 and _has_gated_layers(module):
            threads = _at_least_two(threads, precision)
        model = _openvino(
            name,
            tokenizer,
            module,
            max_length=found.max_length,
            precision=precision,
            threads=threads,
        )
    else:
        device = "cuda" if engine == CUDA else "cpu"
        other = copy.deepcopy(module).to(device=device, dtype=_TYPES[precision])
        model = TorchModel(tokenizer, other)
    windows = trial_windows(reference, found.max_length)
    return model, require_parity(engine, precision, model, reference, windows)


def _openvino(
    name: str,
    tokenizer: HuggingFaceTokenizer,
    module: Any,
    *,
    max_length: int,
    precision: Precision,
    threads: int,
) -> LanguageModel:
    # OpenVINO is in an extra.
    from services.corpus.bpb.models import openvino_graphs, openvino_model  # noqa: PLC0415

    try:
        graphs = openvino_graphs.convert(module, max_length)
    except Exception as error:  # whatever torch.export and OpenVINO raise
        problem = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise PreconditionFailed(f"OpenVINO cannot convert {name} ({problem})") from error
    return openvino_model.OpenVinoModel(tokenizer, graphs, precision, threads)


def _has_gated_layers(module: Any) -> bool:
    return any("gate" in name.rpartition(".")[2] for name, _ in module.named_modules())


def _at_least_two(threads: int, precision: Precision) -> int:
    """Keep OpenVINO from dividing by half of one thread, which would end the process.

    It does so where it joins the matrices of a gated layer in less than fp32.
    """
    if len(os.sched_getaffinity(0)) < 2:
        raise PreconditionFailed(
            f"OpenVINO runs this kind of model in {precision} on two processors or more, and here "
            f"is one; ask for fp32, or for {TORCH}"
        )
    return max(2, threads)
