"""Loads a Hugging Face model on one of its engines, measured against torch in float32."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any

import structlog
import torch

from services.common.memory import available
from services.corpus.bpb.models.checkpoint.json_files import json_object
from services.corpus.bpb.models.checkpoint.model_directory import HuggingFaceModel
from services.corpus.bpb.models.checkpoint.torch_module import load_module
from services.corpus.bpb.models.checks.causality import (
    CausalityTrial,
    causality_trial,
    require_causal,
)
from services.corpus.bpb.models.checks.doubts import tokenizer_doubts
from services.corpus.bpb.models.checks.look_alikes import refuse_another_kind
from services.corpus.bpb.models.checks.parity import require_parity, trial_text, trial_windows
from services.corpus.bpb.models.compute import CUDA, OPENVINO, TORCH, Precision, Shift
from services.corpus.bpb.models.engines.memory import needed_by_openvino
from services.corpus.bpb.models.engines.threads import threads_for
from services.corpus.bpb.models.engines.torch_model import TorchModel, known_tokens
from services.corpus.bpb.models.language_model import LanguageModel
from services.corpus.bpb.models.tokenizers.hugging_face_tokenizer import HuggingFaceTokenizer
from services.errors import EngineUnavailable, ModelUnusable

_log = structlog.get_logger(__name__)
_TYPES = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}


def start(
    name: str, found: HuggingFaceModel, engines: Sequence[str], precision: Precision
) -> tuple[LanguageModel, str, Shift, tuple[str, ...]]:
    """Load a model on the first of openvino-cpu, torch-cpu and torch-cuda that runs it.

    Return it with its engine, how far that is from torch in float32, and reasons to doubt its
    figures. Raises ModelUnusable when
    it can't be loaded at all or is no causal language model; for the last engine EngineUnavailable
    when it can't run the model here, has not the memory for it, or does not agree with torch, and
    ImportError when it is not installed.
    """
    if engines == (CUDA,) and not torch.cuda.is_available():  # before minutes of loading
        raise EngineUnavailable(f"{CUDA}: torch {torch.__version__} finds no GPU here")
    free = available()
    torch.set_num_threads(threads_for(found.parameters))
    tokenizer = HuggingFaceTokenizer(name, found)
    module, beside = load_module(name, found, torch.float32)
    reference = TorchModel(tokenizer, module)
    trial, loss, signs = _require_language_model(name, found, reference, type(module).__name__)
    refuse_another_kind(name, module, tokenizer, trial, loss)
    doubts = (*signs, *beside)
    for doubt in doubts:
        _log.warning("a reason to doubt its figures", model=name, reason=doubt)
    for number, engine in enumerate(engines, 1):
        try:
            if engine == TORCH and precision is Precision.FP32:
                return reference, engine, Shift(), doubts
            if engine == OPENVINO:
                _require_memory(found, free)
                model = _openvino(name, found, tokenizer, module, precision)
            else:
                model = _on_torch(tokenizer, module, precision, "cuda" if engine == CUDA else "cpu")
            what = f"{name} on {engine} in {precision}"
            require_causal(what, precision, model, trial, refusal=EngineUnavailable)
            windows = trial_windows(reference, found.max_length)
            shift = require_parity(engine, precision, model, reference, windows)
        except (EngineUnavailable, ModelUnusable, ImportError) as error:
            if number == len(engines):
                raise
            _log.warning("engine skipped", model=name, engine=engine, reason=str(error))
        else:
            return model, engine, shift, doubts
    raise ValueError("no engine was given")


def _require_language_model(
    name: str, found: HuggingFaceModel, reference: TorchModel, kind: str
) -> tuple[CausalityTrial, float, list[str]]:
    """Try the model on a text that every model is tried on.

    Return what it was tried on, its mean loss there in nats, and signs of a mistake.
    """
    text = trial_text()
    tokens = reference.encode(text)
    if max(tokens, default=0) >= reference.vocabulary:
        raise ModelUnusable(
            f"{name}: its tokenizer gives token {max(tokens)} for plain English, and the model has "
            f"{reference.vocabulary}; they do not belong together"
        )
    trial = causality_trial(tokens, found.prefix_token, found.max_length, found.parameters)
    config = json_object(found.directory / "config.json")
    hint = " (config.json has is_decoder false)" if config.get("is_decoder") is False else ""
    loss = -require_causal(f"{name} ({kind})", Precision.FP32, reference, trial, hint=hint)
    return trial, loss, list(tokenizer_doubts(found, reference, text, loss))


def _require_memory(found: HuggingFaceModel, free: int | None) -> None:
    needed = needed_by_openvino(found.parameters)
    if free is not None and needed > free:
        raise EngineUnavailable(
            f"loading it on {OPENVINO} takes about {needed / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free; use {TORCH}, which takes less than half of that"
        )


def _on_torch(
    tokenizer: HuggingFaceTokenizer, module: Any, precision: Precision, device: str
) -> TorchModel:
    other = copy.deepcopy(module).to(device=device, dtype=_TYPES[precision])
    return TorchModel(tokenizer, other)


def _openvino(
    name: str,
    found: HuggingFaceModel,
    tokenizer: HuggingFaceTokenizer,
    module: Any,
    precision: Precision,
) -> LanguageModel:
    # OpenVINO is in an extra.
    from services.corpus.bpb.models.engines import openvino_graphs, openvino_model  # noqa: PLC0415

    threads = threads_for(found.parameters)
    if precision is not Precision.FP32 and _has_gated_layers(module):
        threads = _at_least_two(threads, precision)
    if reason := _never_converts(module):
        raise EngineUnavailable(f"OpenVINO cannot convert {name}: {reason}; use {TORCH}")
    try:
        graphs = openvino_graphs.convert(module, found.max_length)
    except Exception as error:  # whatever torch.export and OpenVINO raise
        problem = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise EngineUnavailable(f"OpenVINO cannot convert {name} ({problem})") from error
    longer = None
    if found.max_length > openvino_model.LONGEST:
        exact = precision is Precision.FP32
        longer = (
            TorchModel(tokenizer, module)
            if exact
            else _on_torch(tokenizer, module, precision, "cpu")
        )
    return openvino_model.OpenVinoModel(
        tokenizer,
        known_tokens(module),
        graphs,
        precision=precision,
        threads=threads,
        longer=longer,
    )


def _never_converts(module: Any) -> str:
    """Say why a conversion would fail, after up to a minute of tracing; "" if it may not."""
    # Of state-space and linear attention layers: Mamba, the gated delta rule.
    if any(name.endswith("A_log") for name, _ in module.named_parameters()):
        return (
            "its layers scan a text step by step (A_log), and a graph has a fixed number of steps"
        )
    # In batches of matrices they would convert, with a copy of an expert's weights for each token.
    if any(type(part).__name__.endswith("Experts") for part in module.modules()):
        return "it has no rule for the products of a mixture of experts"
    return ""


def _has_gated_layers(module: Any) -> bool:
    return any("gate" in name.rpartition(".")[2] for name, _ in module.named_modules())


def _at_least_two(threads: int, precision: Precision) -> int:
    """Keep OpenVINO from dividing by half of one thread, which would end the process.

    It does so where it joins the matrices of a gated layer in less than fp32.
    """
    if len(os.sched_getaffinity(0)) < 2:
        raise EngineUnavailable(
            f"OpenVINO needs two processors to run this kind of model in {precision}, and this "
            f"machine has one; use fp32, or {TORCH}"
        )
    return max(2, threads)
