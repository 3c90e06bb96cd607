"""Replies of the Open Inference Protocol: models described, tensors serialised with one copy.

A message that is built and then serialised copies each tensor three times. Here everything but the
elements is serialised by protobuf; the elements are put behind it as the encoding says: field,
length, bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from assay.inference.v2 import open_inference_pb2 as pb
from numpy.typing import NDArray

from services.segment.images.upsample import Labels
from services.segment.manifest import Manifest

Tensor = Sequence[Labels | NDArray[np.float32] | None]
"""An array a picture, all of one shape and type."""
_Metadata = pb.ModelMetadataResponse.TensorMetadata
_DATATYPES = {"uint8": "UINT8", "uint16": "UINT16", "float32": "FP32"}
_LENGTH_DELIMITED = 2


def described(
    manifest: Manifest, versions: Sequence[str], platform: str
) -> pb.ModelMetadataResponse:
    """Return what is known of a model's tensors; -1 where a size is free."""
    how, graph = manifest.preprocessing, manifest.graph
    free = graph.dynamic_size
    size = [-1, -1] if free else [how.height, how.width]
    small = [-1, -1] if free else graph.logits_size(how.height, how.width)
    return pb.ModelMetadataResponse(
        name=manifest.name,
        versions=versions,
        platform=platform,
        inputs=[
            _Metadata(name="image", datatype="BYTES", shape=[-1]),
            _Metadata(name="pixels", datatype="FP32", shape=[-1, 3, *size]),
        ],
        outputs=[
            _Metadata(name="labels", datatype=_DATATYPES[graph.labels_type], shape=[-1, -1, -1]),
            _Metadata(name="logits", datatype="FP32", shape=[-1, *small, len(manifest.classes)]),
        ],
    )


def reply(model: tuple[str, str], request_id: str, outputs: Iterable[tuple[str, Tensor]]) -> bytes:
    """Serialise a ModelInferResponse; `model` is name and version."""
    name, version = model
    head = pb.ModelInferResponse(model_name=name, model_version=version, id=request_id)
    contents: list[bytes | memoryview] = []
    for output, tensor in outputs:
        arrays = [_little_endian(array) for array in tensor if array is not None]
        head.outputs.add(
            name=output,
            datatype=_DATATYPES[arrays[0].dtype.name],
            shape=[len(arrays), *arrays[0].shape],
        )
        contents.append(_prefix(sum(array.nbytes for array in arrays)))
        contents += [array.data for array in arrays]
    return b"".join([head.SerializeToString(), *contents])


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array itself where it is contiguous on a little-endian machine."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def _prefix(size: int) -> bytes:
    """Return what stands before `size` bytes of raw_output_contents."""
    field = pb.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER
    encoded = bytearray([field << 3 | _LENGTH_DELIMITED])
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)
