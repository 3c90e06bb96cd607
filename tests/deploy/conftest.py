"""The manifests as Kubernetes would get them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def rendered() -> list[dict[str, Any]]:
    """Every object of the base, rendered by kubectl; skips where there is no kubectl."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on PATH: the manifests cannot be rendered")
    done = subprocess.run(
        [kubectl, "kustomize", str(ROOT / "deploy" / "base")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))
