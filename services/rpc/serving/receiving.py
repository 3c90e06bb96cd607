"""How a call gets its requests: at once, or in turns and counted by an `Intake`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from services.errors import InvalidArgument, Overloaded
from services.rpc.serving.decoding import Requests, Sizes, decoded
from services.rpc.serving.intake import Intake

# Seconds after which a refused caller may try again.
_RETRY_SECONDS = 0.1

Deserialize = Callable[[bytes], Any] | None


class Receiving(Protocol):
    """The requests of one call."""

    @property
    def streamed(self) -> bool:
        """Whether gRPC hands over an iterator of requests instead of one request."""

    @property
    def deserialize(self) -> Deserialize:
        """What gRPC parses a message with."""

    async def receive(self, request: Any) -> Any:
        """Return the request, or an iterator over a stream's, from what gRPC hands over.

        Raises TooLarge or InvalidArgument for a message that was refused.
        """

    def close(self) -> None:
        """End the call and release its memory."""


class Uncounted:
    """Requests that are parsed as they come."""

    def __init__(self, deserialize: Deserialize, sizes: Sizes | None) -> None:
        """`sizes` for a stream."""
        self.streamed = sizes is not None
        self.deserialize = deserialize
        self._sizes = sizes

    async def receive(self, request: Any) -> Any:
        """See Receiving."""
        return decoded(request) if self._sizes is None else Requests(request, self._sizes)

    def close(self) -> None:
        """See Receiving."""


class CountedOne:
    """A call's only request, which is read in its turn and counts until the call ends.

    gRPC serves the method as one with a stream of requests: otherwise a call could not be ended
    before its request has arrived. Callers see no difference.
    """

    streamed = True

    def __init__(self, intake: Intake, deserialize: Deserialize) -> None:
        self._intake = intake
        self._parse = deserialize
        self._size = 0
        self._refused = 0

    def deserialize(self, message: bytes) -> Any:
        """Parse the message, unless it does not fit."""
        size = len(message)
        if not self._intake.take(size):
            self._refused = size
            return None
        self._size = size
        return message if self._parse is None else self._parse(message)

    async def receive(self, request: AsyncIterator[Any]) -> Any:
        """Wait for a turn, and return the request.

        Raises Overloaded if it does not fit, or if memory is short before it has arrived, and
        InvalidArgument if the caller sends none.
        """
        with self._intake.arrivals.expected():
            turn = await self._intake.turn()
            try:
                received = await anext(request)
            except StopAsyncIteration:
                raise InvalidArgument("request", "is missing: the call ended without one") from None
            finally:
                turn.end()
        if self._refused:
            raise Overloaded(
                f"the server holds {self._intake.held_bytes} bytes of requests, and this one has "
                f"{self._refused}",
                _RETRY_SECONDS,
            )
        return decoded(received)

    def close(self) -> None:
        """See Receiving."""
        self._intake.release(self._size)
        self._size = 0


class WatchedStream:
    """A stream's requests, of which the method counts those that it holds."""

    streamed = True

    def __init__(self, intake: Intake, deserialize: Deserialize, sizes: Sizes) -> None:
        self.deserialize = deserialize
        self._arrivals = intake.arrivals
        self._sizes = sizes

    async def receive(self, request: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """See Receiving. Reading raises Overloaded if memory is short before a request arrives."""
        return Requests(self._each(request), self._sizes)

    async def _each(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        while True:
            with self._arrivals.expected(stream=True):
                request = await anext(requests, None)
            if request is None:
                return
            yield request
            del request

    def close(self) -> None:
        """See Receiving."""
