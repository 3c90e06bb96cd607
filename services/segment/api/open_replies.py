"""Replies of the Open Inference Protocol, and models in the terms of the protocol and Triton."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.inference.v2 import open_inference_pb2 as pb
from services.segment.api.open_tensors import MAX_PICTURES
from services.segment.api.shared_memory import Place
from services.segment.batching.ticket import Limits
from services.segment.engines.engine import Labels
from services.segment.manifest import Manifest
from services.segment.serving.repository import Identity
from services.segment.serving.states import ModelState, ModelStatus
from services.segment.statistics import Counts, Duration

Tensor = Sequence[Labels | NDArray[np.float32] | None]
"""One array for each picture, all of one shape and type."""
_Metadata = pb.ModelMetadataResponse.TensorMetadata
_DATATYPES = {"uint8": "UINT8", "uint16": "UINT16", "float32": "FP32"}
_LENGTH_DELIMITED = 2
_TYPES = {"BYTES": pb.TYPE_STRING, "FP32": pb.TYPE_FP32, "UINT8": pb.TYPE_UINT8,
          "UINT16": pb.TYPE_UINT16}  # fmt: skip
_STATES = {
    ModelState.SERVING: "READY",
    ModelState.LOADING: "LOADING",
    ModelState.DRAINING: "UNLOADING",
}


@dataclass(frozen=True)
class Answer:
    """An output of a reply; `place` is its shared memory, if any, and its size in bytes."""

    name: str
    tensor: Tensor
    place: Place | None = None


def described(
    manifest: Manifest, versions: Sequence[str], platform: str
) -> pb.ModelMetadataResponse:
    """Return the known shapes and types of a model's tensors; -1 marks a free size."""
    how, graph = manifest.preprocessing, manifest.graph
    free = graph.dynamic_size
    size = [-1, -1] if free else [how.height, how.width]
    small = [-1, -1] if free else graph.logits_size(how.height, how.width)
    return pb.ModelMetadataResponse(
        name=manifest.name,
        versions=versions,
        platform=platform,
        inputs=[
            _Metadata(name="image", datatype="BYTES", shape=[-1, 1]),
            _Metadata(name="pixels", datatype="FP32", shape=[-1, 3, *size]),
        ],
        outputs=[
            _Metadata(name="labels", datatype=_DATATYPES[graph.labels_type], shape=[-1, -1, -1]),
            _Metadata(name="logits", datatype="FP32", shape=[-1, *small, len(manifest.classes)]),
        ],
    )


def reply(
    model: tuple[str, str], request_id: str, outputs: Iterable[Answer], *, final: bool = False
) -> bytes:
    """Serialise a ModelInferResponse; `model` is name and version.

    `final` marks the reply as the last one of its request.
    """
    name, version = model
    head = pb.ModelInferResponse(model_name=name, model_version=version, id=request_id)
    if final:
        head.parameters["triton_final_response"].bool_param = True
    contents: list[bytes | memoryview] = []
    field = pb.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER
    for output in outputs:
        arrays = arrays_of(output.tensor)
        described = head.outputs.add(
            name=output.name,
            datatype=_DATATYPES[arrays[0].dtype.name],
            shape=[len(arrays), *arrays[0].shape],
        )
        if output.place is not None:
            place = described.parameters
            place["shared_memory_region"].string_param = output.place.name
            place["shared_memory_byte_size"].int64_param = output.place.size
            place["shared_memory_offset"].int64_param = output.place.offset
            contents.append(_prefix(field, 0))
            continue
        contents.append(_prefix(field, sum(array.nbytes for array in arrays)))
        contents += [array.data for array in arrays]
    return b"".join([head.SerializeToString(), *contents])


def stream_reply(answer: bytes) -> bytes:
    """Serialise the answer of a stream that holds a serialised ModelInferResponse."""
    field = pb.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER
    return b"".join([_prefix(field, len(answer)), answer])


def arrays_of(tensor: Tensor) -> list[NDArray[Any]]:
    """Return a tensor's arrays, contiguous and little-endian."""
    return [_little_endian(array) for array in tensor if array is not None]


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array unchanged if it is contiguous on a little-endian machine, else a copy."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def _prefix(field: int, size: int) -> bytes:
    """Return the bytes that precede the `size` bytes of a field."""
    encoded = bytearray([field << 3 | _LENGTH_DELIMITED])
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)


def configured(manifest: Manifest, limits: Limits, platform: str) -> pb.ModelConfig:
    """Return a model's configuration in Triton's terms."""
    told = described(manifest, (), platform)
    # The metadata's image is [N]; clients that support batches send [N, 1].
    inputs = {"image": [1]} | {one.name: list(one.shape[1:]) for one in told.inputs[1:]}
    return pb.ModelConfig(
        name=manifest.name,
        platform=platform,
        backend="assay",
        max_batch_size=MAX_PICTURES,
        input=[
            pb.ModelInput(
                name=one.name,
                data_type=_TYPES[one.datatype],
                dims=inputs[one.name],
                optional=True,
            )
            for one in told.inputs
        ],
        output=[
            pb.ModelOutput(name=one.name, data_type=_TYPES[one.datatype], dims=one.shape[1:])
            for one in told.outputs
        ],
        dynamic_batching=pb.ModelDynamicBatching(
            preferred_batch_size=[limits.max_batch_size],
            max_queue_delay_microseconds=round(limits.batch_wait * 1e6),
            priority_levels=3,
            default_priority_level=2,
        ),
    )


def counted(model: tuple[str, str], counts: Counts) -> pb.ModelStatistics:
    """Return a model's statistics; `model` is name and version."""
    name, version = model
    return pb.ModelStatistics(
        name=name,
        version=version,
        last_inference=counts.last_ms,
        inference_count=counts.pictures,
        execution_count=counts.executions,
        inference_stats=pb.InferStatistics(
            success=_duration(counts.success),
            fail=_duration(counts.fail),
            **{part: _duration(value) for part, value in counts.parts.items()},
        ),
        batch_stats=[
            pb.InferBatchStatistics(batch_size=size, compute_infer=_duration(value))
            for size, value in counts.batches.items()
        ],
    )


def indexed(status: ModelStatus) -> pb.RepositoryIndexResponse.ModelIndex:
    """Return a model's line in the index."""
    identity: Identity = status.identity
    return pb.RepositoryIndexResponse.ModelIndex(
        name=identity.name,
        version=identity.version,
        state=_STATES.get(status.state, "UNAVAILABLE"),
        reason=status.problem,
    )


def _duration(value: Duration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=value.count, ns=value.ns)
