"""Channels to the services: to running ones where the environment names them, else to private ones.

A private service is started on loopback when it is first needed and drained when the command ends.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import grpc
from assay_rpc.channel import connect_async

from services.cli import processes
from services.cli.inventory import Inventory, logs


class Connection:
    """Hands out a channel by service name; an asynchronous context manager."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._stack = AsyncExitStack()
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._addresses: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def channel(self, service: str) -> grpc.aio.Channel:
        """A channel to "segment", "corpus" or "ranker"."""
        if service not in self._channels:
            channel = connect_async(await self.address(service))
            self._stack.push_async_callback(channel.close)
            self._channels[service] = channel
        return self._channels[service]

    async def address(self, service: str) -> str:
        """The service's host:port; starts a private one when none is named or running yet."""
        named = running_address(service)
        if named:
            return named
        if service not in self._addresses:
            variables = self._inventory.environment()
            if service == "ranker":
                # The two load what they serve side by side.
                segment, corpus = await asyncio.gather(
                    self.address("segment"), self.address("corpus")
                )
                variables |= {
                    "ASSAY_RANKER_SEGMENT_ADDR": segment,
                    "ASSAY_RANKER_CORPUS_ADDR": corpus,
                }
            started = await processes.start(service, variables, logs())
            self._stack.push_async_callback(started.stop)
            self._addresses[service] = started.address
        return self._addresses[service]


def running_address(service: str) -> str | None:
    """The address of a running service that the environment names, if it names one."""
    return os.environ.get(f"ASSAY_{service.upper()}_ADDR") or None
