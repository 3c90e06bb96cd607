"""Applies every manifest to a Kubernetes API server as a dry run, without error or warning.

    python -m benchmarks.manifests

Needs `etcd`, `kube-apiserver` and `kubectl` on PATH, and in ASSAY_TEST_DEFINITIONS the folder of
the operators' CustomResourceDefinitions (tests/deploy/test_api_server.py, whose tests are counted).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from benchmarks.report import row, write
from tests.deploy.test_api_server import definitions

ROOT = Path(__file__).resolve().parents[1]
TESTS = "tests/deploy/test_api_server.py"
_FAMILIES = {
    "test_the_server_takes": "renderings that the server refuses or warns of",
    "test_what_is_applied_again": "ways of applying that change something the second time",
    "test_the_server_does_refuse": "wrong manifests that it lets pass",
}


def main() -> int:
    """Run the tests and write their outcomes; 1 if a test failed or was skipped."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tests.xml"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "0", f"--junitxml={file}", TESTS],
            cwd=ROOT,
            check=False,
        )
        # Of a test run of our own.
        cases = list(ET.parse(file).getroot().iter("testcase"))  # noqa: S314
    rows, bad = [], 0
    for start, what in _FAMILIES.items():
        own = [one for one in cases if one.attrib["name"].startswith(start)]
        wrong = [one for one in own if len(one.findall("*"))]
        bad += len(wrong) + (not own)
        rows.append(
            row(what, f"{len(own)} tried", len(wrong), 0, "1", target=0, less_is_better=True)
            | {"ratio": None}
        )
    write(
        "manifests",
        rows,
        packages=("pytest",),
        peer_versions={
            "kube-apiserver": _said("kube-apiserver", "--version"),
            "etcd": _said("etcd", "--version"),
            "kubectl": json.loads(_whole("kubectl", "version", "--client", "-ojson"))[
                "clientVersion"
            ]["gitVersion"],
        },
        definitions=[one["metadata"]["name"] for one in definitions()],
    )
    return int(bad > 0)


def _said(*command: str) -> str:
    """The version that a program prints."""
    found = re.search(r"v?\d+\.\d+\.\d+\S*", _whole(*command))
    return found[0] if found else "unknown"


def _whole(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
