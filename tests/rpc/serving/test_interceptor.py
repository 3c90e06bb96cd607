import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import structlog
from grpc_status import rpc_status
from structlog.testing import capture_logs

from services import errors
from services.rpc import status
from services.rpc.call import note_deadline, remaining
from services.rpc.serving.interceptor import REQUEST_ID_KEY
from tests.rpc.conftest import EchoClient
from tests.rpc.echo_server import ECHO, ERRORS, method

UNARY_REPLY = ("UnaryUnary", "StreamUnary")
STREAMED_REPLY = ("UnaryStream", "StreamStream", "Writes")


async def requests(*items: bytes) -> AsyncIterator[bytes]:
    for item in items:
        yield item


def rich_status(error: Any) -> Any:
    """The google.rpc.Status in the trailers; fails where it contradicts the status itself."""
    return rpc_status.from_call(error)


async def call(client: EchoClient, shape: str, request: bytes, **options: Any) -> list[Any]:
    """Calls a method of any shape with one request; returns its replies."""
    streamed = shape in {"StreamUnary", "StreamStream"}
    replies = method(client.channel, shape)(requests(request) if streamed else request, **options)
    if shape in UNARY_REPLY:
        return [await replies]
    return [reply async for reply in replies]


@pytest.mark.parametrize("shape", UNARY_REPLY + STREAMED_REPLY)
async def test_every_shape_answers(client: EchoClient, shape: str) -> None:
    first = [b"first"] if shape in {"UnaryStream", "Writes"} else []
    assert await call(client, shape, b"hello") == [*first, b"hello"]


@pytest.mark.parametrize("shape", UNARY_REPLY + STREAMED_REPLY)
@pytest.mark.parametrize("name", ERRORS)
async def test_every_error_has_its_status_in_every_shape(
    client: EchoClient, shape: str, name: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        # The deadline keeps gRPC from waiting out the pushback and trying again.
        await call(client, shape, name.encode(), metadata=((REQUEST_ID_KEY, "id-7"),), timeout=1)
    error = caught.value
    entry = status.entry_of(ERRORS[name])
    assert error.code() is entry.code
    assert error.details() == str(ERRORS[name])
    trailers = dict(error.trailing_metadata())
    assert trailers[REQUEST_ID_KEY] == "id-7"
    assert (
        trailers[status.DETAILS_KEY] == status.status_of(ERRORS[name], "id-7").SerializeToString()
    )
    rich = rich_status(error)
    assert rich is not None
    assert rich.message == str(ERRORS[name])


@pytest.mark.parametrize("shape", UNARY_REPLY + STREAMED_REPLY)
async def test_an_unexpected_exception_tells_the_caller_nothing_and_the_logs_all(
    client: EchoClient, shape: str
) -> None:
    with capture_logs() as logged, pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(client, shape, b"crash")
    error = caught.value
    assert error.code() is grpc.StatusCode.INTERNAL
    request_id = dict(error.trailing_metadata())[REQUEST_ID_KEY]
    assert request_id in str(error.details())
    assert "secret" not in repr(error)
    (entry,) = [entry for entry in logged if entry["event"] == "unexpected error"]
    assert isinstance(entry["exc_info"], ZeroDivisionError)


async def test_the_servicers_own_status_is_left_alone(client: EchoClient) -> None:
    with capture_logs() as logged:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.unary(b"", "Aborts")
        await client.counted("Aborts")
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert caught.value.details() == "chosen by the servicer"
    assert logged[-1]["code"] == "OUT_OF_RANGE"


async def test_a_huge_message_in_any_script_is_cut_and_arrives(client: EchoClient) -> None:
    ERRORS["huge"] = errors.InvalidArgument("f" * 5000, "語" * 100_000)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.unary(b"huge")
    finally:
        del ERRORS["huge"]
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert rich_status(caught.value) is not None


async def test_a_request_id_is_taken_from_the_caller_and_given_back(client: EchoClient) -> None:
    reply = method(client.channel, "UnaryUnary")(b"", metadata=((REQUEST_ID_KEY, "abc-1"),))
    await reply
    assert tuple(await reply.trailing_metadata()) == (("x-own", "kept"), (REQUEST_ID_KEY, "abc-1"))


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "line%0a", '"'])
async def test_a_request_id_that_could_forge_a_log_is_replaced(
    client: EchoClient, given: str
) -> None:
    reply = method(client.channel, "UnaryUnary")(b"", metadata=((REQUEST_ID_KEY, given),))
    await reply
    assert re.fullmatch(r"[0-9a-f]{32}", dict(await reply.trailing_metadata())[REQUEST_ID_KEY])


