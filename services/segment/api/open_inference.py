"""GRPCInferenceService of the Open Inference Protocol: parse, submit pictures, build the reply."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from importlib import metadata
from typing import Any, cast

import grpc
import structlog

from services.errors import (
    AssayError,
    DeadlineExceeded,
    LicenseNotAccepted,
    NotFound,
    Unavailable,
)
from services.inference.v2 import open_inference_pb2 as pb
from services.rpc.call import caller, encoded_size, left_of_call, remaining, require_fits
from services.rpc.load_report import LoadReport
from services.rpc.tracing.tracing import Tracing
from services.segment.api import spans
from services.segment.api.image_stream import answered
from services.segment.api.open_extensions import TritonExtensions
from services.segment.api.open_replies import (
    Answer,
    Tensor,
    arrays_of,
    described,
    reply,
    stream_reply,
)
from services.segment.api.open_requests import (
    FINAL_RESPONSE,
    MAX_ID,
    REGION,
    Pictures,
    Requests,
    WantedOutput,
    parse_parameters,
    wanted_outputs,
)
from services.segment.batching.scheduler import Trace, deadline_in
from services.segment.batching.ticket import Admission
from services.segment.serving.models import Loaded, Models
from services.segment.serving.pipeline import Inference
from services.segment.serving.reconciler import Reconciler
from services.segment.settings import SegmentSettings
from services.segment.statistics import Spent

Context = grpc.aio.ServicerContext[Any, Any]
SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
HEALTH_METHODS = frozenset({f"/{SERVICE}/ServerLive", f"/{SERVICE}/ServerReady"})
"""Methods of health probes, which answer before the service is ready."""
# The names that Triton gives them.
_EXTENSIONS = (
    "model_configuration", "statistics", "model_repository", "schedule_policy", "parameters",
    "binary_tensor_data",
)  # fmt: skip
_log = structlog.get_logger(__name__)


class OpenInferenceService(TritonExtensions):
    """Serves the models to clients of the standard, and of Triton."""

    def __init__(
        self,
        settings: SegmentSettings,
        models: Models,
        reconciler: Reconciler,
        tracing: Tracing | None = None,
    ) -> None:
        super().__init__(settings, models, reconciler)
        self._tracing = tracing or Tracing()
        self._requests = Requests(settings.max_pixels, settings.max_output_bytes, self._regions)
        self._max_request_bytes = settings.request_limit
        self._stream_items = settings.stream_items
        self._extensions = [*_EXTENSIONS, *["system_shared_memory"] * settings.shared_memory]
        self._draining = asyncio.Event()
        self.ready = False
        """Whether the models are loaded; set by the code that loads them."""

    async def ServerLive(  # noqa: N802  # the standard's name
        self,
        request: pb.ServerLiveRequest,  # noqa: ARG002  # gRPC passes it
        context: Context,  # noqa: ARG002
    ) -> pb.ServerLiveResponse:
        """Say that the process is alive."""
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
        return pb.ServerMetadataResponse(
            name="assay", version=metadata.version("assay-services"), extensions=self._extensions
        )

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
        answer = await self._infer(request, caller(context), remaining(context))
        context.set_trailing_metadata((LoadReport(*self._models.load).trailer,))
        # Serialised here, so that the elements are copied only once; the interceptor passes bytes
        # on.
        return cast("pb.ModelInferResponse", answer)

    async def _infer(
        self,
        request: pb.ModelInferRequest,
        client: str,
        left: float | None,
        *,
        final: bool = False,
        admitted: asyncio.Event | None = None,
    ) -> bytes:
        """Segment the pictures of one tensor within `left` seconds; return the serialised reply.

        With `final` the reply says that it is the last one; with `admitted` the call waits while
        the queue is full.
        """
        start = time.monotonic()
        model = self._models.repository.resolve(request.model_name, request.model_version)
        # Check the licence before reporting what is wrong with the tensors.
        with self._models.lease(model) as loaded:
            try:
                found, wanted, spent = await self._found(request, loaded, client, left, admitted)
                answers = [await self._answer(output, found) for output in wanted]
                answer = reply(model.key, request.id, answers, final=final)
            except Exception:
                loaded.statistics.failed(time.monotonic() - start)
                raise
        total = time.monotonic() - start
        outside = total - spent.total  # before and after the pictures' own work
        loaded.statistics.answered(
            len(found),
            Spent(total, spent.compute_input, spent.compute_infer, spent.compute_output + outside),
        )
        return answer

    async def _found(
        self,
        request: pb.ModelInferRequest,
        loaded: Loaded,
        client: str,
        left: float | None,
        admitted: asyncio.Event | None,
    ) -> tuple[list[Inference], list[WantedOutput], Spent]:
        """Compute the pictures; return them, their requested outputs, and the time they took."""
        wanted = wanted_outputs(request)
        for output in wanted:
            if output.place is not None:
                self._regions.require(output.place)
        names = [output.name for output in wanted]
        timeout, priority = parse_parameters(request.parameters, left)
        read = partial(self._requests.pictures, request, loaded.model.manifest, names)
        start = time.monotonic()
        # In a thread: reading shared memory copies it, which takes a while.
        shared = any(REGION in given.parameters for given in request.inputs)
        pictures = await asyncio.to_thread(read) if shared else read()
        parsed = time.monotonic()
        submit = partial(loaded.pipeline.infer, labels="labels" in names, logits="logits" in names)
        admission = Admission(0, deadline_in(timeout), priority, client, bucket=pictures.bucket)
        try:
            async with asyncio.timeout(timeout):
                found, trace = await _all(submit, pictures, admission, admitted)
        except TimeoutError:
            raise DeadlineExceeded(
                "the request's time was over before its answer was made"
            ) from None
        spans.add(self._tracing, loaded.model, trace)
        now = time.monotonic()
        spent = Spent(now - start, parsed - start + trace.prepare, trace.compute, trace.finish)
        return found, wanted, spent

    async def _answer(self, output: WantedOutput, found: Sequence[Inference]) -> Answer:
        """Return an output, written to shared memory if requested."""
        tensor: Tensor = [item.labels if output.name == "labels" else item.logits for item in found]
        if output.place is None:
            return Answer(output.name, tensor)
        pieces = [array.data for array in arrays_of(tensor)]
        size = await asyncio.to_thread(self._regions.write, output.place, pieces)
        return Answer(output.name, tensor, replace(output.place, size=size))

    async def ModelStreamInfer(  # noqa: N802  # Triton's name
        self, request_iterator: AsyncIterator[pb.ModelInferRequest], context: Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Answer requests as they come, each when it is done."""
        client = caller(context)

        async def answer(
            request: pb.ModelInferRequest, admitted: asyncio.Event
        ) -> pb.ModelStreamInferResponse:
            try:
                # Read the next one only after this one is admitted.
                size = encoded_size(request_iterator, request)
                require_fits("the request", request, self._max_request_bytes, size)
                # Test first: reading a missing entry of the map would add it.
                asked = FINAL_RESPONSE in request.parameters
                final = asked and request.parameters[FINAL_RESPONSE].bool_param
                found = await self._infer(
                    request, client, left_of_call(), final=final, admitted=admitted
                )
            except AssayError as error:
                problem = str(error)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is this request's alone
                _log.exception("unexpected error of a streamed request", exc_info=error)
                problem = "internal error; the server's log has it"
            else:
                return cast("pb.ModelStreamInferResponse", stream_reply(found))
            return pb.ModelStreamInferResponse(
                error_message=problem,
                infer_response=pb.ModelInferResponse(
                    model_name=request.model_name, id=request.id[:MAX_ID]
                ),
            )

        answers = answered(
            request_iterator, answer, limit=self._stream_items, draining=self._draining
        )
        async with aclosing(answers):
            async for each in answers:
                yield each

    def drain(self) -> None:
        """Stop reading requests from streaming calls; answer those already read."""
        self._draining.set()


async def _all(
    submit: Callable[..., Coroutine[Any, Any, tuple[Inference, Trace]]],
    pictures: Pictures,
    admission: Admission,
    admitted: asyncio.Event | None,
) -> tuple[list[Inference], Trace]:
    """Compute every picture; the first failure ends the other pictures and the request.

    A full queue refuses only the first picture. The others wait until there is room: one request
    may have more pictures than its client may hold, and trying again would not change that. With
    `admitted` the first waits as well, and the event is set once it is admitted. Also return the
    times of the picture that finished last.
    """
    last: list[Trace] = []

    async def one(*arguments: Any, **options: Any) -> Inference:
        found, trace = await submit(*arguments, **options)
        last[:] = [trace]
        return found

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    one(
                        source,
                        replace(admission, size=nbytes),
                        admitted=asyncio.Event() if index else admitted,
                    )
                )
                for index, (source, nbytes) in enumerate(
                    zip(pictures.sources, pictures.nbytes, strict=True)
                )
            ]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks], last[0]
