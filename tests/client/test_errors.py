"""Errors by reason, with all that the server said."""

from __future__ import annotations

import pickle
import socket

import grpc
import pytest
from assay_rpc import errors
from assay_rpc.client import AssayError, AsyncCorpusClient, CorpusClient, Violation
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import corpus_pb2_grpc, describe_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from tests.client.small_server import CODES, Small, serving

REASONS = [
    name.removeprefix("ERROR_REASON_")
    for name, number in common_pb2.ErrorReason.items()
    if number != common_pb2.ERROR_REASON_UNSPECIFIED
]


def test_every_reason_has_its_class() -> None:
    kinds = {kind.REASON: kind for kind in AssayError.__subclasses__()}
    assert sorted(kinds) == sorted(REASONS)
    for reason, kind in kinds.items():
        words = reason.title().replace("_", "")
        assert kind.__name__ in {words, f"{words}Error"}


@pytest.mark.parametrize("reason", REASONS)
def test_a_call_raises_the_class_with_its_details(reason: str) -> None:
    with (
        serving(Small()) as address,
        CorpusClient(address) as corpora,
        pytest.raises(AssayError, match=f"it was {reason}") as raised,
    ):
        corpora.corpus(reason)
    found = raised.value
    assert type(found).REASON == found.reason == reason
    assert found.code == CODES.get(reason, grpc.StatusCode.FAILED_PRECONDITION)
    assert found.violations == (Violation("a", "is wrong"), Violation("b", "is wrong too"))
    assert found.retry_after == 1.5
    assert found.request_id == "r-1"
    again = pickle.loads(pickle.dumps(found))  # noqa: S301  # it is ours
    assert type(again) is type(found)
    assert {**vars(again)} == {**vars(found)}
    assert str(again) == str(found)


async def test_an_asyncio_call_raises_it_too() -> None:
    with serving(Small()) as address:
        async with AsyncCorpusClient(address) as corpora:
            with pytest.raises(errors.Overloaded, match="it was OVERLOADED") as raised:
                await corpora.corpus("OVERLOADED")
    assert raised.value.retry_after == 1.5


def test_a_reason_of_a_later_server_is_kept() -> None:
    with (
        serving(Small()) as address,
        CorpusClient(address) as corpora,
        pytest.raises(AssayError) as raised,
    ):
        corpora.corpus("NEW_REASON")
    assert type(raised.value) is AssayError
    assert raised.value.reason == "NEW_REASON"


def test_a_stub_user_makes_one_of_a_grpc_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with grpc.insecure_channel(address) as channel:
            stub = corpus_pb2_grpc.CorpusServiceStub(channel)
            with pytest.raises(grpc.RpcError) as raised:
                stub.GetCorpus(describe_pb2.GetCorpusRequest(), timeout=30)
    found = AssayError.of(raised.value)
    assert type(found) is errors.Unavailable
    assert found.code == grpc.StatusCode.UNAVAILABLE
    assert not found.violations
    assert found.retry_after is None


def test_an_item_has_the_error_of_a_call_of_its_own() -> None:
    item = common_pb2.ItemError(
        code=8, reason=common_pb2.ERROR_REASON_OVERLOADED, message="the queue is full"
    )
    item.retry_after.FromMilliseconds(250)
    found = AssayError.of_item(item)
    assert type(found) is errors.Overloaded
    assert found.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert found.retry_after == 0.25
    assert type(AssayError.of_item(common_pb2.ItemError(code=2, message="?"))) is AssayError


def test_a_reason_of_a_later_server_is_kept_of_an_item_too() -> None:
    item = common_pb2.ItemError(message="new", reason=1_000)  # type: ignore[arg-type]
    found = AssayError.of_item(item)
    assert type(found) is AssayError
    assert (found.reason, found.message) == ("1000", "new")


@pytest.mark.parametrize("whole", [True, False])
def test_damaged_details_do_not_hide_the_error(whole: bool) -> None:
    status = status_pb2.Status(code=14)
    info = error_details_pb2.ErrorInfo(reason="UNAVAILABLE", domain="assay")
    status.details.add().Pack(info)
    status.details[0].value = info.SerializeToString()[:-3]
    sent = status.SerializeToString()
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", sent if whole else sent[:-3]))
    unavailable = grpc.StatusCode.UNAVAILABLE
    error = grpc.aio.AioRpcError(unavailable, grpc.aio.Metadata(), trailers, "gone")
    found = AssayError.of(error)
    assert type(found) is errors.Unavailable
    assert (found.message, found.reason) == ("gone", "")
