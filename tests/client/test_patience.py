"""What a client waits for, and what it raises at once."""

from __future__ import annotations

import grpc
import pytest
from assay_rpc._patience import Patience
from assay_rpc.errors import AssayError

Code = grpc.StatusCode


@pytest.mark.parametrize(
    "error",
    [
        AssayError("gone", code=Code.UNAVAILABLE),
        AssayError("not looked at", code=Code.CANCELLED),
        # grpc.aio's status of a message that it could not send any more.
        AssayError("Internal error from Core", code=Code.INTERNAL),
    ],
)
def test_a_server_that_is_gone_is_waited_for_longer_each_time(error: AssayError) -> None:
    patience = Patience(60)
    assert [patience.wait(error) for _ in range(3)] == [0.1, 0.2, 0.4]
    patience.progress()
    assert patience.wait(error) == 0.1


@pytest.mark.parametrize("code", [Code.INTERNAL, Code.INVALID_ARGUMENT, Code.DATA_LOSS])
def test_what_will_not_pass_is_raised_at_once(code: Code) -> None:
    error = AssayError("a fault of the server", code=code)
    with pytest.raises(AssayError) as raised:
        Patience(60).wait(error)
    assert raised.value is error


def test_what_lasts_too_long_is_raised() -> None:
    with pytest.raises(AssayError):
        Patience(0).wait(AssayError("gone", code=Code.UNAVAILABLE))
