"""Attacks that once ended a service, under the memory limits of its manifest."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml
from assay_rpc.corpus.v1 import corpus_pb2_grpc, selection_pb2, stream_pb2
from assay_rpc.ranker.v1 import admin_pb2, admin_pb2_grpc
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc

from benchmarks.faults.callers import CALLS, CORPUS
from benchmarks.faults.http2 import half_open_streams, unacknowledged_lists
from benchmarks.faults.load import Load
from benchmarks.faults.probes import Probes
from benchmarks.faults.running import MemoryLimit, Running
from benchmarks.faults.stalling import stalled, streamed
from benchmarks.faults.table import Row, row
from tests import proxy

_MANIFESTS = Path(__file__).resolve().parents[2] / "deploy" / "base"
PROBE_SECONDS, BACK = 1.0, 1.2
SETTLES_SECONDS = 60.0
_ANY_SIZE = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


def limit_of(name: str) -> int:
    """Memory limit of a service in its manifest, in bytes."""
    for one in yaml.safe_load_all((_MANIFESTS / f"{name}.yaml").read_text("utf-8")):
        if one["kind"] == "Deployment":
            text = one["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
            return int(text[:-2]) << {"Mi": 20, "Gi": 30}[text[-2:]]
    raise ValueError(f"no deployment in {name}.yaml")


@dataclass(frozen=True)
class Attack:
    """An attack on a service; `run` returns what the attacker saw."""

    name: str
    what: str
    run: Callable[[Running], Any]
    variables: Mapping[str, str] = field(default_factory=dict)


def attacked(attack: Attack, folder: Path, home: Path) -> list[Row]:
    """Attack a service under its memory limit, and return the effect as rows."""
    limit = MemoryLimit(limit_of(attack.name), attack.name)
    variables = {"ASSAY_HOME": str(home), **attack.variables}
    if attack.name == "ranker":
        variables["ASSAY_RANKER_DATABASE"] = str(folder / "evidence.sqlite")
    with Running(attack.name, folder, variables, limit=limit) as service:
        warm = CALLS[attack.name](service.address)
        with Load(warm, clients=2) as load:
            load.answered(20)
        before = service.megabytes
        with Probes(f"127.0.0.1:{service.health_port}") as probes:
            saw = attack.run(service)
        settled = time.monotonic() + SETTLES_SECONDS
        while service.alive and service.megabytes > before * BACK and time.monotonic() < settled:
            time.sleep(0.5)
        alive = service.alive and not limit.kills()
        after, peak = (service.megabytes, service.peak_megabytes) if service.alive else (0.0, 0.0)
        with Load(warm, clients=1) as load:
            load.answered(5, seconds=20)
        served = len(load.calls.seconds) >= 5 and not load.calls.failed
        under = "its control group" if limit.folder else "no limit: control groups are not ours"
    bound = limit_of(attack.name) / 1e6
    says = f"{saw}, under {under}"
    ended = row(attack.what, "processes that ended", float(not alive), 0, "", says)
    if not alive:  # nothing more can be measured
        return [ended]
    return [
        ended,
        row(attack.what, "largest resident memory", peak, bound, "MB", "its manifest's limit"),
        row(attack.what, "slowest probe meanwhile", probes.worst, PROBE_SECONDS, "s"),
        row(attack.what, "memory after, of that before", after / before, BACK, "times"),
        row(attack.what, "does not serve afterwards", float(not served), 0, ""),
    ]


def _statuses(ended: list[Any]) -> str:
    codes = sorted(
        {error.code().name for error in ended if isinstance(error, grpc.aio.AioRpcError)}
    )
    answered = sum(not isinstance(error, BaseException) for error in ended)
    return f"{answered} of {len(ended)} answered, else {', '.join(codes) or 'nothing'}"


def _gzip_flood(service: Running) -> str:
    """Eight calls of 127 MiB of zeros, 130 KB each on the wire, at both ports."""

    async def flood() -> list[Any]:
        ended: list[Any] = []
        for port, path in (
            (service.port, "/assay.ranker.v1.RankerService/ListArtifacts"),
            (service.health_port, "/grpc.health.v1.Health/Check"),
        ):
            async with grpc.aio.insecure_channel(
                f"127.0.0.1:{port}", options=_ANY_SIZE, compression=grpc.Compression.Gzip
            ) as channel:
                call: Any = channel.unary_unary(path)
                ended += await asyncio.gather(
                    *(call(bytes(127 << 20)) for _ in range(8)), return_exceptions=True
                )
        return ended

    return _statuses(asyncio.run(flood()))


def _half_open(service: Running) -> str:
    sent = half_open_streams(service.address, "/assay.ranker.v1.RankerService/Compare", 20_000)
    return f"{sent:,} of 20,000 could be sent"


def _unacknowledged_lists(service: Running) -> str:
    sent = unacknowledged_lists(
        service.address, "/assay.ranker.v1.RankerService/Compare", connections=4, seconds=6
    )
    return f"{sent:,} calls of 16 KB could be sent"


def _unacknowledged_lists_at_envoy(service: Running) -> str:
    program = proxy.program()
    if program is None:
        raise OSError("Envoy is not installed")
    folder = service.folder / "envoy"
    folder.mkdir()
    clusters = {name: [service.address] for name in ("segment", "corpus", "ranker")}
    with proxy.Envoy(program, folder, clusters) as envoy:
        context = ssl.create_default_context(cafile=envoy.authority)
        context.set_alpn_protocols(["h2"])
        path = "/assay.ranker.v1.RankerService/Compare"
        # Envoy closes a connection at once, so there are many short attempts.
        sent = [unacknowledged_lists(envoy.address, path, 4, 0.2, tls=context) for _ in range(30)]
        left = "Envoy serves" if envoy.alive else "Envoy ended"
    return f"{sum(sent):,} calls of 16 KB could be sent to Envoy; {left}"


def _unread_streams(service: Running) -> str:
    """Open 400 streams with the largest chunks, and read only one message of each."""
    request = stream_pb2.StreamCorpusRequest(
        corpus=selection_pb2.CorpusRef(name=CORPUS), chunk_bytes=2 << 20
    )

    async def stall() -> list[Any]:
        ended: list[Any] = []
        channels = [
            grpc.aio.insecure_channel(service.address, options=(*_ANY_SIZE, ("a.number", number)))
            for number in range(5)
        ]
        calls = [
            corpus_pb2_grpc.CorpusServiceStub(channels[number % 5]).StreamCorpus(request)
            for number in range(400)
        ]
        ended += await asyncio.gather(
            *(asyncio.wait_for(call.read(), 60) for call in calls), return_exceptions=True
        )
        await asyncio.sleep(3)
        for call in calls:
            call.cancel()
        for channel in channels:
            await channel.close()
        return ended

    return _statuses(asyncio.run(stall()))


def _large_picture() -> segment_pb2.SegmentImageRequest:
    side = 4_583  # times itself times 3 is 63 MB
    pixels = images_pb2.PixelTensor(height=side, width=side, rgb=bytes(3 * side * side))
    return segment_pb2.SegmentImageRequest(image=images_pb2.Image(pixels=pixels))


def _many_pictures(service: Running) -> str:
    request = _large_picture()

    async def send() -> list[Any]:
        async with grpc.aio.insecure_channel(service.address, options=_ANY_SIZE) as channel:
            stub = segment_pb2_grpc.SegmentServiceStub(channel)
            return await asyncio.gather(
                *(stub.SegmentImage(request, timeout=120) for _ in range(12)),
                return_exceptions=True,
            )

    return _statuses(asyncio.run(send()))


def _streamed_pictures(service: Running) -> str:
    item = _large_picture()
    requests = (segment_pb2.SegmentImagesRequest(id=number, item=item) for number in range(12))

    async def send() -> list[Any]:
        async with grpc.aio.insecure_channel(service.address, options=_ANY_SIZE) as channel:
            call = segment_pb2_grpc.SegmentServiceStub(channel).SegmentImages(requests, timeout=120)
            return [reply async for reply in call if reply.HasField("result")]

    return f"{len(asyncio.run(send()))} of 12 answered"


def _stalled_pictures(service: Running) -> str:
    message = _large_picture().SerializeToString()
    path = "/assay.segment.v1.SegmentService/SegmentImage"
    return _statuses(asyncio.run(stalled(service.port, path, message, callers=40, seconds=40)))


def _pictures_in_many_streams(service: Running) -> str:
    item = _large_picture()
    items = [
        segment_pb2.SegmentImagesRequest(id=number, item=item).SerializeToString()
        for number in range(2)
    ]
    path = "/assay.segment.v1.SegmentService/SegmentImages"
    return _statuses(asyncio.run(streamed(service.address, path, items, callers=30)))


def _yaml_bombs(service: Running) -> str:
    bombs = [
        b"a: [" + b"1," * (1 << 19) + b"]",
        b"a: [" + b"1," * 30_000 + b"]",
        b"a: " + b"1:" * 32_000 + b"1",
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(
            b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9))
            for n in range(8)
        ),
        b"[" * 30_000,
        b"a: " + b"9" * 60_000,
        b'a: "\\ud800"',
    ]

    async def send() -> list[Any]:
        async with grpc.aio.insecure_channel(service.address) as channel:
            stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
            return await asyncio.gather(
                *(
                    stub.ValidateManifest(
                        admin_pb2.ValidateManifestRequest(manifest=bomb), timeout=60
                    )
                    for bomb in bombs
                ),
                return_exceptions=True,
            )

    return _statuses(asyncio.run(send()))


ATTACKS = (
    Attack("ranker", "1 MB of gzip that becomes 2 GB, at both ports", _gzip_flood),
    Attack("ranker", "20,000 requests begun and never ended, one connection", _half_open),
    Attack("ranker", "16,000 headers a call, settings never acknowledged", _unacknowledged_lists),
    Attack("corpus", "400 streams that nobody reads, 2 MiB chunks", _unread_streams),
    Attack("segment", "12 pictures of 63 MB at once", _many_pictures),
    Attack("segment", "12 pictures of 63 MB in one stream", _streamed_pictures),
    Attack("segment", "40 pictures of 63 MB, stopped before their end", _stalled_pictures),
    Attack("segment", "two pictures of 63 MB in each of 30 streams", _pictures_in_many_streams),
    Attack("ranker", "seven YAML bombs", _yaml_bombs),
)


BEHIND_ENVOY = Attack(
    "ranker", "16,000 headers a call, Envoy in front", _unacknowledged_lists_at_envoy
)


def behind_envoy(folder: Path, home: Path) -> list[Row]:
    """Attack the ranker through Envoy with the configuration of deploy/envoy."""
    return attacked(BEHIND_ENVOY, folder, home) if proxy.program() else []


def descriptors(folder: Path, home: Path) -> list[Row]:
    """A ranker with 128 descriptors, more connections than that, and none left."""
    variables = {
        "ASSAY_HOME": str(home),
        "ASSAY_RANKER_DATABASE": str(folder / "evidence.sqlite"),
    }
    what = "all file descriptors used up by connections (128)"
    if not os.access("/usr/bin/prlimit", os.X_OK):
        return []
    with Running(
        "ranker", folder, variables, prefix=("/usr/bin/prlimit", "--nofile=128")
    ) as service:
        warm = CALLS["ranker"](service.address)
        channels = [
            grpc.insecure_channel(service.address, options=(("a.number", number),))
            for number in range(200)
        ]
        for channel in channels:
            check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
            with contextlib.suppress(grpc.RpcError):
                check(b"", timeout=0.2)
        held = service.descriptors
        for channel in channels:
            channel.close()
        begun = time.monotonic()
        with Load(warm, clients=1) as load:
            load.answered(5, seconds=30)
        seconds = time.monotonic() - begun
        served = len(load.calls.seconds) >= 5
        alive = service.alive
    return [
        row(what, "processes that ended", float(not alive), 0, "", f"it held {held}"),
        row(what, "does not serve when they are closed", float(not served), 0, ""),
        row(what, "until five answers have come", seconds, 5, "s"),
    ]
