"""Opens a language model for proving: its tokens, its stepper, and what both depend on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.corpus.bpb.models.checkpoint.model_directory import (
    ByteManifest,
    HuggingFaceModel,
)
from services.corpus.bpb.models.checks.parity import trial_windows
from services.corpus.bpb.models.engines.threads import threads_for
from services.corpus.bpb.models.language_model import LanguageModel, ModelInfo
from services.corpus.bpb.models.registry import REFERENCE, Registry
from services.corpus.bpb.scored_windows import Window
from services.corpus.proof.engines.pins import pins
from services.corpus.proof.frequencies import LARGEST_VOCABULARY, Distribution
from services.corpus.proof.stepper import Pins, Stepper
from services.errors import EngineUnavailable, ModelUnusable

# Nats of one token between stepping and reading a whole window, both in float32.
_ALLOWED = 1e-3
_TRIALS = 3  # the longest trial window would take a large model minutes, token by token


@dataclass(frozen=True)
class ProvingModel:
    """A model ready to be stepped.

    `tokenizer` is the digest of what makes its tokens. Those that the model has are below
    `vocabulary`; the tokenizer may have more.
    """

    info: ModelInfo
    tokenizer: str
    vocabulary: int
    encode: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]
    stepper: Stepper
    pins: Pins


def open_model(name: str, directory: Path | None = None) -> ProvingModel:
    """Open a model's folder, or the packaged reference model without one.

    Raises InvalidArgument for a folder that is not a model's, and as `open_registered` does.
    """
    if directory is None:
        return open_registered(Registry({}), REFERENCE)
    return open_registered(Registry({name: directory}), name)


def open_registered(registry: Registry, name: str) -> ProvingModel:
    """Open a registered model: the weights that are stepped are those of its digest.

    Raises NotFound; EngineUnavailable when a library is missing; SourceChanged when files have
    changed since the registry read them, or do while they are loaded; ModelUnusable when the model
    cannot be read token by token, or doing so gives other likelihoods.
    """
    info = registry.describe(name)
    if info.vocabulary > LARGEST_VOCABULARY:
        raise ModelUnusable(
            f"{name} has {info.vocabulary:,} tokens; a proof holds at most {LARGEST_VOCABULARY:,}"
        )
    try:
        with registry.reading(name) as found:
            if isinstance(found, ByteManifest):
                return _open_bytes(info, found)
            return _open_hugging_face(name, info, found)
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        extra = "export" if missing == "onnx" else "score"
        raise EngineUnavailable(
            f"proving with {name} needs {missing}, which is not installed: "
            f"pip install 'assay-services[{extra}]'"
        ) from error


def _open_bytes(info: ModelInfo, found: ByteManifest) -> ProvingModel:
    # onnx is in an extra.
    from services.corpus.bpb.models.engines.onnx_model import OnnxByteModel, read_model  # noqa: PLC0415
    from services.corpus.proof.engines.byte_stepper import ByteStepper  # noqa: PLC0415
    from services.corpus.proof.engines.byte_weights import (  # noqa: PLC0415
        ARCHITECTURE,
        read_weights,
    )

    if found.architecture != ARCHITECTURE:
        raise ModelUnusable(
            f"{info.name} is a {found.architecture}, and of byte models only a {ARCHITECTURE} can "
            "be read byte by byte"
        )
    data = read_model(found)
    whole = OnnxByteModel(found, data)
    stepper = ByteStepper(read_weights(data), found.max_length)
    _require_same(info.name, stepper, whole, found.max_length)
    threads = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or "0"
    count = int(threads) if threads.isdecimal() and int(threads) else len(os.sched_getaffinity(0))
    return ProvingModel(
        info,
        "bytes",
        whole.vocabulary,
        whole.encode,
        whole.decode,
        stepper,
        pins("numpy-steps", "fp32", count, "numpy"),
    )


def _open_hugging_face(name: str, info: ModelInfo, found: HuggingFaceModel) -> ProvingModel:
    # Torch is in an extra.
    import torch  # noqa: PLC0415

    from services.corpus.bpb.models.checkpoint.torch_module import load_module  # noqa: PLC0415
    from services.corpus.bpb.models.engines.torch_model import TorchModel  # noqa: PLC0415
    from services.corpus.bpb.models.tokenizers.hugging_face_tokenizer import (  # noqa: PLC0415
        HuggingFaceTokenizer,
    )
    from services.corpus.proof.engines.torch_stepper import TorchStepper  # noqa: PLC0415

    threads = threads_for(found.parameters)
    torch.set_num_threads(threads)
    tokenizer = HuggingFaceTokenizer(name, found)
    module, _ = load_module(name, found, torch.float32)
    stepper, whole = TorchStepper(module), TorchModel(tokenizer, module)
    _require_same(name, stepper, whole, found.max_length)
    content = (found.directory / "tokenizer.json").read_bytes()
    return ProvingModel(
        info,
        f"sha256:{hashlib.sha256(content).hexdigest()}",
        whole.vocabulary,
        tokenizer.encode,
        tokenizer.decode,
        stepper,
        pins("torch-steps", "fp32", threads, "numpy", "tokenizers", "torch", "transformers"),
    )


def _require_same(name: str, stepper: Stepper, whole: LanguageModel, max_length: int) -> None:
    """Compare stepping with reading whole windows."""
    worst = 0.0
    for window in trial_windows(whole, max_length)[:_TRIALS]:
        try:
            stepped = _stepped(stepper, window)
        except Exception as error:  # whatever a model raises that keeps no such cache
            raise ModelUnusable(
                f"{name} cannot be read token by token ({type(error).__name__}: {error})"
            ) from error
        (expected,) = whole.log_likelihoods([window])
        worst = max(worst, float(np.abs(stepped - expected).max()))
    if not worst <= _ALLOWED:
        raise ModelUnusable(
            f"{name}, read token by token, gives likelihoods that are up to {worst:.3g} nats from "
            f"those of whole windows, and {_ALLOWED:g} are allowed; a proof would be of another "
            "figure"
        )


def _stepped(stepper: Stepper, window: Window) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    first = len(window.inputs) - len(window.targets)
    logits = stepper.begin(np.array([window.inputs[: first + 1]], np.int64))
    found = [-Distribution(logits).nats(0, window.targets[0])]
    for token, target in zip(window.inputs[first + 1 :], window.targets[1:], strict=True):
        logits = stepper.step(np.array([token], np.int64))
        found.append(-Distribution(logits).nats(0, target))
    return np.array(found)
