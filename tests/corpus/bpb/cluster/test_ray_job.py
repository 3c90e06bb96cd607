"""A real Ray cluster of two nodes on this machine, one of which is killed midway."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

if "ASSAY_TEST_RAY" not in os.environ:
    # Its daemons need shared memory, ports and time that not every machine has; and a process that
    # has loaded it beside gRPC may die where it starts another one.
    pytest.skip("starts a Ray cluster: set ASSAY_TEST_RAY=1", allow_module_level=True)
pytest.importorskip("ray", reason="needs the ray extra")

from ray.cluster_utils import Cluster

from services.corpus.bpb.cluster.ray_job import run_on_ray
from services.corpus.bpb.cluster.unit_results import merge, write_result
from services.corpus.bpb.cluster.unit_scoring import UnitJob, UnitScorer
from services.errors import DataLoss
from tests.corpus.bpb.unit_jobs import make_job

pytestmark = [
    pytest.mark.slow,
    # Ray's own processes and pipes outlive its clients.
    pytest.mark.filterwarnings("default"),
]

# Not so quick that a node of a busy machine is taken for dead.
_QUICK_TO_NOTICE = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}


@pytest.fixture
def job(tmp_path: Path) -> UnitJob:
    return make_job(tmp_path)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": _QUICK_TO_NOTICE}
    )
    try:
        yield made
    finally:
        made.shutdown()  # type: ignore[no-untyped-call]


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_killed_node_changes_no_bit(job: UnitJob, cluster: Any, tmp_path: Path) -> None:
    scorer = UnitScorer(job)
    for unit in scorer.units:
        write_result(tmp_path / "alone", scorer.score(unit))
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()

    def kill_one(done: int, total: int) -> None:
        if done == total // 3 and nodes:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            nodes.clear()

    with capture_logs() as logs:
        run_on_ray(job, tmp_path / "ray", address=cluster.address, workers=2, progress=kill_one)
    assert not nodes
    assert {log["event"] for log in logs} == {"worker lost"}
    assert files(tmp_path / "ray") == files(tmp_path / "alone")
    ours, alone = merge(tmp_path / "ray").figures, merge(tmp_path / "alone").figures
    assert ours.totals.overall == alone.totals.overall
    assert ours.subsets == alone.subsets

    # A second run finds everything there, and needs no cluster.
    run_on_ray(job, tmp_path / "ray", address="nowhere:1", workers=2)

    # What a worker raises is what the caller gets, and finished units stay.
    shard = job.shards / "test.jsonl.zst" if isinstance(job.shards, Path) else None
    assert shard is not None
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    times = shard.stat()
    shard.write_bytes(data)
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a disk damages it: unnoticed
    with pytest.raises(DataLoss):
        run_on_ray(job, tmp_path / "damaged", address=cluster.address, workers=1)
