import asyncio
import contextvars
from typing import Any

import grpc
import pytest
from assay_rpc.channel import connect_async

from services.errors import DeadlineExceeded
from services.rpc.call import note_deadline
from services.rpc.client import outgoing
from services.rpc.serving.interceptor import REQUEST_ID_KEY
from services.rpc.serving.server import build_server
from services.rpc.serving.service import Service
from services.rpc.settings import ServerSettings
from tests.rpc.conftest import EchoClient
from tests.rpc.echo_server import ECHO, Context, method, nothing


class Left:
    """The part of a context that knows the deadline."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds

    def time_remaining(self) -> float | None:
        return self.seconds


def test_outside_a_call_the_limit_is_the_deadline() -> None:
    assert contextvars.Context().run(outgoing, 5) == {"timeout": 5, "metadata": ()}


@pytest.mark.parametrize(("left", "limit", "most"), [(2.0, 5, 2.0), (60.0, 5, 5.0), (None, 5, 5.0)])
def test_the_nearer_deadline_counts(left: float | None, limit: float, most: float) -> None:
    def within() -> float:
        note_deadline(Left(left))
        return outgoing(limit)["timeout"]

    assert most - 1 < contextvars.Context().run(within) <= most


def test_nothing_is_called_when_nothing_is_left() -> None:
    def within() -> None:
        note_deadline(Left(1e-9))
        outgoing(5)

    with pytest.raises(DeadlineExceeded):
        contextvars.Context().run(within)


async def test_a_service_passes_the_request_id_and_the_deadline_on(client: EchoClient) -> None:
    seen: list[dict[str, Any]] = []

    class Front:
        """Calls the echo service for every call that it gets."""

        async def call(self, request: bytes, context: Context) -> bytes:
            reply = method(client.channel, "UnaryUnary")(request, **outgoing(5))
            answer: bytes = await reply
            trailers = dict(await reply.trailing_metadata())
            seen.append({"left": reply.time_remaining(), "id": trailers[REQUEST_ID_KEY]})
            return answer

        def register(self, server: grpc.aio.Server) -> None:
            handlers: dict[str, Any] = {
                "UnaryUnary": grpc.unary_unary_rpc_method_handler(self.call)
            }
            generic = grpc.method_handlers_generic_handler(ECHO, handlers)
            server.add_generic_rpc_handlers((generic,))

    front = build_server(ServerSettings(), Service("front", Front().register, (), nothing, nothing))
    await front.start()
    async with connect_async(f"127.0.0.1:{front.port}") as channel:
        call = method(channel, "UnaryUnary")
        ids = [f"id-{i}" for i in range(5)]
        await asyncio.gather(
            *(call(b"x", timeout=3, metadata=((REQUEST_ID_KEY, each),)) for each in ids)
        )
    await front.stop(0)
    assert sorted(entry["id"] for entry in seen) == ids
    # Of 3 s and not of 5; a deadline that passed a transport is a little longer.
    assert all(entry["left"] < 4 for entry in seen)
