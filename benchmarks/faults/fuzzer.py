"""Calls every method of a running service with random and damaged messages.

A call is a fault if it ends as INTERNAL, UNKNOWN or DATA_LOSS, if an item of its replies reports
one of these, or if it is refused without the reason that the contract promises. A call that takes
too long is cancelled, which is not a fault.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from assay_rpc.common.v1 import common_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import (  # type: ignore[import-untyped]
    code_pb2,
    error_details_pb2,
    status_pb2,
)

from benchmarks.faults.examples import examples, known
from benchmarks.faults.random_messages import Words, changed, damaged, random_message

_FAULTS = {code_pb2.INTERNAL, code_pb2.UNKNOWN, code_pb2.DATA_LOSS}
_DETAILS = "grpc-status-details-bin"
_CALL_SECONDS = 1.0
_WARM_SECONDS = 120.0
_MOST_REPLIES = 20
_SEEDS_KEPT = 200
_CLIENTS = 6
# grpc.aio's message if a call ends while the client writes; the server has counted the end.
_LEFT_WRITING = "Internal error from Core"
# The client's own library ends calls with these codes, without an answer of the server.
_OWN_CODES = {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}


@dataclass
class Found:
    """The outcomes of the calls."""

    calls: int = 0
    codes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By method: how many calls ended with each code."""
    megabytes_before: float = 0.0
    """Resident memory of the service before the calls, if it was measured."""
    faults: list[str] = field(default_factory=list)
    """What was wrong, with the requests in hexadecimal."""

    def table(self) -> dict[str, dict[str, int]]:
        """Counts of codes by method, sorted."""
        return {name: dict(sorted(counts.items())) for name, counts in sorted(self.codes.items())}


