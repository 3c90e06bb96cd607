"""Attacks running services, makes them fail, and reports the effect.

    python -m benchmarks.faults [--only WORD] [--no-tests] [--no-result] [--note TEXT]

With --only, the other rows of the result keep their earlier values, date and machine, and the page
says when and where the rows of this run were measured.

Uses real processes, a real Redis and PostgreSQL, signals, and control groups with the manifests'
memory limits if this process may make them. Rows of the matrix that tests cover are run as tests.
Takes about a quarter of an hour. Exits with 1 if a bound was not held or a test failed.

Writes results/faults.json and docs/faults.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from benchmarks import report
from benchmarks.faults import capacity, redis_cluster, replicas, stores
from benchmarks.faults.attacks import ATTACKS, attacked, behind_envoy, descriptors
from benchmarks.faults.matrix import NOT_RUN, TESTS, tested
from benchmarks.faults.table import RESULT, Row, merged, row, write_page
from benchmarks.faults.watchers import watched
from tests.postgres import programs

Step = Callable[[Path, Path], list[Row]]


def _replicas(name: str) -> Step:
    def step(folder: Path, home: Path) -> list[Row]:
        own = [
            {
                "ASSAY_HOME": str(home),
                # Only one ranker at a time may write an SQLite file.
                "ASSAY_RANKER_DATABASE": str(folder / f"{number}.sqlite"),
            }
            for number in range(2)
        ]
        pair = replicas.pair(name, folder, own)
        try:
            return [
                found
                for fault in (replicas.rolling_restart, replicas.killed, replicas.hung)
                for found in fault(pair)
            ]
        finally:
            for one in pair:
                one.stop()

    return step


def _cold_start(name: str, at_most: float) -> Step:
    def step(folder: Path, home: Path) -> list[Row]:
        variables = {
            "ASSAY_HOME": str(home),
            "ASSAY_RANKER_DATABASE": str(folder / "evidence.sqlite"),
        }
        return capacity.cold_start(name, at_most, folder, variables)

    return step


def _redis(folder: Path, home: Path) -> list[Row]:
    program = stores.redis_program()
    return stores.redis_killed(program, folder, home) if program else []


def _cluster(folder: Path, home: Path) -> list[Row]:
    program = stores.redis_program()
    return redis_cluster.master_killed(program, folder, home) if program else []


def _postgres(folder: Path, home: Path) -> list[Row]:
    where = programs()
    return stores.postgres_restarted(where, folder, home) if where else []


def steps() -> dict[str, Step]:
    """Everything that is measured, by name."""
    found: dict[str, Step] = {
        f"attack: {attack.what}": partial(attacked, attack) for attack in ATTACKS
    }
    found |= {"envoy": behind_envoy, "descriptors": descriptors, "watchers": watched}
    found |= {f"replicas: {name}": _replicas(name) for name in ("segment", "corpus", "ranker")}
    found |= {"redis": _redis, "redis cluster": _cluster, "postgres": _postgres}
    found |= {"overload": capacity.overload, "overload: B0": capacity.overload_b0}
    return found | {
        "start: segment": _cold_start("segment", 5),
        "start: ranker": _cold_start("ranker", 2),
    }


def main() -> int:
    """Run the suite."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="steps whose name has this")
    parser.add_argument("--no-tests", action="store_true", help="only what is measured")
    parser.add_argument("--no-result", action="store_true", help="write nothing")
    parser.add_argument("--note", default="", help="what a reader must know of this run")
    options = parser.parse_args()
    machine = report.hardware()
    rows: list[Row] = []
    not_run = dict(NOT_RUN)
    with tempfile.TemporaryDirectory(prefix="assay-faults-") as scratch:
        folder = Path(scratch)
        # PostgreSQL refuses to run as root, and its other user must reach the folder.
        for number, (name, step) in enumerate(steps().items()):
            if options.only not in name:
                continue
            print(f"== {name}", flush=True)
            try:
                found = step(folder / str(number), folder / "home")
            except (RuntimeError, OSError, grpc.RpcError) as error:
                found = [row(name, "did not run to its end", 1, 0, "", str(error)[:300])]
            rows += found
            if not found:
                not_run[name] = "what it needs is not installed here"
    tests: list[dict[str, str]] = []
    before = json.loads(RESULT.read_text("utf-8")) if options.only and RESULT.exists() else {}

    not_run |= {
        one["fault"]: one["why"]
        for one in before.get("not_run", [])
        if one["fault"] in steps() and options.only not in one["fault"]
    }
    noted: dict[str, Any] = {key: before[key] for key in ("date", "hardware") if key in before}
    faults = ", ".join(dict.fromkeys(one["what"].split("; ")[0] for one in rows))
    now = f"Measured later ({machine}): {faults}." if before and faults else ""
    if note := " ".join(one for one in (before.get("note"), now, options.note) if one):
        noted["note"] = note

    def save() -> None:
        if options.no_result:
            return
        report.write(
            "faults",
            merged(before.get("rows", []), rows, "what"),
            packages=("grpcio", "protobuf", "openvino", "redis"),
            tests=merged(before.get("tests", []), tests, "fault"),
            **noted,
            not_run=[{"fault": fault, "why": why} for fault, why in not_run.items()],
        )
        write_page()

    save()
    for fault in [] if options.no_tests else [one for one in TESTS if options.only in one]:
        tests.append(tested(fault))
        save()  # results stay if a later fault is interrupted
    missed = [one["what"] for one in rows if one["ours"] > one["theirs"]]
    for one in missed:
        print(f"not held: {one}")
    return 1 if missed or any(one["result"] != "passed" for one in tests) else 0


if __name__ == "__main__":
    sys.exit(main())
