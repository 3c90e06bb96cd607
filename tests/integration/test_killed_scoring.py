"""A scoring that is killed goes on where it was, to the very bits."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_bits_after_kills() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.bpb.kill"),
            *("--kills", "2", "--documents", "4", "--no-result"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed 2 of 2" in done.stdout
    assert done.stdout.endswith("kills: identical\n")
