"""Rows of the fault matrix that tests cover, and rows that cannot be run here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
TESTS: dict[str, tuple[str, ...]] = {
    "kill -9, SIGTERM, SIGSTOP of each service under load": (
        "tests/integration/test_replicas.py",
        "tests/rpc/serving/test_run.py",
    ),
    "Redis killed, hung, full, wrong password, read-only, Sentinel": (
        "tests/ranker/cache/test_cache.py",
        "tests/ranker/cache/test_cache_shared.py",
    ),
    "PostgreSQL stopped, and a ranker killed": ("tests/integration/test_shared_evidence.py",),
    "disk full: index, journal, build, models, frame cache": (
        "tests/corpus/shards/index/test_job.py::test_a_full_disk_is_told_and_gone_on_from",
        "tests/corpus/shards/index/test_index.py::test_a_full_disk_is_told_and_gone_on_from",
        "tests/corpus/bpb/test_journal.py::test_a_full_disk_is_said_and_loses_nothing",
        "tests/segment/serving/test_desired.py::test_a_full_disk_keeps_what_was_wanted",
        "tests/corpus/storage/test_frame_cache.py::test_a_disk_that_cannot_be_written_keeps_nothing",
    ),
    "a truncated, bit-flipped or wrong-type shard; zstd bombs": (
        "tests/corpus/shards/test_decoder.py",
        "tests/corpus/shards/test_frames.py",
        "tests/corpus/shards/test_files.py",
    ),
    "damaged pictures, picture bombs, odd modes": (
        "tests/segment/images/test_limits.py",
        "tests/segment/images/test_decode.py",
        "tests/segment/images/test_fuzz.py",
    ),
    "compression bombs, connections and streams without end": (
        "tests/rpc/test_limits.py",
        "tests/integration/test_freed_memory.py",
    ),
    "random and damaged messages to every method": ("tests/integration/test_fuzzed_rpcs.py",),
    "a message over the limit, a deadline already past, a caller that leaves": (
        "tests/rpc/serving/test_server.py::test_a_message_over_the_limit_is_resource_exhausted",
        "tests/rpc/serving/test_interceptor.py",
    ),
    "no token, wrong role, expired or foreign certificate, malformed": (
        "tests/rpc/access",
        "tests/integration/test_access.py",
        "tests/rpc/serving/test_decoding.py",
    ),
    "certificates and authorities of services and of Redis replaced under load": (
        "tests/integration/test_certificate_rotation.py",
        "tests/integration/test_redis_rotation.py",
    ),
    "Envoy in front: replicas killed, hung and ended; too many headers": (
        "tests/integration/test_envoy.py",
        "tests/deploy/test_envoy.py",
    ),
    "every reason of the contract, from a real call": ("tests/integration/test_error_reasons.py",),
    "clock jumps, 1,000 at once (in one process)": (
        "tests/ranker/cache/test_cache.py",
        "tests/segment/batching/test_batcher.py",
    ),
}
NOT_RUN = {
    "a real jump of the system's clock": "it would jump for everything on the machine; tests have "
    "clocks of their own",
    "packets lost between machines": "one machine; a replica that hangs (SIGSTOP) loses them all",
}


def tested(fault: str) -> dict[str, str]:
    """Run the tests of a row; return its cells in the table."""
    paths = TESTS[fault]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "--durations=0", *paths],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    last = next(
        (
            line
            for line in reversed(done.stdout.splitlines())
            if "passed" in line or "failed" in line or "skipped" in line
        ),
        "",
    )
    result = "passed" if done.returncode == 0 else f"**failed**: {last}"
    print(f"{fault}: {result} {last}", flush=True)
    names = ", ".join(f"`{path.rpartition('/')[2]}`" for path in paths)
    return {"fault": fault, "tests": names, "result": result}
