"""What a peer refuses a call for, as an error of this process."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest

from services import errors
from services.ranker.peers.calls import translated
from services.rpc import status


@pytest.mark.parametrize(
    ("refused", "kind"),
    [
        (errors.LicenseNotAccepted("not accepted"), errors.LicenseNotAccepted),
        (errors.Forbidden("not yours"), errors.InternalError),
        (errors.Unsupported("not here"), errors.Unsupported),
        (errors.Overloaded("busy", 1.0), errors.Overloaded),
        (errors.Unavailable("away"), errors.Unavailable),
    ],
)
async def test_a_refusal_keeps_its_kind(
    refused: errors.AssayError, kind: type[errors.AssayError]
) -> None:
    reply = status.status_of(refused, "r")
    trailers = grpc.aio.Metadata(*status.trailers_of(refused, reply))
    error = grpc.aio.AioRpcError(
        status.entry_of(refused).code, grpc.aio.Metadata(), trailers, reply.message
    )
    with pytest.raises(errors.AssayError) as caught:
        async with translated("segment", 1.0):
            raise error
    assert type(caught.value) is kind
