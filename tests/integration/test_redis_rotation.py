"""Certificates of Redis and their authority, replaced while two rankers are called."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks.faults.callers import ranker_call
from benchmarks.faults.load import Load
from benchmarks.faults.replicas import pair, target_of
from benchmarks.faults.running import Running
from tests.deploy.redis_pods import PASSWORDS, Pods, redis_pods

pytestmark = pytest.mark.process

SECONDS = 60


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    with redis_pods(tmp_path / "pods") as made:
        yield made


@pytest.fixture
def rankers(pods: Pods, tmp_path: Path) -> Iterator[Callable[..., list[Running]]]:
    """Starts two rankers of a Redis, or of Sentinels."""
    running: list[Running] = []

    def start(*, sentinel: bool) -> list[Running]:
        first = f"rediss://{pods.addresses[0]}:{pods.ports[0]}/0"
        names = [f"{one}:{pods.ports[1]}" for one in pods.addresses]
        variables = {
            "REDIS_URL": first,
            "ASSAY_RANKER_REDIS_SENTINELS": json.dumps(names if sentinel else []),
            "ASSAY_RANKER_REDIS_SERVICE": "assay",
            "ASSAY_RANKER_REDIS_USERNAME": PASSWORDS["username"],
            "ASSAY_RANKER_REDIS_PASSWORD": PASSWORDS["password"],
            "ASSAY_RANKER_REDIS_TLS_CA": str(pods.ca),
        }
        files = [tmp_path / f"{number}.sqlite" for number in range(2)]
        own = [variables | {"ASSAY_RANKER_DATABASE": str(file)} for file in files]
        running.extend(pair("ranker", tmp_path / "rankers", own))
        return running

    yield start
    for one in running:
        one.stop()


def hits(ranker: Running) -> float:
    return ranker.sample("assay_ranker_cache_seconds_count", status="HIT")


def cached(rankers: Sequence[Running]) -> None:
    """Return once each ranker has answered from Redis; one asks a lost Redis each second."""
    before = [hits(one) for one in rankers]
    until = time.monotonic() + SECONDS
    while any(hits(one) <= found for one, found in zip(rankers, before, strict=True)):
        assert time.monotonic() < until, [one.said()[-2000:] for one in rankers]
        time.sleep(0.1)


def restart(rankers: Sequence[Running], load: Load) -> None:
    """One after the other, as a rolling update does."""
    for one in rankers:
        one.stop()
        one.start()
        load.answered(20)


def nothing_failed(load: Load) -> None:
    assert not load.calls.failed
    assert not load.calls.wrong


def test_a_redis_gets_another_certificate_and_another_authority(
    pods: Pods, rankers: Callable[..., list[Running]]
) -> None:
    address, port = pods.addresses[0], pods.ports[0]
    pods.start(address, "alone")
    assert pods.ready(address, port)
    both = rankers(sentinel=False)
    with Load(ranker_call(target_of(both)), clients=4, rate=40) as load:
        cached(both)
        # A certificate of the same authority: Redis alone is restarted.
        pods.renew_certificates()
        pods.kill(address, "alone")
        load.answered(20)
        pods.start(address, "alone")
        cached(both)
        # Of another authority, which rankers read when they start.
        pods.renew_certificates(new_authority=True)
        pods.kill(address, "alone")
        pods.start(address, "alone")
        assert pods.ready(address, port)
        load.answered(20)
        restart(both, load)
        cached(both)
    nothing_failed(load)


def test_redis_with_sentinels_gets_another_authority(
    pods: Pods, rankers: Callable[..., list[Running]]
) -> None:
    containers = dict(zip(("redis", "sentinel"), pods.ports, strict=True))
    for role in containers:
        for address in pods.addresses:
            pods.start(address, role)
    for address in pods.addresses:
        assert all(pods.ready(address, port) for port in pods.ports)
    both = rankers(sentinel=True)
    with Load(ranker_call(target_of(both)), clients=4, rate=40) as load:
        cached(both)
        pods.renew_certificates(new_authority=True)
        # The last pod first, each once the one before is ready: so a StatefulSet is updated.
        for address in reversed(pods.addresses):
            for role in containers:
                pods.kill(address, role)
            load.answered(20)
            for role, port in containers.items():
                pods.start(address, role)
                assert pods.ready(address, port)
        restart(both, load)
        cached(both)
    nothing_failed(load)
    # All agree again on one primary, which the others follow.
    server = PASSWORDS["server-password"]
    until = time.monotonic() + SECONDS
    while True:
        roles = []
        for address in pods.addresses:
            with pods.client(address, pods.ports[0], server) as one:
                roles.append(one.info("replication"))
        followed = [one for one in roles if one["role"] == "master"]
        if [one["connected_slaves"] for one in followed] == [2]:
            break
        assert time.monotonic() < until, roles
        time.sleep(0.2)