async def test_one_line_is_logged_a_call(client: EchoClient) -> None:
    with capture_logs([structlog.contextvars.merge_contextvars]) as logged:
        await client.unary(b"x", metadata=((REQUEST_ID_KEY, "id-2"),))
    # A method that no contract knows counts as one that changes something.
    entry, change = logged
    assert (change["event"], change["caller"], change["role"]) == ("change", "anonymous", "operate")
    assert entry["event"] == "call"
    assert entry["method"] == f"/{ECHO}/UnaryUnary"
    assert entry["code"] == "OK"
    assert entry["request_id"] == "id-2"
    assert entry["seconds"] >= 0
    assert entry["peer"].startswith("ipv4:127.0.0.1:")


async def test_calls_are_counted_by_method_and_code(client: EchoClient) -> None:
    await client.unary(b"x")
    with pytest.raises(grpc.aio.AioRpcError):
        await client.unary(b"NotFound")
    await client.counted("UnaryUnary")
    labels = {"grpc_service": ECHO, "grpc_method": "UnaryUnary"}
    value = client.server.registry.get_sample_value
    assert value("grpc_server_started_total", labels) == 2
    for code in ("OK", "NOT_FOUND"):
        assert value("grpc_server_handled_total", {**labels, "grpc_code": code}) == 1
        assert value("grpc_server_handling_seconds_count", {**labels, "grpc_code": code}) == 1


@pytest.mark.parametrize("shape", ["UnaryUnary", "UnaryStream", "Writes"])
async def test_a_cancelled_call_stops_the_work_and_is_counted(
    client: EchoClient, shape: str
) -> None:
    replies = method(client.channel, shape)(b"hang")
    await client.echo.entered.wait()
    labels = {"grpc_service": ECHO, "grpc_method": shape}
    assert client.server.registry.get_sample_value("grpc_server_in_flight", labels) == 1
    replies.cancel()
    await client.echo.cancelled.wait()
    await client.counted(shape)
    value = client.server.registry.get_sample_value
    assert value("grpc_server_handled_total", {**labels, "grpc_code": "CANCELLED"}) == 1


async def test_a_deadline_that_passes_stops_the_work(client: EchoClient) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.unary(b"hang", timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await client.echo.cancelled.wait()


async def read_all(call: Any) -> list[bytes]:
    return [reply async for reply in call]


@pytest.mark.parametrize("shape", ["UnaryUnary", "Writes"])
async def test_a_message_whose_caller_has_left_is_no_fault(client: EchoClient, shape: str) -> None:
    with capture_logs() as lines:
        call = method(client.channel, shape)(b"left")
        with pytest.raises(grpc.aio.AioRpcError):
            await (call if shape == "UnaryUnary" else read_all(call))
        await client.counted(shape)
    labels = {"grpc_service": ECHO, "grpc_method": shape, "grpc_code": "CANCELLED"}
    assert client.server.registry.get_sample_value("grpc_server_handled_total", labels) == 1
    assert not [line for line in lines if line["log_level"] == "error"]


async def test_an_unknown_method_is_unimplemented(client: EchoClient) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.unary(b"", "Nope")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


class Left:
    """The part of a context that knows the deadline."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds

    def time_remaining(self) -> float | None:
        return self.seconds


@pytest.mark.parametrize("seconds", [0, -0.5])
def test_a_deadline_already_past_is_refused(seconds: float) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        note_deadline(Left(seconds))


def test_the_time_left_is_known_and_never_negative() -> None:
    assert remaining(Left(None)) is None
    assert remaining(Left(3.5)) == 3.5
    assert remaining(Left(-1)) == 0
