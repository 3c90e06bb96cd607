"""Protobuf messages as plain JSON values.

Unlike protobuf's own JSON mapping, 64-bit integers stay numbers, durations are seconds, enums lose
their prefix, unspecified enums are null, and zeros are shown. Only unset messages and optional
fields are left out.
"""

from __future__ import annotations

from typing import Any, Protocol

from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import compare_pb2, evidence_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.cli.output.console import warn
from services.ranker.web.values import enum_value_name
from services.ranker.words import words


class BadLineLike(Protocol):
    """A line that was skipped, from a message or the indexer."""

    @property
    def shard(self) -> str: ...  # noqa: D102

    @property
    def line(self) -> int: ...  # noqa: D102

    @property
    def offset(self) -> int: ...  # noqa: D102

    @property
    def reason(self) -> str: ...  # noqa: D102

    @property
    def rest(self) -> bool: ...  # noqa: D102


_NAMED = 20


def warn_of_bad_line(line: BadLineLike, number: int) -> None:
    """Reports on stderr which line was skipped, for the first twenty."""
    if number <= _NAMED:
        # For damage: the reason has the line's own place; this is the position of the reader.
        byte = f", compressed byte {line.offset}" if line.rest else ""
        warn(f"skipped {line.shard}, line {line.line}{byte}: {line.reason}")
    elif number == _NAMED + 1:
        warn("further bad lines are counted only")


def plain(message: Message) -> Any:
    """The message as dicts, lists, numbers and strings."""
    if isinstance(message, Duration):
        return message.ToTimedelta().total_seconds()
    if isinstance(message, Timestamp):
        return message.ToJsonString()
    return {
        field.name: _field(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _field(field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {str(key): _scalar_or_message(value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_single(field, item) for item in value]
    return _single(field, value)


def _scalar_or_message(value: Any) -> Any:
    return plain(value) if isinstance(value, Message) else value


def _single(field: Any, value: Any) -> Any:
    if isinstance(value, Message):
        return plain(value)
    if field.enum_type is not None:
        return enum_value_name(field, value) if value else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value


def precision(engine: common_pb2.Engine) -> str:
    """An engine's number type, "fp32"; empty if unspecified."""
    name = common_pb2.Precision.Name(engine.precision).removeprefix("PRECISION_").lower()
    return "" if name == "unspecified" else name


def page_claims(reply: compare_pb2.CompareResponse) -> list[evidence_pb2.ClaimVerdict]:
    """The claims of every page that compares the two."""
    return [verdict for page in reply.pages for verdict in page.claims]


def missing(answer: compare_pb2.ComponentComparison | compare_pb2.ProfileComparison) -> str:
    """What is missing to decide which is better; empty if nothing is."""
    return "; ".join(
        f"{one.artifact}, {words(one.metric)}: {one.what}"
        if one.metric
        else f"{one.artifact}: {one.what}"
        for one in answer.missing
    )
