"""Items that are sent on a stream and kept until they are answered, for a server that restarts."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import grpc

from assay_rpc.errors import InternalError
from assay_rpc.segment.v1 import segment_pb2

UNANSWERED = 64
"""Items that may wait for an answer: enough to fill a server's batches, few enough to be kept."""


class Outbox:
    """The items of a call, from `requests`, of which those without an answer are kept.

    gRPC takes items in a thread of its own, while the program takes answers.
    """

    def __init__(self, requests: Iterable[segment_pb2.SegmentImagesRequest]) -> None:
        self._requests = iter(requests)
        self._waiting: dict[int, segment_pb2.SegmentImagesRequest] = {}
        self._failed: BaseException | None = None
        self._taking = threading.Lock()

    def kept(self) -> list[segment_pb2.SegmentImagesRequest]:
        """The items without an answer."""
        with self._taking:
            return list(self._waiting.values())

    def take(self, closed: threading.Event) -> segment_pb2.SegmentImagesRequest | None:
        """The next item, which is kept; None after the last, or when there is none for an error.

        None too when the call that asks was closed: the next one sends what `kept` has said, and an
        item that was taken since would be in neither.
        """
        with self._taking:
            if self._failed is not None or closed.is_set():
                return None
            try:
                item = next(self._requests, None)
            except Exception as error:  # noqa: BLE001  # raised where the answers are taken
                self._failed = error
                return None
            if item is not None:
                self._waiting[item.id] = item
            return item

    def answered(self, number: int) -> None:
        """Forget an item that was answered."""
        del self._waiting[number]

    def finish(self) -> None:
        """The call has ended well: raise the error that ended the items, if one did.

        Raises InternalError for items without an answer.
        """
        if self._failed is not None:
            raise self._failed
        if self._waiting:
            raise InternalError(
                f"the call ended without an answer to {len(self._waiting)} images",
                code=grpc.StatusCode.INTERNAL,
            )


class Sender:
    """The items of one call, as gRPC iterates them: those that were kept, then new ones."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        kept = outbox.kept()
        self._again = iter(kept)
        self._room = threading.Semaphore(UNANSWERED - len(kept))
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[segment_pb2.SegmentImagesRequest]:
        yield from self._again
        while self._room.acquire():
            item = self._outbox.take(self._closed)
            if item is None:
                return
            yield item

    def answered(self, number: int) -> None:
        """Make room for another item."""
        self._outbox.answered(number)
        self._room.release()

    def close(self) -> None:
        """Release the thread that waits for room."""
        self._closed.set()
        self._room.release()
