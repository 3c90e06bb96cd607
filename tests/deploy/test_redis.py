"""The Redis of the manifests: how rankers find it and get in, and what its script starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from services.ranker.cache import redis as redis_store
from services.ranker.cache.redis import RedisOptions, RedisStore
from services.ranker.cache.store import StoreRefusedError, StoreUnavailableError
from services.ranker.settings import RankerSettings
from tests.deploy.redis_pods import PASSWORDS, START, Pods, redis_pods, started, write
from tests.deploy.test_manifests import container, of_kind, pod, settings

Object = dict[str, Any]
Render = Callable[[Sequence[str]], list[Object]]


def test_with_sentinels_the_ranker_asks_each_pod_by_its_name(
    with_components: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = with_components(["redis-sentinel", "network-policies", "postgres"])
    assert "redis" not in of_kind(rendered, "Deployment")
    loaded = settings(rendered, "ranker", monkeypatch)
    assert isinstance(loaded, RankerSettings)
    redis = of_kind(rendered, "StatefulSet")["redis"]["spec"]
    names = [f"redis-{n}.{redis['serviceName']}:26379" for n in range(redis["replicas"])]
    assert list(loaded.redis.sentinels) == names
    assert f"PEERS:-{' '.join(one.partition(':')[0] for one in names)}" in START.read_text("utf-8")
    assert f"sentinel monitor {loaded.redis.service} " in START.read_text("utf-8")
    (rule,) = of_kind(rendered, "NetworkPolicy")["redis"]["spec"]["ingress"]
    (expression,) = rule["from"][0]["podSelector"]["matchExpressions"]
    assert set(expression["values"]) == {"redis", "ranker", "ranker-operations"}
    assert {port["port"] for port in rule["ports"]} == {6379, 26379}


@pytest.mark.parametrize("place", [[], ["redis-sentinel"], ["redis-external"]], ids=str)
def test_with_auth_and_tls_rankers_and_servers_use_the_same_secrets(
    place: list[str], with_components: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = with_components(["redis-auth", "redis-tls", *place, "postgres"])
    loaded = settings(rendered, "ranker", monkeypatch)
    assert isinstance(loaded, RankerSettings)
    RedisStore(loaded.redis)  # the settings fit together
    assert loaded.redis_url.startswith("rediss://")
    for name in ("ranker", "ranker-operations"):
        ranker = of_kind(rendered, "Deployment")[name]
        given = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in container(ranker)["env"]}
        assert given["ASSAY_RANKER_REDIS_PASSWORD"] == {"name": "redis-auth", "key": "password"}
        assert given["ASSAY_RANKER_REDIS_USERNAME"]["key"] == "username"
        assert ("REDIS_URL" in given) == (place == ["redis-external"])
        mounts = {one["name"]: one["mountPath"] for one in container(ranker)["volumeMounts"]}
        volumes = {one["name"]: one for one in pod(ranker)["volumes"]}
        assert loaded.redis_tls_ca == Path(mounts["redis-tls"]) / "ca.crt"
        assert volumes["redis-tls"]["secret"]["secretName"] == "ranker-redis-tls"
    servers = [
        one
        for kind in ("Deployment", "StatefulSet")
        for name, one in of_kind(rendered, kind).items()
        if name == "redis"
    ]
    assert len(servers) == (place != ["redis-external"])
    for server in servers:
        volumes = {one["name"]: one for one in pod(server)["volumes"]}
        for box in pod(server)["containers"]:
            (source,) = box["envFrom"]
            told = of_kind(rendered, "ConfigMap")[source["configMapRef"]["name"]]["data"]
            assert told == {"REDIS_AUTH": "yes", "REDIS_TLS": "yes"}
            mounts = {one["mountPath"]: one["name"] for one in box["volumeMounts"]}
            assert volumes[mounts["/auth"]]["secret"]["secretName"] == "redis-auth"
            assert volumes[mounts["/tls"]]["secret"]["secretName"] == "redis-tls"


def test_a_redis_of_ones_own_takes_the_place_of_ours(with_components: Render) -> None:
    rendered = with_components(["redis-external"])
    for kind in ("Deployment", "Service", "NetworkPolicy", "StatefulSet"):
        assert "redis" not in of_kind(rendered, kind)


@pytest.mark.parametrize(
    ("role", "own", "known", "told"),
    [
        ("redis", "redis-0.redis", "", "replica-announce-ip redis-0.redis"),
        ("redis", "redis-1.redis", "", "replicaof redis-0.redis 6379"),
        ("redis", "redis-0.redis", "redis-2.redis", "replicaof redis-2.redis 6379"),
        ("sentinel", "redis-1.redis", "redis-2.redis", "monitor assay redis-2.redis 6379 2"),
        ("alone", "redis-0.redis", "redis-2.redis", "maxmemory-policy allkeys-lru"),
    ],
)
def test_a_redis_follows_the_primary_that_a_sentinel_names(
    tmp_path: Path, role: str, own: str, known: str, told: str
) -> None:
    programs = {
        # The second peer alone answers, when one is known.
        "redis-cli": f'[ "$2" = redis-1.redis ] && [ -n "{known}" ] && printf "%s\n6379\n" {known}',
        "redis-server": 'cat "$1"',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    done = started(tmp_path, {"SELF": own}, role)
    said, problem = done.communicate(timeout=60)
    assert (done.returncode, problem) == (0, "")
    assert told in said
    assert ("replicaof" in said) == told.startswith("replicaof")


@pytest.mark.parametrize(
    ("key", "value"), [("username", ""), ("password", "two words"), ("server-password", '"')]
)
def test_a_secret_that_cannot_be_used_is_named(tmp_path: Path, key: str, value: str) -> None:
    write(tmp_path, PASSWORDS | {key: value})
    done = started(tmp_path, {"REDIS_AUTH": "yes"}, "alone")
    assert f"the Secret redis-auth needs the key {key}" in done.communicate(timeout=60)[1]
    assert done.returncode == 1


def test_rankers_are_not_the_user_of_servers(tmp_path: Path) -> None:
    write(tmp_path, PASSWORDS | {"username": "default"})
    done = started(tmp_path, {"REDIS_AUTH": "yes"}, "alone")
    assert "username must not be default" in done.communicate(timeout=60)[1]
    assert done.returncode == 1


@pytest.fixture
def pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pods]:
    monkeypatch.setattr(redis_store, "TIMEOUT_SECONDS", 5.0)
    with redis_pods(tmp_path) as made:
        yield made


def options(pods: Pods, *, sentinel: bool, password: str = PASSWORDS["password"]) -> RedisOptions:
    first = pods.addresses[0]
    return RedisOptions(
        f"rediss://{first}:{pods.ports[0]}/0",
        sentinels=tuple(f"{one}:{pods.ports[1]}" for one in pods.addresses) if sentinel else (),
        service="assay",
        username=PASSWORDS["username"],
        password=password,
        tls_ca=pods.ca,
    )


@pytest.mark.process
async def test_a_redis_with_passwords_and_tls_serves_a_ranker_and_nobody_else(pods: Pods) -> None:
    first = pods.addresses[0]
    pods.start(first, "alone")
    assert pods.ready(first, pods.ports[0])
    store = RedisStore(options(pods, sentinel=False))
    await store.ping()
    assert await store.add("lease:a", b"1", 60)
    await store.set("cmp:a", b"value", 60)
    assert await store.get("cmp:a") == b"value"
    await store.remove("lease:a")
    assert await store.remove_all("cmp:", "a") == 1
    await store.close()
    wrong = RedisStore(options(pods, sentinel=False, password="guessed"))  # noqa: S106
    with pytest.raises((StoreRefusedError, StoreUnavailableError)):
        await wrong.ping()
    await wrong.close()
    address = f"{first}:{pods.ports[0]}/0?protocol=2"
    ca = str(pods.ca)
    login = f"{PASSWORDS['username']}:{PASSWORDS['password']}"
    with redis.Redis.from_url(f"rediss://{login}@{address}", ssl_ca_certs=ca) as ranker:
        for command in ("FLUSHALL", "CONFIG GET *", "KEYS *", "CLIENT KILL ADDR 1", "GET a"):
            with pytest.raises(redis.ResponseError, match=r"(?i)no permissions"):
                ranker.execute_command(*command.split())
    with (
        redis.Redis.from_url(f"rediss://{address}", ssl_ca_certs=ca) as anybody,
        pytest.raises(redis.AuthenticationError),
    ):
        anybody.ping()
    with (
        redis.Redis.from_url(f"redis://{address}") as without_tls,
        pytest.raises(redis.ConnectionError),
    ):
        without_tls.ping()


@pytest.mark.process
async def test_sentinels_with_passwords_and_tls_make_another_redis_the_primary(pods: Pods) -> None:
    for role, port in zip(("redis", "sentinel"), pods.ports, strict=True):
        for address in pods.addresses:
            pods.start(address, role)
        for address in pods.addresses:
            assert pods.ready(address, port)
    store = RedisStore(options(pods, sentinel=True))
    await store.set("cmp:a", b"value", 60)
    # Both others follow before the first one goes.
    with pods.client(pods.addresses[1], pods.ports[1]) as sentinel:
        for _ in range(300):
            seen = sentinel.sentinel_master("assay")
            if (int(seen["num-slaves"]), int(seen["num-other-sentinels"])) == (2, 2):
                break
            await asyncio.sleep(0.1)
    for role in ("sentinel", "redis"):
        pods.kill(pods.addresses[0], role)
    for _ in range(600):
        with suppress(StoreRefusedError, StoreUnavailableError):
            await store.set("cmp:b", b"another", 60)
            break
        await asyncio.sleep(0.1)
    assert await store.get("cmp:b") == b"another"
    await store.close()
    # Back in its place, the first one follows the one that took it.
    pods.start(pods.addresses[0], "redis")
    assert pods.ready(pods.addresses[0], pods.ports[0])
    server = PASSWORDS["server-password"]
    with pods.client(pods.addresses[0], pods.ports[0], server) as first:
        assert first.info("replication")["role"] == "slave"
