"""What the metrics page says of the queues, read as Prometheus reads it."""

from __future__ import annotations

import asyncio
import urllib.request

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.segment.api.test_segment import request
from tests.segment.conftest import Client, Start

SECONDS = 60


async def values(client: Client) -> dict[str, float]:
    """Return the value of each sample of the tiny model by its name and reason."""
    page = f"http://127.0.0.1:{client.server.metrics_port}/metrics"

    def read() -> str:
        with urllib.request.urlopen(page, timeout=SECONDS) as reply:  # our own page
            return str(reply.read().decode())

    return {
        " ".join([sample.name, *filter(None, [sample.labels.get("reason")])]): sample.value
        for family in text_string_to_metric_families(await asyncio.to_thread(read))
        for sample in family.samples
        if sample.labels.get("model") == "tiny"
    }


async def test_batches_and_refusals_are_counted_and_the_queue_is_seen(start: Start) -> None:
    # One client may have two of three places: the last one is for others.
    client = await start(queue_items=3, max_batch=3, batch_window_seconds=10)
    calls = [client.segment.SegmentImage(request(), timeout=SECONDS) for _ in range(2)]
    while (held := await values(client))["assay_segment_waiting"] < 2:
        pass
    assert held["assay_segment_requests"] == 2
    assert held["assay_segment_held_bytes"] >= 2 * len(request().image.encoded)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.segment.SegmentImage(request(), timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for call in calls:
        call.cancel()
    while (left := await values(client))["assay_segment_requests"]:
        pass
    assert left["assay_segment_held_bytes"] == 0
    assert left["assay_segment_refused_total OVERLOADED"] == 1
    assert left["assay_segment_refused_total DEADLINE_EXCEEDED"] == 0
    assert left["assay_segment_batch_size_count"] == 0


async def test_a_batch_counts_its_pictures(start: Start) -> None:
    client = await start(max_batch=2, batch_window_seconds=10)
    await asyncio.gather(
        *(client.segment.SegmentImage(request(), timeout=SECONDS) for _ in range(2))
    )
    found = await values(client)
    assert found["assay_segment_batch_size_count"] == 1
    assert found["assay_segment_batch_size_sum"] == 2
