"""Certificates between the services, and their authority, replaced while two rankers are called.

The steps are those of docs/operations.md, "Rotation".
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
import trustme
from assay_rpc.channel import options, service_config
from assay_rpc.connection import Connection
from assay_rpc.ranker.v1 import (
    compare_pb2,
    evidence_pb2,
    ranker_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)

from benchmarks.faults.load import Load, WrongAnswer
from benchmarks.faults.running import Running

pytestmark = pytest.mark.process

B4, PILE = "segformer-b4-finetuned-ade-512-512", "the-pile"
NAMES = ("segment", "corpus", "ranker", "caller")
_NOT_SERVED = evidence_pb2.NotMeasured.REASON_NOT_SERVED
SECONDS = 120


class Secrets:
    """A folder for each Secret, with its ca.crt, tls.crt and tls.key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = trustme.CA()
        self.trust(self.authority)
        self.renew()

    def file(self, name: str, key: str) -> Path:
        return self._folder / name / key

    def trust(self, *authorities: trustme.CA) -> None:
        """Write the ca.crt of every Secret."""
        content = b"".join(one.cert_pem.bytes() for one in authorities)
        for name in NAMES:
            self._write(name, "ca.crt", content)

    def renew(self) -> None:
        """Issue every certificate anew."""
        for name in NAMES:
            made = self.authority.issue_cert("localhost", common_name=name)
            self._write(name, "tls.crt", b"".join(one.bytes() for one in made.cert_chain_pems))
            self._write(name, "tls.key", made.private_key_pem.bytes())

    def _write(self, name: str, key: str, content: bytes) -> None:
        """Another file in the place of the first, as Kubernetes puts it."""
        place = self.file(name, key)
        place.parent.mkdir(parents=True, exist_ok=True)
        new = place.with_suffix(".new")
        new.write_bytes(content)
        new.replace(place)

    def settings(self, name: str) -> dict[str, str]:
        """The variables of a service."""
        own = {"TLS_CERT": "tls.crt", "TLS_KEY": "tls.key", "TLS_CLIENT_CA": "ca.crt"}
        peers = {"PEER_TLS_CA": "ca.crt", "PEER_TLS_CERT": "tls.crt", "PEER_TLS_KEY": "tls.key"}
        given = own | (peers if name == "ranker" else {})
        return {
            f"ASSAY_{name.upper()}_{variable}": str(self.file(name, key))
            for variable, key in given.items()
        }

    def channel(self, *addresses: str) -> grpc.Channel:
        """A channel to replicas of the name localhost, with the files as they are now."""
        ca, cert, key = (self.file("caller", one) for one in ("ca.crt", "tls.crt", "tls.key"))
        to = Connection(f"ipv4:{','.join(addresses)}", ca=ca, cert=cert, key=key)
        credentials = to.credentials()
        assert credentials is not None
        # A ranker that is replaced on a busy machine is away for longer than a short call's limit.
        config = json.loads(service_config())
        for method in config["methodConfig"]:
            method.pop("timeout", None)
        given = dict(options(to)) | {
            "grpc.default_authority": "localhost",
            "grpc.service_config": json.dumps(config),
        }
        return grpc.secure_channel(to.name, credentials, options=list(given.items()))


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path / "secrets")


@pytest.fixture
def rankers(secrets: Secrets, tmp_path: Path, assay_home: Path) -> Iterator[list[Running]]:
    """Two rankers of one segment and one corpus."""
    home = {"ASSAY_HOME": str(assay_home)}
    with ExitStack() as stack:
        peers = {
            name: stack.enter_context(Running(name, tmp_path / name, home | secrets.settings(name)))
            for name in ("segment", "corpus")
        }
        addresses = {
            f"ASSAY_RANKER_{name.upper()}_ADDR": f"localhost:{one.port}"
            for name, one in peers.items()
        }
        yield [
            stack.enter_context(
                Running(
                    "ranker",
                    tmp_path / f"ranker-{number}",
                    home
                    | addresses
                    | secrets.settings("ranker")
                    | {"ASSAY_RANKER_DATABASE": str(tmp_path / f"{number}.sqlite")},
                )
            )
            for number in range(2)
        ]


