"""How fast `assay segment FOLDER --out DIR` is, against the engine alone on the same processors.

    python -m benchmarks.segment_folder [--rounds N] [--seconds S] [--models b0 b4]

Needs the real data (ASSAY_TEST_DATA): photographs as JPEG files of 1024 x 768, and the real B0; the
B4 has drawn weights, of which speed does not depend. The engine computes prepared inputs in this
process; the command starts a service of its own, reads files, and writes a PNG a picture and a
table. Its rate is the one that it prints: pictures from the first file to the last table, without
the start of the service. Both use every processor, in alternating rounds.

Writes results/segment-folder.json.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import report
from benchmarks.segment_setting import ROOT, Row, Setting, finish, parse
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

    def rate(self, seconds: float) -> float:
        """Return pictures a second."""
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            self._engine.run([self._tensor])
            done += 1
        return done / (time.perf_counter() - start)


def command_rate(model: Path, precision: Precision, pictures: Path, out: Path) -> float:
    """Return the rate that the command prints."""
    ran = subprocess.run(
        [sys.executable, "-m", "services.cli", "segment", pictures, "--model", model, "--out", out],
        cwd=ROOT, check=True, capture_output=True, text=True,
        env=os.environ | {"ASSAY_SEGMENT_PRECISION": precision},
    )  # fmt: skip
    shutil.rmtree(out)
    found = re.search(r"labelled, ([\d.]+) a second, 0 done before, 0 failed", ran.stdout)
    if found is None:
        raise SystemExit(ran.stdout + ran.stderr)
    return float(found.group(1))


def measure(setting: Setting, name: str, precision: Precision, rounds: int, seconds: float) -> Row:
    """Compare the two on one model."""
    model = setting.real_b0() if name == "b0" else setting.random_model(name)
    sources = setting.pictures()
    engine = Engine(model, precision, sources[0])
    count = max(2 * len(sources), int(seconds * engine.rate(2.0)))
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="assay-folder-") as work:
        pictures = Path(work, "pictures")
        pictures.mkdir()
        for number in range(count):
            source = sources[number % len(sources)]
            shutil.copyfile(source, pictures / f"{number:05}-{source.name}")
        for turn in range(rounds):
            theirs.append(engine.rate(seconds))
            ours.append(command_rate(model, precision, pictures, Path(work, "labels")))
            print(f"{name} {precision}, round {turn + 1}: {ours[-1]:.2f}, {theirs[-1]:.2f}")
    return report.row(
        f"{name.upper()} in {precision}, a folder of {count} JPEG files of 1024 x 768",
        "its engine alone, on prepared inputs",
        statistics.median(ours),
        statistics.median(theirs),
        "pictures a second",
        target=_TARGET,
    )


def main() -> None:
    """Run the rounds and write the result."""
    setting, options = parse(__doc__, rounds=5, seconds=10.0, models=_MODELS)
    rows = [
        measure(setting, name, precision, options.rounds, options.seconds)
        for name in options.models
        for precision in options.precisions
    ]
    finish(options, "segment-folder", rows)


if __name__ == "__main__":
    main()
