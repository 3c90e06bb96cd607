"""GRPCInferenceService of the Open Inference Protocol: parse, submit pictures, build the reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from functools import partial
from importlib import metadata
from typing import Any, cast

import grpc
import numpy as np
from numpy.typing import NDArray

from services.errors import DeadlineExceeded, LicenseNotAccepted, NotFound, Unavailable
from services.inference.v2 import open_inference_pb2 as pb
from services.inference.v2 import open_inference_pb2_grpc
from services.rpc.call import caller, remaining
from services.segment.api.open_requests import Pictures, Requests, parse_parameters, wanted_outputs
from services.segment.batching.scheduler import deadline_in
from services.segment.batching.ticket import Admission
from services.segment.engines.engine import Labels
from services.segment.manifest import Manifest
from services.segment.serving.models import Models
from services.segment.serving.pipeline import Inference
from services.segment.settings import SegmentSettings

Context = grpc.aio.ServicerContext[Any, Any]
SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
HEALTH_METHODS = frozenset({f"/{SERVICE}/ServerLive", f"/{SERVICE}/ServerReady"})
"""Methods of health probes, which answer before the service is ready."""


class OpenInferenceService(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Serves the models to clients of the standard."""

    def __init__(self, settings: SegmentSettings, models: Models) -> None:
        self._models = models
        self._requests = Requests(settings.max_pixels, settings.max_output_bytes)
        self.ready = False
        """Whether the models are loaded; whoever loads them says so."""

    async def ServerLive(  # noqa: N802  # the standard's name
        self,
        request: pb.ServerLiveRequest,  # noqa: ARG002  # gRPC passes it
        context: Context,  # noqa: ARG002
    ) -> pb.ServerLiveResponse:
        """Answer."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(  # noqa: N802  # the standard's name
        self,
        request: pb.ServerReadyRequest,  # noqa: ARG002  # gRPC passes it
        context: Context,  # noqa: ARG002
    ) -> pb.ServerReadyResponse:
        """Say whether the models are loaded."""
        return pb.ServerReadyResponse(ready=self.ready)

    async def ModelReady(  # noqa: N802  # the standard's name
        self,
        request: pb.ModelReadyRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ModelReadyResponse:
        """Say whether a model can be used."""
        try:
            model = self._models.repository.resolve(request.name, request.version)
            with self._models.lease(model):
                pass
        except (NotFound, LicenseNotAccepted, Unavailable):
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=True)

    async def ServerMetadata(  # noqa: N802  # the standard's name
        self,
        request: pb.ServerMetadataRequest,  # noqa: ARG002  # gRPC passes it
        context: Context,  # noqa: ARG002
    ) -> pb.ServerMetadataResponse:
        """Describe the server."""
        return pb.ServerMetadataResponse(name="assay", version=metadata.version("assay"))

    async def ModelMetadata(  # noqa: N802  # the standard's name
        self,
        request: pb.ModelMetadataRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ModelMetadataResponse:
        """Describe one model."""
        models = self._models.repository
        model = models.resolve(request.name, request.version)
        versions = [
            other.manifest.version
            for other in models
            if other.manifest.name == model.manifest.name and other.accepted
        ]
        return described(model.manifest, versions, self._models.choice.of(model.manifest).engine)

    async def ModelInfer(  # noqa: N802  # the standard's name
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        """Segment the pictures of one tensor."""
        model = self._models.repository.resolve(request.model_name, request.model_version)
        # Its licence comes before what is wrong with the tensors.
        with self._models.lease(model) as loaded:
            wanted = wanted_outputs(request)
            timeout, priority = parse_parameters(request.parameters, remaining(context))
            pictures = self._requests.pictures(request, model.manifest, wanted)
            submit = partial(
                loaded.pipeline.infer,
                labels="labels" in wanted,
                logits="logits" in wanted,
            )
            admission = Admission(
                0, deadline_in(timeout), priority, caller(context), bucket=pictures.bucket
            )
            try:
                async with asyncio.timeout(timeout):
                    found = await _all(submit, pictures, admission)
            except TimeoutError:
                raise DeadlineExceeded(
                    "the request's time was over before its answer was made"
                ) from None
        outputs: list[Tensor] = [
            [item.labels for item in found] if name == "labels" else [item.logits for item in found]
            for name in wanted
        ]
        # Serialised by hand, so that the elements are copied once; the interceptor sends bytes on.
        return cast(
            "pb.ModelInferResponse", reply(model.key, request.id, zip(wanted, outputs, strict=True))
        )


async def _all(
    submit: Callable[..., Coroutine[Any, Any, Inference]], pictures: Pictures, admission: Admission
) -> list[Inference]:
    """Compute every picture; the first that fails ends the others and the request.

    A full queue refuses the first picture only. The others wait until there is room: one request
    may have more pictures than its client may hold, and trying again would not change that.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    submit(
                        source,
                        replace(admission, size=nbytes),
                        admitted=asyncio.Event() if index else None,
                    )
                )
                for index, (source, nbytes) in enumerate(
                    zip(pictures.sources, pictures.nbytes, strict=True)
                )
            ]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


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
