import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.common.v1 import common_pb2
from google.rpc import error_details_pb2  # type: ignore[import-untyped]

from services import errors
from services.rpc import status
from tests.rpc.echo_server import ERRORS

PROTO = Path(__file__).parents[2] / "protos" / "assay" / "common" / "v1" / "common.proto"


def classes(root: type[errors.AssayError] = errors.AssayError) -> set[type[errors.AssayError]]:
    return {root}.union(*(classes(kind) for kind in root.__subclasses__()))


def documented_codes() -> dict[str, str]:
    """ErrorReason's values and the status code that the comment above each begins with."""
    pattern = r"// ([A-Z_]+): [^=]*?\n\s*(ERROR_REASON_\w+) = \d+;"
    return {reason: code for code, reason in re.findall(pattern, PROTO.read_text("utf-8"))}


def details(reply: Any, kind: Any) -> list[Any]:
    found = []
    for packed in reply.details:
        message = kind()
        if packed.Unpack(message):
            found.append(message)
    return found


def test_every_class_of_the_tree_is_in_the_table() -> None:
    defined = {kind for kind in classes() if kind.__module__ == errors.__name__}
    # A bare PreconditionFailed does not say what a program should do about it.
    assert defined - {errors.AssayError, errors.PreconditionFailed} == set(status.TABLE)


def test_every_sample_is_of_another_class() -> None:
    assert {type(error) for error in ERRORS.values()} == set(status.TABLE)


@pytest.mark.parametrize("kind", status.TABLE, ids=lambda kind: kind.__name__)
def test_the_code_is_the_one_that_the_contract_says(kind: type[errors.AssayError]) -> None:
    entry = status.TABLE[kind]
    assert documented_codes()[common_pb2.ErrorReason.Name(entry.reason)] == entry.code.name


def test_every_reason_of_the_contract_is_used_once() -> None:
    used = [common_pb2.ErrorReason.Name(entry.reason) for entry in status.TABLE.values()]
    assert sorted(used) == sorted(set(common_pb2.ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"})
    assert len(documented_codes()) == len(used)


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_every_status_has_its_reason_and_the_request_id(error: errors.AssayError) -> None:
    reply = status.status_of(error, "id-1")
    (info,) = details(reply, error_details_pb2.ErrorInfo)
    assert info.domain == "assay"
    assert f"ERROR_REASON_{info.reason}" in set(common_pb2.ErrorReason.keys())
    assert details(reply, error_details_pb2.RequestInfo)[0].request_id == "id-1"
    assert reply.message == str(error)
    assert reply.code == status.entry_of(error).code.value[0]


@pytest.mark.parametrize("name", ["InvalidArgument", "BadImage", "ImageTooLarge"])
def test_an_invalid_argument_names_its_field(name: str) -> None:
    error = ERRORS[name]
    assert isinstance(error, errors.InvalidArgument)
    reply = status.status_of(error, "")
    (bad,) = details(reply, error_details_pb2.BadRequest)
    assert bad.field_violations[0].field == error.field
    assert bad.field_violations[0].description == error.problem


def test_not_found_names_what_was_looked_for() -> None:
    reply = status.status_of(ERRORS["NotFound"], "")
    (resource,) = details(reply, error_details_pb2.ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == ("model", "nope")


def test_overloaded_says_when_to_try_again() -> None:
    error = ERRORS["Overloaded"]
    reply = status.status_of(error, "")
    (retry,) = details(reply, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1250
    assert dict(status.trailers_of(error, reply))[status.PUSHBACK_KEY] == "1250"


def test_too_large_tells_grpc_not_to_try_again() -> None:
    error = ERRORS["TooLarge"]
    trailers = dict(status.trailers_of(error, status.status_of(error, "")))
    assert trailers[status.PUSHBACK_KEY] == "-1"


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e12, float("inf"), float("nan")])
def test_a_wild_retry_time_is_still_sent(seconds: float) -> None:
    error = errors.Overloaded("full", seconds)
    reply = status.status_of(error, "")
    assert 0 <= int(dict(status.trailers_of(error, reply))[status.PUSHBACK_KEY]) <= 3_600_000


def test_a_subclass_from_elsewhere_has_its_ancestors_entry() -> None:
    class Sub(errors.DataLoss):
        pass

    assert status.entry_of(Sub("a", 1, "b")).code is grpc.StatusCode.DATA_LOSS


def test_a_lone_surrogate_can_be_sent() -> None:
    assert status.status_of(errors.Unavailable("a\ud800b"), "").message == "a?b"


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_items_error_says_what_a_calls_would(error: errors.AssayError) -> None:
    told, reply = status.item_error(error), status.status_of(error, "id-1")
    assert (told.code, told.message) == (reply.code, reply.message)
    (info,) = details(reply, error_details_pb2.ErrorInfo)
    assert common_pb2.ErrorReason.Name(told.reason) == f"ERROR_REASON_{info.reason}"
    assert [(one.field, one.description) for one in told.violations] == [
        *getattr(error, "violations", ())
    ]
    assert told.HasField("retry_after") == isinstance(error, errors.Overloaded)


def test_an_invalid_argument_names_as_many_fields_as_fit_the_trailers() -> None:
    first, *others = [(f"classes[{i}].color", "must be an integer, not 1.5") for i in range(1000)]
    error = errors.InvalidArgument(*first, *others[:2])
    (bad,) = details(status.status_of(error, ""), error_details_pb2.BadRequest)
    assert [(one.field, one.description) for one in bad.field_violations] == list(error.violations)
    error = errors.InvalidArgument(*first, *others)
    reply = status.status_of(error, "")
    (bad,) = details(reply, error_details_pb2.BadRequest)
    told = [(one.field, one.description) for one in bad.field_violations]
    assert 10 < len(told) < 1000
    assert told == list(error.violations[: len(told)])
    assert reply.ByteSize() < 4096
