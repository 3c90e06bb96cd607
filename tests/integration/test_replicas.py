"""Replicas that hang, are killed and stop under load: no call of a client fails, or is wrong."""

import asyncio
import json
import signal
import threading
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from assay_rpc.channel import connect_async
from assay_rpc.corpus import CorpusStream
from assay_rpc.corpus.v1 import selection_pb2
from assay_rpc.ranker.v1 import compare_pb2, ranker_pb2_grpc
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from tests.corpus.stream.test_indexed import make_corpus
from tests.ports import free_port
from tests.segment import tiny_model
from tests.segment.api.test_segment import png

# A channel finds a server that hangs by its pings, within 3 s.
SECONDS = 120
CLIENTS = 4


class Replicas:
    """Two of one service, and the name under which a client finds both."""

    def __init__(self, start: Callable[..., Any], name: str, *variables: dict[str, str]) -> None:
        """`variables` of each."""
        port = f"ASSAY_{name.upper()}_PORT"
        self._start, self._name = start, name
        self._variables = [own | {port: str(free_port())} for own in variables]
        self.running = [start(name, own) for own in self._variables]
        self.target = "ipv4:" + ",".join(service.address for service in self.running)

    def again(self, index: int) -> None:
        """Start a replica where the one before it was."""
        self.running[index] = self._start(self._name, self._variables[index])


class Load:
    """Clients that call in a loop. An error of one ends the test."""

    def __init__(self) -> None:
        self._answered: list[int] = []  # by client
        self._over = threading.Event()
        self._clients: list[asyncio.Future[None]] = []

    def begin(self, call: Callable[[], Awaitable[None]]) -> None:
        """Call in a loop of the event loop."""

        async def client(number: int) -> None:
            while not self._over.is_set():
                await call()
                self._answered[number] += 1

        self._clients.append(asyncio.ensure_future(client(len(self._answered))))
        self._answered.append(0)

    def begin_blocking(self, call: Callable[[], None]) -> None:
        """Call in a loop of a thread."""
        self.begin(lambda: asyncio.to_thread(call))

    async def more(self) -> None:
        """Return when each client has had an answer to a call that began after this one."""
        wanted = [answered + 2 for answered in self._answered]
        async with asyncio.timeout(SECONDS):
            while any(map(int.__lt__, self._answered, wanted)):
                await asyncio.sleep(0.02)
                for client in self._clients:
                    if client.done():
                        client.result()

    async def end(self) -> None:
        """Let every client have its last answer."""
        self._over.set()
        await asyncio.gather(*self._clients)


def calls_of(service: Any) -> float:
    """How many calls of the service's own methods it has answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{service.metrics_port}/metrics") as page:
        families = list(text_string_to_metric_families(page.read().decode()))
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "grpc_server_handled_total"
        and sample.labels["grpc_code"] == "OK"
        and sample.labels["grpc_service"].startswith("assay.")
    )


async def is_called(service: Any) -> None:
    """Return when clients have found it."""
    before = await asyncio.to_thread(calls_of, service)
    async with asyncio.timeout(SECONDS):
        while await asyncio.to_thread(calls_of, service) == before:  # noqa: ASYNC110  # a process
            await asyncio.sleep(0.1)


async def through_every_fault(replicas: Replicas, load: Load) -> None:
    """Hang one, kill it, start it again, and stop the other."""
    first, second = replicas.running
    await load.more()
    second.process.send_signal(signal.SIGSTOP)
    # Calls that wait for the one that hangs are given up, and sent to the other.
    await load.more()
    second.process.send_signal(signal.SIGCONT)
    await is_called(second)
    second.kill()
    await load.more()
    await asyncio.to_thread(replicas.again, 1)
    await is_called(replicas.running[1])
    assert await asyncio.to_thread(first.stop) == 0
    await load.more()
    await load.end()
    assert await asyncio.to_thread(replicas.running[1].stop) == 0


async def segment(replicas: Replicas) -> None:
    """Label maps are those of the replica that nothing happened to."""
    request = segment_pb2.SegmentImageRequest(image=images_pb2.Image(encoded=png()))
    load = Load()
    async with connect_async(replicas.target) as channel:
        stub = segment_pb2_grpc.SegmentServiceStub(channel)
        right = (await stub.SegmentImage(request)).labels

        async def call() -> None:
            assert (await stub.SegmentImage(request)).labels == right

        for _ in range(CLIENTS):
            load.begin(call)
        await through_every_fault(replicas, load)


async def corpus(replicas: Replicas) -> None:
    """Streams give every document once, in the same order."""
    selection = selection_pb2.Selection(seed=2, epochs=3)
    load = Load()

    def read() -> list[str]:
        with CorpusStream(replicas.target, "c", selection=selection, chunk_bytes=4096) as stream:
            return [document.id for document in stream]

    right = await asyncio.to_thread(read)

    def call() -> None:
        assert read() == right

    for _ in range(CLIENTS):
        load.begin_blocking(call)
    await through_every_fault(replicas, load)


async def ranker(replicas: Replicas) -> None:
    """Comparisons say what they said before."""
    request = compare_pb2.CompareRequest(
        left="segformer-b4-finetuned-ade-512-512", right="the-pile"
    )
    load = Load()
    async with connect_async(replicas.target) as channel:
        stub = ranker_pb2_grpc.RankerServiceStub(channel)
        right = (await stub.Compare(request)).summary

        async def call() -> None:
            assert (await stub.Compare(request)).summary == right

        for _ in range(CLIENTS):
            load.begin(call)
        await through_every_fault(replicas, load)


async def test_no_call_fails(start_service: Any, tmp_path: Path) -> None:
    """All three at once, so that they start at once."""
    models = {"ASSAY_SEGMENT_MODELS": json.dumps([str(tiny_model.write(tmp_path))])}
    corpora = {"c": {"path": str(make_corpus(tmp_path)), "kind": "sample"}}
    shards = {"ASSAY_CORPUS_CORPORA": json.dumps(corpora)}
    # One ranker at a time writes a database.
    own = [{"ASSAY_RANKER_DATABASE": str(tmp_path / f"{one}.sqlite")} for one in range(2)]
    async with asyncio.TaskGroup() as faults:
        faults.create_task(segment(Replicas(start_service, "segment", models, models)))
        faults.create_task(corpus(Replicas(start_service, "corpus", shards, shards)))
        faults.create_task(ranker(Replicas(start_service, "ranker", *own)))