class Callers:
    """Loads of both rankers: comparisons of either, and verifications of each."""

    def __init__(self, secrets: Secrets, rankers: list[Running]) -> None:
        self._secrets, self._rankers = secrets, rankers
        self._stack = ExitStack()
        self.loads: list[Load] = []
        self._running: list[Load] = []
        self.restart()

    def restart(self) -> None:
        """Others begin, which read their files now; then those before them end."""
        before, self._stack = self._stack, ExitStack()
        addresses = [one.address for one in self._rankers]
        calls = [(self._compares(*addresses), 2, 10)]
        calls += [(self._verifies(one), 1, 2) for one in addresses]
        self._running = [Load(call, clients=many, rate=rate) for call, many, rate in calls]
        for load in self._running:
            self._stack.enter_context(load)
        self.loads += self._running
        self.answered()
        before.close()

    def answered(self) -> None:
        """Return once calls of each kind have begun and ended."""
        for load in self._running:
            load.answered(3)

    def end(self) -> None:
        self._stack.close()

    def _channel(self, *addresses: str) -> grpc.Channel:
        channel = self._secrets.channel(*addresses)
        self._stack.callback(channel.close)
        return channel

    def _compares(self, *addresses: str) -> Callable[[int], Awaitable[None]]:
        stub = ranker_pb2_grpc.RankerServiceStub(self._channel(*addresses))
        request = compare_pb2.CompareRequest(left=B4, right=PILE)

        async def call(_: int) -> None:
            await asyncio.to_thread(stub.Compare, request, timeout=SECONDS)

        return call

    def _verifies(self, address: str) -> Callable[[int], Awaitable[None]]:
        """Claims of which segment and corpus say that they do not serve what they are about."""
        channel = self._channel(address)
        stub = verification_pb2_grpc.VerificationServiceStub(channel)
        first = len(self.loads)

        def verify(number: int) -> None:
            for artifact, claim in ((PILE, "P3.1"), (B4, "S4.1")):
                name = f"{artifact}/{claim}"
                request = verification_pb2.SubmitVerificationRequest(
                    artifact=artifact, claims=[name], request_id=f"{claim} {first} {number}"
                )
                submitted = stub.SubmitVerification(request, timeout=SECONDS, wait_for_ready=True)
                job = submitted.job
                while not job.HasField("end_time"):
                    time.sleep(0.1)
                    job = stub.GetJob(
                        verification_pb2.GetJobRequest(job=job.id), timeout=SECONDS
                    ).job
                watch = verification_pb2.WatchJobRequest(job=job.id)
                updates = stub.WatchJob(watch, timeout=SECONDS, wait_for_ready=True)
                results = [one.result for one in updates if one.HasField("result")]
                if [one.not_measured.reason for one in results] != [_NOT_SERVED]:
                    raise WrongAnswer(str(results))

        async def call(number: int) -> None:
            await asyncio.to_thread(verify, number)

        return call


def restart(rankers: list[Running], callers: Callers) -> None:
    """One after the other, as a rolling update does."""
    for one in rankers:
        one.stop()
        one.start()
        callers.answered()


def test_certificates_and_their_authority_are_replaced_under_load(
    secrets: Secrets, rankers: list[Running]
) -> None:
    callers = Callers(secrets, rankers)
    try:
        # The ranker's certificate, which it shows segment and corpus.
        secrets.renew()
        callers.answered()
        restart(rankers, callers)
        # The authority: both are trusted, all certificates are of the new one, it alone is trusted.
        old = secrets.authority
        secrets.authority = trustme.CA()
        secrets.trust(old, secrets.authority)
        callers.restart()
        restart(rankers, callers)
        secrets.renew()
        callers.answered()
        restart(rankers, callers)
        callers.restart()
        secrets.trust(secrets.authority)
        callers.answered()
        restart(rankers, callers)
    finally:
        callers.end()
    for load in callers.loads:
        assert not load.calls.failed
        assert not load.calls.wrong
        assert load.calls.seconds
