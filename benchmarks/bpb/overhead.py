"""What the service and Ray add to the scoring loop.

    python -m benchmarks.bpb.overhead [--model NAME] [--documents N] [--rounds N]

The model and documents of bpb/speed.py. Rows:

    service   ScoreBPB, wall clock, against the loop that it runs, in turns, the service warm
    ray       two Ray workers against one, from their first result on; needs two processors

Needs the real data (ASSAY_TEST_DATA). Writes results/bpb/overhead.json.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2, scoring_pb2_grpc, selection_pb2

from benchmarks import report
from benchmarks.bpb.setting import Setting, main
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory
from services.corpus.bpb.cluster.ray_job import run_on_ray
from services.corpus.bpb.cluster.unit_scoring import UnitJob
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.models.compute import OPENVINO, Compute
from services.corpus.shards.index.writer import IndexOptions, write_index
from services.corpus.shards.layout import find_shards

SHARD = "val.jsonl.zst"


def service(setting: Setting) -> Iterator[dict[str, Any]]:
    """Compare ScoreBPB, wall clock, with the loop, in a service of its own that is warm."""
    loop = setting.bare(Compute(OPENVINO))
    seconds = asyncio.run(_serve(setting, loop))
    yield report.row(
        "ScoreBPB over loopback",
        "the loop over score_document",
        *(seconds["service"], seconds["loop"], "seconds"),
        target=round(1 / 1.03, 3),
        less_is_better=True,
    )


async def _serve(setting: Setting, loop: Callable[[], int]) -> dict[str, float]:
    inventory = Inventory(
        corpora={"local": {"path": str(setting.data / "pile"), "kind": "sample", "source": "data"}},
        language_models={"local": setting.directory},
    )
    request = scoring_pb2.ScoreBPBRequest(
        corpus=selection_pb2.CorpusRef(name="local"),
        selection=selection_pb2.Selection(splits=["test"], max_documents=len(setting.documents)),
        model=common_pb2.ModelRef(name="local"),
        compute=scoring_pb2.Compute(engine=OPENVINO),
        fresh=True,  # or the second call is answered from the stored result of the first
    )
    timed: dict[str, list[float]] = {"service": [], "loop": []}
    async with Connection(inventory) as connection:
        stub = scoring_pb2_grpc.ScoringServiceStub(await connection.channel("corpus"))
        for _ in range(setting.rounds + 1):
            began = time.perf_counter()
            async for _update in stub.ScoreBPB(request, timeout=3600):
                pass
            timed["service"].append(time.perf_counter() - began)
            began = time.perf_counter()
            loop()
            timed["loop"].append(time.perf_counter() - began)
    return {side: statistics.median(values[1:]) for side, values in timed.items()}


def ray(setting: Setting) -> Iterator[dict[str, Any]]:
    """Compare the units a second of two workers with those of one, once they are at work."""
    shards = setting.folder / "indexed"
    source = next(s.file for s in find_shards(setting.data / "pile") if s.path == SHARD)
    write_index(source, SHARD, shards, IndexOptions(frame_bytes=64 << 10))
    job = UnitJob(
        *(shards, setting.folder / "cache", setting.directory),
        definition=Definition(512),
        compute=Compute(OPENVINO),
        unit_frames=1,
    )
    rates = {}
    for workers in (1, 2):
        times: list[float] = []
        run_on_ray(
            job,
            setting.folder / f"workers-{workers}",
            address=None,
            workers=workers,
            progress=lambda *_, times=times: times.append(time.perf_counter()),
        )
        # From the first result on: before it, the cluster and the model start.
        rates[workers] = (len(times) - 2) / (times[-1] - times[1])
    yield report.row(
        "units with two Ray workers", "with one", rates[2], rates[1], "units a second", target=1.8
    )


if __name__ == "__main__":
    sys.exit(main("bpb/overhead", __doc__, {"service": service, "ray": ray}, rounds=3))
