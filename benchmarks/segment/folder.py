"""How fast `assay segment FOLDER --out DIR` is, compared with the engine alone.

    python -m benchmarks.segment.folder [--rounds N] [--seconds S] [--models b0 b4]

Needs the real data (ASSAY_TEST_DATA): photographs as JPEG files of 1024 x 768, and the real B0; the
B4 has random weights, on which speed does not depend. The engine computes prepared inputs in this
process; the command starts its own service, reads files, and writes a PNG for each picture and a
table. Its rate is the one that it prints: pictures from the first file to the last table, without
the start of the service. Both use every processor, in alternating rounds.

Processor seconds a picture are reported too, for the command with all processes that it started:
their ratio depends less on other work on the machine than the ratio of the rates.

Writes results/segment/folder.json.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.segment.setting import ROOT, Row, Setting, finish, parse
from services.segment.engines.choice import choose
from services.segment.images.decode import decode
from services.segment.images.preprocess import Preprocessor
from services.segment.manifest import Precision, read_manifest

_TARGET = 0.95
_MODELS = ["b0", "b4"]


class Engine:
    """A model in this process, and a prepared photograph."""

    def __init__(self, model: Path, precision: Precision, picture: Path) -> None:
        manifest = read_manifest(model)
        threads = len(os.sched_getaffinity(0))
        self._engine = choose("auto", "cpu", precision).open(model, manifest, threads=threads)
        picture_in = decode(picture.read_bytes(), 32_000_000)
        self._tensor = Preprocessor(manifest.preprocessing)(picture_in)
        self._engine.run([self._tensor])

    def seconds(self, count: int) -> float:
        """Return processor seconds a picture."""
        start = time.process_time()
        for _ in range(count):
            self._engine.run([self._tensor])
        return (time.process_time() - start) / count

    def rate(self, seconds: float) -> float:
        """Return pictures a second."""
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            self._engine.run([self._tensor])
            done += 1
        return done / (time.perf_counter() - start)


def command_rate(
    model: Path, precision: Precision, pictures: Path, out: Path
) -> tuple[float, float]:
    """Return the rate that the command prints, and its processor seconds with its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(
        [sys.executable, "-m", "services.cli", "segment", pictures, "--model", model, "--out", out],
        cwd=ROOT, check=True, capture_output=True, text=True,
        env=os.environ | {"ASSAY_SEGMENT_PRECISION": precision},
    )  # fmt: skip
    shutil.rmtree(out)
    found = re.search(r"labelled, ([\d.]+) a second, 0 done before, 0 failed", ran.stdout)
    if found is None:
        raise SystemExit(ran.stdout + ran.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(found.group(1)), spent


def measure(
    setting: Setting, name: str, precision: Precision, rounds: int, seconds: float
) -> list[Row]:
    """Compare the two on one model."""
    model = setting.real_b0() if name == "b0" else setting.random_model(name)
    sources = setting.pictures()
    engine = Engine(model, precision, sources[0])
    count = max(2 * len(sources), int(3 * seconds))
    rates, spent, engine_rates, engine_seconds = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="assay-folder-") as work:
        pictures, one, out = Path(work, "pictures"), Path(work, "one"), Path(work, "labels")
        _fill(pictures, sources, count)
        _fill(one, sources, 1)
        for turn in range(rounds):
            engine_rates.append(engine.rate(seconds))
            engine_seconds.append(engine.seconds(len(sources)))
            rate, all_of_it = command_rate(model, precision, pictures, out)
            _, start = command_rate(model, precision, one, out)
            rates.append(rate)
            spent.append((all_of_it - start) / (count - 1))
            print(f"{name} {precision}, round {turn + 1} of {rounds}", flush=True)
    what = f"{name.upper()} in {precision}, a folder of {count} JPEG files of 1024 x 768"
    return [
        report.row(
            what, "its engine alone, on prepared inputs", statistics.median(rates),
            statistics.median(engine_rates), "pictures a second", target=_TARGET,
        ),
        report.row(
            f"{what}: of the processors", "its engine alone", 1e3 * statistics.median(spent),
            1e3 * statistics.median(engine_seconds), "ms a picture", target=_TARGET,
            less_is_better=True,
        ),
    ]  # fmt: skip


def _fill(folder: Path, sources: Sequence[Path], count: int) -> None:
    """Copy pictures repeatedly, each copy under its own name."""
    folder.mkdir()
    for number in range(count):
        source = sources[number % len(sources)]
        shutil.copyfile(source, folder / f"{number:05}-{source.name}")


def main() -> None:
    """Run the rounds and write the result."""
    setting, options = parse(__doc__, rounds=5, seconds=10.0, models=_MODELS)
    rows = [
        row
        for name in options.models
        for precision in options.precisions
        for row in measure(setting, name, precision, options.rounds, options.seconds)
    ]
    finish(options, "segment/folder", rows)


if __name__ == "__main__":
    main()
