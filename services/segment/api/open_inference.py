"""GRPCInferenceService of the Open Inference Protocol: parse, submit pictures, build the reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from importlib import metadata
from typing import Any, cast

import grpc
from assay.inference.v2 import open_inference_pb2 as pb
from assay.inference.v2 import open_inference_pb2_grpc

from services.errors import DeadlineExceeded, LicenseNotAccepted, NotFound, Unavailable
from services.rpc.callers import caller
from services.rpc.deadline import remaining
from services.segment.api.open_replies import Tensor, described, reply
from services.segment.api.open_requests import Order, Requests, parse_parameters, wanted_outputs
from services.segment.serving.models import Models
from services.segment.serving.pipeline import Inference
from services.segment.settings import SegmentSettings

Context = grpc.aio.ServicerContext[Any, Any]
SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
PROBES = frozenset({f"/{SERVICE}/ServerLive", f"/{SERVICE}/ServerReady"})
"""Methods that answer before the service is ready."""


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
        return described(model.manifest, versions, self._models.choice.engine)

    async def ModelInfer(  # noqa: N802  # the standard's name
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        """Segment the pictures of one tensor."""
        model = self._models.repository.resolve(request.model_name, request.model_version)
        # Its licence comes before what is wrong with the tensors.
        with self._models.lease(model) as loaded:
            wanted = wanted_outputs(request)
            timeout, priority = parse_parameters(request.parameters, remaining(context))
            order = self._requests.order(request, model.manifest, wanted)
            submit = partial(
                loaded.pipeline.infer,
                labels="labels" in wanted,
                logits="logits" in wanted,
                timeout=timeout,
                bucket=order.bucket,
                priority=priority,
                client=caller(context),
            )
            try:
                async with asyncio.timeout(timeout):
                    found = await _all(submit, order)
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
    submit: Callable[..., Coroutine[Any, Any, Inference]], order: Order
) -> list[Inference]:
    """Compute every picture; the first that fails ends the others and the request.

    A full queue refuses the first picture only. The others wait for their places: one request may
    have more pictures than its client may hold, and trying again would not change that.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    submit(source, nbytes=nbytes, placed=asyncio.Event() if index else None)
                )
                for index, (source, nbytes) in enumerate(
                    zip(order.sources, order.nbytes, strict=True)
                )
            ]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
