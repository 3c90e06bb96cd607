"""What the ranker's metrics page says of its cache, its jobs and its database."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from services.ranker.cache.cache import Cache
from services.ranker.cache.store import MemoryStore
from services.ranker.metrics import RankerMetrics
from tests.ranker.cache.test_cache import Counter


def registered(metrics: RankerMetrics) -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in metrics.collectors:
        registry.register(collector)
    return registry


async def test_the_caches_answers_are_counted_by_what_it_did(tmp_path: Path) -> None:
    metrics = RankerMetrics(tmp_path / "evidence.sqlite")
    value = registered(metrics).get_sample_value
    cache = Cache(MemoryStore(), schema=1, observe=metrics.observe_cache)
    for _ in range(3):
        await cache.get("key", Counter())
    counts = {
        status: value("assay_ranker_cache_seconds_count", {"status": status})
        for status in ("HIT", "MISS", "BYPASS")
    }
    assert counts == {"HIT": 2, "MISS": 1, "BYPASS": 0}
    await cache.close()


def test_jobs_and_disk_are_read_when_the_page_is(tmp_path: Path) -> None:
    database = tmp_path / "evidence.sqlite"
    metrics, jobs = RankerMetrics(database), {"QUEUED": 0, "RUNNING": 1}
    metrics.watch_jobs(jobs, jobs.__getitem__)
    value = registered(metrics).get_sample_value
    assert value("assay_ranker_database_bytes") == 0
    database.write_bytes(bytes(1000))
    database.with_name("evidence.sqlite-wal").write_bytes(bytes(50))
    jobs["QUEUED"] = 7
    assert value("assay_ranker_database_bytes") == 1050
    assert value("assay_ranker_jobs", {"state": "QUEUED"}) == 7
    assert value("assay_ranker_jobs", {"state": "RUNNING"}) == 1
    assert (value("assay_ranker_database_disk_free_bytes") or 0) > 0
