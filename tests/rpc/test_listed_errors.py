"""What watches the servers of the tests finds a reason that an rpc does not list."""

from __future__ import annotations

import pytest

from tests import listed_errors

METHOD = "/assay.ranker.v1.RankerService/GetMethodology"


@pytest.mark.parametrize("reason", ["NOT_FOUND", "DIGEST_MISMATCH", "UNAVAILABLE", "INTERNAL"])
def test_what_is_listed_is_well(reason: str) -> None:
    listed_errors.check(METHOD, reason)
    listed_errors.pytest_runtest_teardown()


def test_what_is_not_listed_fails_the_test() -> None:
    listed_errors.check(METHOD, "STORAGE_FULL")
    with pytest.raises(AssertionError, match="GetMethodology failed with STORAGE_FULL"):
        listed_errors.pytest_runtest_teardown()


def test_another_service_has_no_list() -> None:
    listed_errors.check("/inference.GRPCInferenceService/ModelInfer", "STORAGE_FULL")
    listed_errors.pytest_runtest_teardown()


def test_every_rpc_has_a_list() -> None:
    anywhere, methods = listed_errors.listed()
    assert {"UNAVAILABLE", "INTERNAL"} <= anywhere
    assert len(methods) > 40
    assert all(methods.values())
