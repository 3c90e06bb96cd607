"""Compares our service over loopback with transformers' pipeline: one client, B0.

    python -m benchmarks.segment.pipeline [--rounds N] [--seconds S] [--pictures N]

Needs the real data (ASSAY_TEST_DATA): the real B0 and photographs, as JPEG files of 1024 x 768.
Both sides take the bytes of a file. The pipeline, in its own process and environment, gives masks
as in its guide; the service gives raw labels to a client in a third process. Rounds alternate
(--pictures for the pipeline, --seconds for ours); figures are medians of the rounds.

Writes results/segment/pipeline.json.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
from typing import Any

from benchmarks import load, report
from benchmarks.segment.peers import agreement, ours
from benchmarks.segment.setting import ROOT, Setting, finish, parse

TARGETS = {"fp32": 9.0, "bf16": 14.0}


class Pipeline:
    """transformers' pipeline in a process of its own."""

    def __init__(self, setting: Setting) -> None:
        self._process = subprocess.Popen(
            [
                setting.python("segment"),
                *("-m", "benchmarks.peers.segment_pipeline", setting.checkpoint),
                *setting.pictures(),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.versions: dict[str, str] = self._answer()

    def measure(self, count: int) -> list[float]:
        """Label `count` pictures one after another; return the seconds of each."""
        if self._process.stdin is None:
            raise SystemExit("the pipeline's process has no input")
        print(count, file=self._process.stdin, flush=True)
        seconds: list[float] = self._answer()
        return seconds

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise SystemExit("the pipeline's process ended")
        return json.loads(line)


def main() -> None:
    """Run the rounds and write the result."""
    setting, options = parse(__doc__, rounds=5, seconds=4.0, pictures=12)
    model = setting.real_b0()
    pipeline = Pipeline(setting)
    theirs: list[list[float]] = []
    results: dict[str, list[load.Result]] = {name: [] for name in options.precisions}
    with contextlib.ExitStack() as stack:
        sides = {
            name: stack.enter_context(ours(setting, model, name)) for name in options.precisions
        }
        labels = {side.name: side.labels() for side in sides.values()}
        pipeline.measure(2)
        for turn in range(options.rounds):
            theirs.append(pipeline.measure(options.pictures))
            for name, side in sides.items():
                result = side.under(load.Closed(1, options.seconds))
                results[name].append(result.require_success())
            print(f"round {turn + 1} of {options.rounds}", flush=True)
        pipeline.close()
    rows = []
    for name in options.precisions:
        rates = [result.rate for result in results[name]]
        rows.append(
            report.row(
                f"B0 in {name}, a JPEG file of 1024 x 768 to labels, one client, over loopback",
                "transformers pipeline, in its own process",
                statistics.median(rates),
                statistics.median(len(seconds) / sum(seconds) for seconds in theirs),
                "pictures a second",
                target=TARGETS[name],
            )
        )
    latencies = {
        side.name: [second for result in results[name] for second in result.latencies]
        for name, side in sides.items()
    } | {"pipeline": [second for seconds in theirs for second in seconds]}
    finish(
        options,
        "segment/pipeline",
        rows,
        peer_versions=pipeline.versions,
        milliseconds={
            name: {
                "p50": round(1e3 * load.percentile(values, 0.5), 1),
                "p99": round(1e3 * load.percentile(values, 0.99), 1),
            }
            for name, values in latencies.items()
        },
        labels_that_agree_with_the_first=agreement(labels),
    )


if __name__ == "__main__":
    main()
