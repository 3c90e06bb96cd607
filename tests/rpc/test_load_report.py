"""The load that a replica reports, as gRPC's clients read it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from assay_rpc.channel import connect_async
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from services.rpc.load_report import LOAD_KEY, LoadReport
from services.rpc.serving.server import build_server
from services.rpc.settings import ServerSettings
from tests.rpc.echo_server import Echo, echo_service, method


def report_class() -> Any:
    """The fields of xds.data.orca.v3.OrcaLoadReport that are used, by their published numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="orca.proto", package="xds", syntax="proto3")
    message = file.message_type.add(name="OrcaLoadReport")
    double = descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE
    message.field.add(name="rps_fractional", number=6, type=double, label=1)
    message.field.add(name="application_utilization", number=9, type=double, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("xds.OrcaLoadReport"))


@pytest.mark.parametrize(("rate", "utilization"), [(0.0, 0.0), (12.5, 0.75), (1e6, 40.0)])
def test_a_report_has_the_published_form(rate: float, utilization: float) -> None:
    key, value = LoadReport(rate, utilization).trailer
    assert key == LOAD_KEY == "endpoint-load-metrics-bin"
    found = report_class().FromString(value)
    assert (found.rps_fractional, found.application_utilization) == (rate, utilization)
    assert found.SerializeToString() == value or 0.0 in (rate, utilization)


class Reporting(Echo):
    """Says with each answer that it is so busy with ten answers a second."""

    def __init__(self, utilization: float) -> None:
        super().__init__()
        self._trailer = LoadReport(10.0, utilization).trailer

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((self._trailer,))
        return await self.reply(request)


async def test_the_shipped_channel_gives_a_faster_replica_more() -> None:
    """Four times as many, once the reports are believed; neither is left out."""
    replicas = [Reporting(0.2), Reporting(0.8)]
    servers = [build_server(ServerSettings(), echo_service(one)) for one in replicas]
    for server in servers:
        await server.start()
    target = "ipv4:" + ",".join(f"127.0.0.1:{server.port}" for server in servers)
    try:
        async with asyncio.timeout(60), connect_async(target) as channel:
            share = 0.0
            while not 0.75 <= share <= 0.85:
                before = replicas[0].calls
                for _ in range(100):
                    await method(channel, "UnaryUnary")(b"x")
                share = (replicas[0].calls - before) / 100
    finally:
        for server in servers:
            await server.stop(0)
