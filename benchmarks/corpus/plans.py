"""Runs the property test of plans on many more plans than the tests do.

    python -m benchmarks.corpus.plans [--plans N]

Each plan is a selection, a mixture, a seed and several numbers of ranks, which stop and resume as
another number, through a real server; see tests/corpus/stream/test_indexed.py.

Writes benchmarks/results/corpus/plans.json.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time

from benchmarks import report

_TEST = (
    "tests/corpus/stream/test_indexed.py::test_any_plan_with_restarts_and_changed_worlds_is_exact"
)


def main() -> None:
    """Run the test and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--plans", type=int, default=1000)
    options = parser.parse_args()
    begun = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            _TEST,
            "--hypothesis-show-statistics",
            "-p",
            "no:randomly",
        ],
        env={**os.environ, "ASSAY_TEST_PLANS": str(options.plans)},
        cwd=report.HERE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    counts = re.search(r"generate phase.*?- (\d+) passing[^,]*, (\d+) failing", done.stdout, re.S)
    if counts is None:
        raise SystemExit("the test has not said how many plans it ran")
    report.write(
        "corpus/plans",
        [
            report.row(
                "plans whose documents come each once, in the same order, through every restart",
                "all that were drawn",
                int(counts[1]),
                int(counts[1]) + int(counts[2]),
                "plans",
                target=1.0,
            )
        ],
        packages=("grpcio", "hypothesis"),
        seconds=round(time.monotonic() - begun),
    )
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
