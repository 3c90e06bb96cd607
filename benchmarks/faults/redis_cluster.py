"""A Redis Cluster whose master is killed while a ranker compares."""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import time
from contextlib import ExitStack, closing, suppress
from itertools import combinations
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from assay_rpc.channel import connect
from assay_rpc.ranker.v1 import artifact_pb2, compare_pb2, ranker_pb2_grpc

from benchmarks.faults.load import Load, WrongAnswer
from benchmarks.faults.running import Running
from benchmarks.faults.table import Row, row

_SLOTS = 16_384
_MASTERS = 3
_CLIENTS = 4
_ARTIFACTS = 5
# Milliseconds after which a node counts as gone. While the cluster is made they are more: a busy
# machine may stop a node for seconds, and a lost greeting is not repeated.
_MAKING_MILLISECONDS, _NODE_MILLISECONDS = 30_000, 2_000
_PORTS = range(19_000, 20_000)
_SECONDS = 60.0


class Node:
    """One server of a cluster."""

    def __init__(self, program: str, folder: Path) -> None:
        """Start it."""
        self.port = node_port()
        folder.mkdir(parents=True)
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": folder,
            "save": '""',
            "cluster-enabled": "yes",
            "cluster-node-timeout": _MAKING_MILLISECONDS,
        }
        lines = [f"{name} {value}\n" for name, value in settings.items()]
        (folder / "redis.conf").write_text("".join(lines))
        self.process = subprocess.Popen(
            [program, str(folder / "redis.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.client = redis.Redis(port=self.port, decode_responses=True)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def ask(self, *words: str | int) -> Any:
        """Return its answer to a CLUSTER command."""
        return self.client.execute_command("CLUSTER", *words)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """End the server and the connection to it."""
        self.client.close()
        self.kill()


class Cluster:
    """Three masters with a replica each; node `n + 3` replicates node `n`."""

    def __init__(self, program: str, folder: Path) -> None:
        """Start the servers; `__enter__` makes them one cluster."""
        self._closing = ExitStack()
        self.nodes: list[Node] = []
        for number in range(2 * _MASTERS):
            node = self._closing.enter_context(closing(Node(program, folder / str(number))))
            self.nodes.append(node)

    @property
    def url(self) -> str:
        """The URL of the first node."""
        return f"redis://127.0.0.1:{self.nodes[0].port}/0"

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self._closing.close()
            raise
        return self

    def _make(self) -> None:
        for node in self.nodes:
            wait(lambda node=node: node.client.ping(), "a Redis does not answer")
        masters = self.nodes[:_MASTERS]
        for number, node in enumerate(masters):
            own = range(number * _SLOTS // _MASTERS, (number + 1) * _SLOTS // _MASTERS)
            node.ask("ADDSLOTS", *own)
        wait(lambda: all(met(node, self.nodes) for node in self.nodes), "nodes do not meet")
        for master, node in zip(masters, self.nodes[_MASTERS:], strict=True):
            node.ask("REPLICATE", master.ask("MYID"))
        for node in self.nodes:
            wait(lambda node=node: healthy(node), "the cluster is not made")
        for node in self.nodes[_MASTERS:]:
            wait(lambda node=node: follows(node), "a replica does not follow")
        for node in self.nodes:
            node.client.config_set("cluster-node-timeout", _NODE_MILLISECONDS)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()


def node_port() -> int:
    """Return a free port whose port + 10,000, the cluster bus, is free too.

    Both are below the ports that the system gives to connections, so neither is taken before use.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        with ExitStack() as probes:
            try:
                for number in (port, port + 10_000):
                    probe = probes.enter_context(socket.socket())
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no port of {_PORTS.start} to {_PORTS.stop - 1} is free for a node")


def met(node: Node, nodes: list[Node]) -> bool:
    """Whether the node knows all nodes. Greets those that it does not know."""
    known = str(node.ask("NODES"))
    missing = [other for other in nodes if f":{other.port}@" not in known]
    for other in missing:
        node.ask("MEET", "127.0.0.1", other.port)
    return not missing and "handshake" not in known


def healthy(node: Node) -> bool:
    """Whether the node serves, and knows that all slots are served."""
    info: dict[str, Any] = node.client.cluster("info")
    return (info["cluster_state"], int(info["cluster_known_nodes"])) == ("ok", 2 * _MASTERS)


def follows(node: Node) -> bool:
    """Whether the replica has its master's values."""
    info = node.client.info("replication")
    return (info["role"], info.get("master_link_status")) == ("slave", "up")


def wait(true: Any, problem: str) -> None:
    """Return once the condition is true. Raises RuntimeError after a while."""
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        with suppress(redis.RedisError):
            if true():
                return
        time.sleep(0.05)
    raise RuntimeError(problem)


def compared(target: str) -> Any:
    """Compare the pairs of some artifacts; every answer must equal the pair's first one."""
    stub = ranker_pb2_grpc.RankerServiceStub(connect(target))
    listed = stub.ListArtifacts(artifact_pb2.ListArtifactsRequest()).artifacts[:_ARTIFACTS]
    requests = [
        compare_pb2.CompareRequest(left=one.id, right=other.id)
        for one, other in combinations(listed, 2)
    ]

    def said(request: compare_pb2.CompareRequest) -> tuple[str, ...]:
        reply = stub.Compare(request)
        return (reply.left.artifact.id, reply.right.artifact.id, str(reply.summary))

    right = [said(request) for request in requests]

    async def call(number: int) -> None:
        place = number % len(requests)
        if await asyncio.to_thread(said, requests[place]) != right[place]:
            raise WrongAnswer("another comparison than before")

    return call


def master_killed(program: str, folder: Path, home: Path) -> list[Row]:
    """Kill the master whose address the ranker has, and let its replica take over."""
    with Cluster(program, folder / "cluster") as cluster:
        variables = {
            "ASSAY_HOME": str(home),
            "ASSAY_RANKER_DATABASE": str(folder / "evidence.sqlite"),
            "REDIS_URL": cluster.url,
            "ASSAY_RANKER_REDIS_CLUSTER": "true",
        }
        with Running("ranker", folder, variables) as ranker:
            killed, replica = cluster.nodes[0], cluster.nodes[_MASTERS]
            with Load(compared(ranker.address), clients=_CLIENTS) as load:
                load.answered(100)
                used = ranker.sample("assay_ranker_cache_seconds_count", status="HIT") > 0
                kept = bool(killed.client.dbsize())
                killed.kill()
                begun = time.monotonic()
                load.answered(100)
                wait(lambda: replica.client.info("replication")["role"] == "master", "no failover")
                seconds = time.monotonic() - begun
                # The old values are discarded: the ranker has to write them again.
                replica.client.flushdb()
                load.answered(100)
                again = _becomes(lambda: replica.client.dbsize() > 0)
                hits = ranker.sample("assay_ranker_cache_seconds_count", status="HIT")
                served = _becomes(
                    lambda: ranker.sample("assay_ranker_cache_seconds_count", status="HIT") > hits
                )
            calls = load.calls
    what = "Redis Cluster, kill -9 of one of three masters"
    says = f"{len(calls.seconds):,} calls; its replica took over after {seconds:.1f} s"
    return [
        row(what, "failed comparisons", len(calls.failed), 0, "", says),
        row(what, "wrong comparisons", len(calls.wrong), 0, ""),
        row(what, "slowest comparison", calls.worst, 1, "s"),
        row(what, "it was not used before", float(not (used and kept)), 0, ""),
        row(what, "nothing is written to the new master", float(not again), 0, ""),
        row(what, "nothing is served from the cluster again", float(not served), 0, ""),
    ]


def _becomes(true: Any) -> bool:
    try:
        wait(true, "")
    except RuntimeError:
        return False
    return True