class Fuzzer:
    """Calls the methods of one service; every method gets the same time."""

    def __init__(
        self,
        address: str,
        services: Sequence[ServiceDescriptor],
        *,
        seed: int,
    ) -> None:
        self._address = address
        self._methods = [method for service in services for method in service.methods]
        self._seed = seed
        self._words = Words(known())
        self._spent = dict.fromkeys(range(len(self._methods)), 0.0)
        self._answered = {
            name: deque(sent, maxlen=_SEEDS_KEPT) for name, sent in examples(self._methods).items()
        }
        self.found = Found()

    async def warm(self) -> None:
        """Send every example once: engines and libraries are loaded when they are first needed."""
        async with grpc.aio.insecure_channel(self._address) as channel:
            for method in self._methods:
                name = f"/{method.containing_service.full_name}/{method.name}"
                for requests in list(self._answered[name]):
                    await self._call(channel, method, name, requests, _WARM_SECONDS)

    async def run(self, calls: int, seconds: float = float("inf")) -> Found:
        """Make `count` calls, or as many as the time allows."""
        until = time.monotonic() + seconds
        options = (("grpc.max_receive_message_length", -1),)

        async def client(number: int) -> None:
            chance = random.Random(f"{self._seed} {number}")
            async with grpc.aio.insecure_channel(self._address, options=options) as channel:
                while self.found.calls < calls and time.monotonic() < until:
                    self.found.calls += 1
                    await self._one(channel, chance)

        await asyncio.gather(*map(client, range(_CLIENTS)))
        return self.found

    async def _one(self, channel: grpc.aio.Channel, chance: random.Random) -> None:
        index = min(self._spent, key=lambda one: (self._spent[one], one))
        method = self._methods[index]
        name = f"/{method.containing_service.full_name}/{method.name}"
        requests = self._requests(method, name, chance)
        begun = time.monotonic()
        # During this call the other workers choose other methods.
        self._spent[index] += 0.001
        code, problem, replies = await self._call(channel, method, name, requests, _CALL_SECONDS)
        self._spent[index] += time.monotonic() - begun
        for reply in replies:
            self._words.learn(reply, chance)
        self.found.codes[name][code] += 1
        if code == "OK" and chance.random() < 0.2:
            self._answered[name].append(requests)
        if problem:
            shown = " ".join(one.hex() for one in requests)[:4000]
            self.found.faults.append(f"{name}: {code}: {problem} <- {shown}")

    def _requests(self, method: MethodDescriptor, name: str, chance: random.Random) -> list[bytes]:
        """Draw requests: similar to answered ones, or entirely random."""
        answered = self._answered[name]
        if answered and chance.random() < 0.7:
            sent = list(chance.choice(answered))
            if not method.client_streaming or chance.random() < 0.7:
                at = chance.randrange(len(sent)) if sent else 0
                sent[at : at + 1] = [self._like(method, sent[at] if sent else b"", chance)]
            else:
                # The same messages in another order, twice, or not all of them.
                sent = chance.choices(sent, k=chance.randint(0, len(sent) + 1)) if sent else sent
            return sent
        count = chance.randint(0, 4) if method.client_streaming else 1
        return [self._any(method, chance) for _ in range(count)]

    def _like(self, method: MethodDescriptor, example: bytes, chance: random.Random) -> bytes:
        if chance.random() < 0.2:
            return damaged(example, chance)
        try:
            message = GetMessageClass(method.input_type).FromString(example)
        except DecodeError:
            return example
        for _ in range(chance.randint(0, 3)):
            message = changed(message, self._words, chance)
        return message.SerializeToString()

    def _any(self, method: MethodDescriptor, chance: random.Random) -> bytes:
        if chance.random() < 0.1:
            return chance.randbytes(chance.randint(1, 200))
        return random_message(method.input_type, self._words, chance).SerializeToString()

    async def _call(
        self,
        channel: grpc.aio.Channel,
        method: MethodDescriptor,
        name: str,
        requests: list[bytes],
        seconds: float,
    ) -> tuple[str, str, list[Message]]:
        """Make one call; return its code, its fault (empty for none), and the replies."""
        kind = GetMessageClass(method.output_type)

        async def sent() -> AsyncIterator[bytes]:
            for one in requests:
                yield one

        shape = f"{'stream' if method.client_streaming else 'unary'}_"
        shape += "stream" if method.server_streaming else "unary"
        begin: Any = getattr(channel, shape)(name)
        argument = sent() if method.client_streaming else requests[0]
        call = begin(argument, timeout=seconds)
        contents: list[bytes] = []
        try:
            if method.server_streaming:
                async for one in call:
                    contents.append(one)
                    if len(contents) >= _MOST_REPLIES:
                        break
                call.cancel()
            else:
                contents.append(await call)
        except grpc.aio.AioRpcError as error:
            left = error.details() == _LEFT_WRITING
            code = "LEFT_WRITING" if left else error.code().name
            return code, "" if left else _wrong(error), []
        except asyncio.CancelledError:
            # grpc.aio cancels a call of its own whose requests it could not write.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return "LEFT_WRITING", "", []
        try:
            replies: list[Message] = [kind.FromString(content) for content in contents]
        except DecodeError:
            return "OK", "a reply is not of its type", []
        return "OK", next(filter(None, map(wrong_item, replies)), ""), replies


def _wrong(error: grpc.aio.AioRpcError) -> str:
    code, said = error.code(), error.details() or ""
    if code in _OWN_CODES:
        return ""
    if code.value[0] in _FAULTS:
        return said[:300]
    if not (reason := reason_of(error)):
        return f"no reason is given ({said[:300]})"
    if reason not in common_pb2.ErrorReason.keys():  # noqa: SIM118  no dict
        return f"the contract has no {reason}"
    return ""


def reason_of(error: grpc.aio.AioRpcError | grpc.Call) -> str:
    """Name, in the contract, of the reason in an error's details; empty if there is none."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return f"ERROR_REASON_{info.reason}"
    return ""


def wrong_item(message: Message) -> str:
    """Return the part of a reply that reports a fault of the server; empty if none does."""
    if isinstance(message, common_pb2.ItemError):
        return f"an item says: {message.message[:300]}" if message.code in _FAULTS else ""
    for one, value in message.ListFields():
        if one.message_type is None or one.message_type.GetOptions().map_entry:
            continue
        for part in value if one.is_repeated else (value,):
            if problem := wrong_item(part):
                return problem
    return ""
