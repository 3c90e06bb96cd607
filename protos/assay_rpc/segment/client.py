"""Labels of images: `SegmentClient`, and the same for asyncio.

    from pathlib import Path
    from assay_rpc.client import SegmentClient

    with SegmentClient("localhost:50051") as segment:
        labels = segment.label(Path("street.jpg"))
        print(labels.height, labels.width, labels.numpy().max())
        for number, answer in segment.label_many(Path("photos").glob("*.jpg")):
            ...

An image is a whole encoded file as bytes, the path of one, an array of pixels, or an image that
Pillow has opened. Every call raises AssayError.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing
from typing import Unpack

import grpc
import grpc.aio

from assay_rpc._clients import PATIENCE_SECONDS, AsyncClient, Client
from assay_rpc._patience import Patience
from assay_rpc.common.v1 import common_pb2
from assay_rpc.connection import Connection
from assay_rpc.errors import AssayError
from assay_rpc.segment._items import (
    ImageLike,
    LabelOptions,
    Labels,
    answer_of,
    label_request,
    labels_of,
)
from assay_rpc.segment._outbox import UNANSWERED, Outbox, Sender
from assay_rpc.segment.v1 import models_pb2, segment_pb2, segment_pb2_grpc


class SegmentClient(Client):
    """Labels images."""

    def __init__(
        self, target: str | Connection | grpc.Channel, *, timeout: float | None = None
    ) -> None:
        super().__init__(target, timeout=timeout)
        self._stub = segment_pb2_grpc.SegmentServiceStub(self._channel)

    def models(self) -> Iterator[models_pb2.ModelSummary]:
        """Iterate the registered models, by name and version."""
        return self._pages(self._stub.ListModels, segment_pb2.ListModelsRequest(), "models")

    def model(self, name: str = "", version: str = "") -> models_pb2.Model:
        """Describe a model; an empty name means the only one that is served."""
        ref = common_pb2.ModelRef(name=name, version=version)
        reply: segment_pb2.GetModelResponse = self._call(
            self._stub.GetModel, segment_pb2.GetModelRequest(model=ref)
        )
        return reply.model

    def label(self, image: ImageLike, **options: Unpack[LabelOptions]) -> Labels:
        """Label every pixel of an image."""
        return labels_of(self._call(self._stub.SegmentImage, label_request(image, **options)))

    def label_many(
        self, images: Iterable[ImageLike], **options: Unpack[LabelOptions]
    ) -> Iterator[tuple[int, Labels | AssayError]]:
        """Label images as they come, and yield each one's place, from 0, with its answer.

        Answers come in any order. The answer to an image that fails is an AssayError; the others
        continue. A few dozen images are read ahead. A restart of the server costs time.
        """
        patience, outbox = Patience(PATIENCE_SECONDS), Outbox(_requests(images, options))
        while True:
            with closing(Sender(outbox)) as sender:
                call = self._stub.SegmentImages(iter(sender), timeout=self._timeout)
                try:
                    for reply in call:
                        patience.progress()
                        sender.answered(reply.id)
                        yield reply.id, answer_of(reply)
                except grpc.RpcError as error:
                    time.sleep(patience.wait(AssayError.of(error)))
                else:
                    outbox.finish()
                    return
                finally:
                    call.cancel()


class AsyncSegmentClient(AsyncClient):
    """As SegmentClient, for programs with asyncio."""

    def __init__(
        self, target: str | Connection | grpc.aio.Channel, *, timeout: float | None = None
    ) -> None:
        super().__init__(target, timeout=timeout)
        self._stub = segment_pb2_grpc.SegmentServiceStub(self._channel)

    def models(self) -> AsyncIterator[models_pb2.ModelSummary]:
        """As SegmentClient.models."""
        return self._pages(self._stub.ListModels, segment_pb2.ListModelsRequest(), "models")

    async def model(self, name: str = "", version: str = "") -> models_pb2.Model:
        """As SegmentClient.model."""
        ref = common_pb2.ModelRef(name=name, version=version)
        reply: segment_pb2.GetModelResponse = await self._call(
            self._stub.GetModel, segment_pb2.GetModelRequest(model=ref)
        )
        return reply.model

    async def label(self, image: ImageLike, **options: Unpack[LabelOptions]) -> Labels:
        """As SegmentClient.label."""
        return labels_of(await self._call(self._stub.SegmentImage, label_request(image, **options)))

    async def label_many(
        self, images: Iterable[ImageLike], **options: Unpack[LabelOptions]
    ) -> AsyncIterator[tuple[int, Labels | AssayError]]:
        """As SegmentClient.label_many. The images are taken, and files read, in the event loop."""
        patience, outbox = Patience(PATIENCE_SECONDS), Outbox(_requests(images, options))
        while True:
            kept = outbox.kept()
            room, closed = asyncio.Semaphore(UNANSWERED - len(kept)), threading.Event()
            items = _sent(kept, outbox, room, closed)
            call = self._stub.SegmentImages(items, timeout=self._timeout)
            try:
                async for reply in call:
                    patience.progress()
                    outbox.answered(reply.id)
                    room.release()
                    yield reply.id, answer_of(reply)
            except grpc.RpcError as error:
                await asyncio.sleep(patience.wait(AssayError.of(error)))
            else:
                outbox.finish()
                return
            finally:
                closed.set()
                call.cancel()


async def _sent(
    kept: list[segment_pb2.SegmentImagesRequest],
    outbox: Outbox,
    room: asyncio.Semaphore,
    closed: threading.Event,
) -> AsyncIterator[segment_pb2.SegmentImagesRequest]:
    for item in kept:
        yield item
    while await room.acquire():
        new = outbox.take(closed)
        if new is None:
            return
        yield new


def _requests(
    images: Iterable[ImageLike], options: LabelOptions
) -> Iterator[segment_pb2.SegmentImagesRequest]:
    for number, image in enumerate(images):
        item = label_request(image, **options)
        yield segment_pb2.SegmentImagesRequest(id=number, item=item)
