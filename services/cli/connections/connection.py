"""Channels to the services: running ones that `remote` finds, otherwise private ones.

A private service is started on loopback on first use, and drained when the command ends. The ranker
of a running `assay up` is used if its database is the one that a private ranker would open.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import grpc
from assay_rpc.channel import connect_async
from assay_rpc.connection import Connection as RpcConnection

from services.cli.connections import processes
from services.cli.connections.inventory import Inventory, logs
from services.cli.connections.remote import connection_to, running_address
from services.cli.connections.running import announced_address
from services.cli.output.console import note
from services.errors import PreconditionFailed, Unavailable

# A replica that restarts is back within this many seconds.
_ANSWER_SECONDS = 15.0


class Connection:
    """Provides a channel by service name; an asynchronous context manager."""

    def __init__(
        self, inventory: Inventory, *, measures: bool = True, beside_up: bool = False
    ) -> None:
        """Without `measures`, a private ranker answers from stored evidence, and starts alone.

        With `beside_up`, the segment and corpus services of a running `assay up` are used like its
        ranker.
        """
        self._inventory = inventory
        self._measures = measures
        self._beside_up = beside_up
        self._stack = AsyncExitStack()
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._addresses: dict[str, str] = {}
        self._lone = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def measuring(self) -> None:
        """Enable measuring: restarts a private ranker that started without other services."""
        if self._measures:
            return
        self._measures = True
        if self._lone:
            await self._stack.aclose()
            self._stack, self._lone = AsyncExitStack(), False
            self._channels.clear()
            self._addresses.clear()

    async def to(self, service: str) -> RpcConnection:
        """How to reach "segment", "corpus" or "ranker", for a client that does not use asyncio."""
        address = await self.address(service)
        return (
            RpcConnection(address) if running_address(service) is None else connection_to(address)
        )

    async def channel(self, service: str) -> grpc.aio.Channel:
        """A channel to "segment", "corpus" or "ranker"."""
        if service not in self._channels:
            to = await self.to(service)
            channel = connect_async(to)
            self._stack.push_async_callback(channel.close)
            if running_address(service) is not None:
                await _require_answer(channel, service, to.target)
            self._channels[service] = channel
        return self._channels[service]

    async def address(self, service: str) -> str:
        """The service's host:port; starts a private service if none is named or running."""
        named = running_address(service)
        if named:
            return named
        if service not in self._addresses:
            if running := self._announced(service):
                self._addresses[service] = running
                return running
            variables = self._inventory.environment()
            if service == "ranker" and self._measures:
                # The two services load their models and data in parallel.
                try:
                    segment, corpus = await asyncio.gather(
                        self.address("segment"), self.address("corpus")
                    )
                except processes.LacksLibrary as error:
                    raise processes.all_lacking(error) from error
                variables |= {
                    "ASSAY_RANKER_SEGMENT_ADDR": segment,
                    "ASSAY_RANKER_CORPUS_ADDR": corpus,
                }
            elif service == "ranker":
                self._lone = True
            started = await processes.start(service, variables, logs())
            self._stack.push_async_callback(started.stop)
            self._addresses[service] = started.address
        return self._addresses[service]

    def _announced(self, service: str) -> str | None:
        """A service of `assay up`, if it should be used. Raises PreconditionFailed."""
        address = announced_address(service)
        if address is None:
            return None
        given = self._inventory.given()
        if service == "ranker":
            if given:
                raise PreconditionFailed(
                    f"`assay up` runs with this ASSAY_HOME (ranker at {address}) and serves what "
                    f"it was started with; stop it, or leave out {', '.join(given)}"
                )
        elif given:
            return None
        elif not self._beside_up:
            note(
                f"not used: the {service} service that `assay up` runs. To use it: "
                f"export ASSAY_{service.upper()}_ADDR={address}"
            )
            return None
        note(f"using the {service} service that `assay up` runs at {address}")
        return address


async def _require_answer(channel: grpc.aio.Channel, service: str, address: str) -> None:
    """Raises Unavailable if a call could only wait for its deadline."""
    try:
        await asyncio.wait_for(channel.channel_ready(), _ANSWER_SECONDS)
    except TimeoutError:
        raise Unavailable(
            f"{service} does not answer at {address} within {_ANSWER_SECONDS:.0f} s. Is the "
            "address right, and is it ready? For TLS set ASSAY_TLS=1, or ASSAY_TLS_CA to the "
            "authorities to trust, and ASSAY_TLS_CERT and ASSAY_TLS_KEY if it requires a "
            "certificate"
        ) from None
