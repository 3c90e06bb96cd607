"""Chooses what runs a model: the requested engine, or the fastest that is installed and agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import structlog

from services.corpus.bpb.models.checkpoint.model_directory import ByteManifest, HuggingFaceModel
from services.corpus.bpb.models.checks.causality import causality_trial, require_causal
from services.corpus.bpb.models.checks.doubts import chance_doubts
from services.corpus.bpb.models.checks.parity import require_parity, trial_text, trial_windows
from services.corpus.bpb.models.compute import (
    CUDA,
    ENGINES,
    ONNXRUNTIME,
    OPENVINO,
    TORCH,
    Compute,
    Precision,
    Shift,
)
from services.corpus.bpb.models.engines.onnx_model import OnnxByteModel, read_model
from services.corpus.bpb.models.language_model import LanguageModel
from services.errors import EngineUnavailable, InvalidArgument

_log = structlog.get_logger(__name__)
# For each kind of model the engines that can run it, the fastest first. A GPU is requested by name.
_CHOICES: dict[type, tuple[str, ...]] = {
    HuggingFaceModel: (OPENVINO, TORCH),
    ByteManifest: (OPENVINO, ONNXRUNTIME),
}
_BY_NAME: dict[type, tuple[str, ...]] = {HuggingFaceModel: (CUDA,), ByteManifest: ()}
_EXTRAS = {"openvino": "openvino"}  # what is not here comes with the extra "score"


@dataclass(frozen=True)
class Loaded:
    """A model that is ready, what runs it, and how far that is from the reference.

    `doubts` are reasons to doubt its figures, a sentence each.
    """

    model: LanguageModel
    engine: str
    precision: Precision
    shift: Shift
    doubts: tuple[str, ...] = ()


def usual_engine(found: ByteManifest | HuggingFaceModel) -> str:
    """Say what would run a model, without loading it."""
    fastest, other = _CHOICES[type(found)]
    return fastest if find_spec("openvino") else other


def start(name: str, found: ByteManifest | HuggingFaceModel, compute: Compute) -> Loaded:
    """Load a model as asked. Blocks, for seconds: an engine is first compared with the reference.

    Without an engine's name, an engine that is not installed, cannot run the model or does not
    agree with the reference is skipped. Raises InvalidArgument for an unknown engine, or one for
    another kind of model; ModelUnusable for a model that cannot be loaded or whose figures could
    not be trusted; EngineUnavailable if the requested engine is not installed or does not agree
    with the reference, naming what is missing or both values.
    """
    choices = _CHOICES[type(found)]
    if compute.engine:
        allowed = (*choices, *_BY_NAME[type(found)])
        if compute.engine not in allowed:
            problem = "does not run it" if compute.engine in ENGINES else "is not an engine"
            raise InvalidArgument(
                "compute.engine",
                f"{compute.engine!r} {problem}: {name} runs on {' or '.join(allowed)}",
            )
        choices = (compute.engine,)
    elif not find_spec("openvino"):
        choices = tuple(engine for engine in choices if engine != OPENVINO)
    try:
        if isinstance(found, ByteManifest):
            return _start_bytes(name, found, choices, compute.precision)
        # Torch is in an extra.
        from services.corpus.bpb.models.engines import hugging_face_engines  # noqa: PLC0415

        started = hugging_face_engines.start(name, found, choices, compute.precision)
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        extra = _EXTRAS.get(missing, "score")
        raise EngineUnavailable(
            f"scoring {name} on {choices[-1]} needs {missing or error}, which is not installed on "
            f"the server: pip install 'assay-services[{extra}]'"
        ) from error
    model, engine, shift, doubts = started
    return Loaded(model, engine, compute.precision, shift, doubts)


def _start_bytes(
    name: str, found: ByteManifest, engines: Sequence[str], precision: Precision
) -> Loaded:
    for engine in engines[:-1]:
        try:
            return _start_bytes_on(found, engine, precision)
        except (EngineUnavailable, ImportError) as error:
            _log.warning("engine skipped", model=name, engine=engine, reason=str(error))
    return _start_bytes_on(found, engines[-1], precision)


def _start_bytes_on(found: ByteManifest, engine: str, precision: Precision) -> Loaded:
    data = read_model(found)
    reference = OnnxByteModel(found, data)
    tokens = reference.encode(trial_text())
    trial = causality_trial(tokens, found.prefix_token, found.max_length, found.parameters)
    loss = -require_causal(found.model.name, Precision.FP32, reference, trial)
    doubts = tuple(chance_doubts(reference, loss))
    if engine == ONNXRUNTIME:
        if precision is not Precision.FP32:
            raise EngineUnavailable(f"{engine} computes in fp32 only; leave the precision out")
        return Loaded(reference, engine, precision, Shift(), doubts)
    # OpenVINO is in an extra.
    from services.corpus.bpb.models.engines.openvino_model import OpenVinoByteModel  # noqa: PLC0415

    model: LanguageModel = OpenVinoByteModel(found, data, precision, 1)
    what = f"{found.model.name} on {engine}"
    require_causal(what, precision, model, trial, refusal=EngineUnavailable)
    windows = trial_windows(reference, found.max_length)
    shift = require_parity(engine, precision, model, reference, windows)
    return Loaded(model, engine, precision, shift, doubts)
