"""A build on a real Ray cluster of two nodes on this machine, one of which is killed midway."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if "ASSAY_TEST_RAY" not in os.environ:
    # As in tests/corpus/bpb/cluster/test_ray_job.py.
    pytest.skip("starts a Ray cluster: set ASSAY_TEST_RAY=1", allow_module_level=True)
pytest.importorskip("ray", reason="needs the ray extra")
pytest.importorskip("rensa", reason="needs the build extra")

from ray.cluster_utils import Cluster

from services.corpus.build.cluster.ray_job import build_on_ray
from services.corpus.build.stages.sequence import Stage
from services.errors import SourceChanged
from tests.corpus.build.recipes import built, opened, tree, write_recipe

pytestmark = [
    pytest.mark.slow,
    # Ray's own processes and pipes outlive its clients.
    pytest.mark.filterwarnings("default"),
]

_QUICK_TO_NOTICE = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}


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


def test_a_killed_node_changes_no_byte(cluster: Any, tmp_path: Path) -> None:
    whole, _ = built(tmp_path, "whole")
    job = opened(write_recipe(tmp_path / "recipe"), tmp_path / "sources", tmp_path / "out")
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    seen: list[str] = []

    def progress(stage: Stage, done: int) -> None:
        if len(nodes) == 2 and done and stage.name.startswith("pairs"):
            cluster.remove_node(nodes.pop(), allow_graceful=False)
        seen.append(stage.name)

    build_on_ray(job, address=cluster.address, workers=2, progress=progress)
    assert len(nodes) == 1
    assert seen[-1] == "describe"
    assert tree(tmp_path / "out") == tree(whole)


def test_what_a_task_raises_is_raised_here(cluster: Any, tmp_path: Path) -> None:
    built(tmp_path, "whole")
    job = opened(write_recipe(tmp_path / "recipe"), tmp_path / "sources", tmp_path / "out")
    (tmp_path / "sources/two/data.jsonl.zst").unlink()
    cluster.add_node(num_cpus=1)
    with pytest.raises(SourceChanged, match="put it back"):
        build_on_ray(job, address=cluster.address, workers=1)
