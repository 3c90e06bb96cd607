"""The manifests as Kubernetes would get them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
Object = dict[str, Any]


def kustomize(folder: Path) -> list[Object]:
    """Every object that a folder renders to; skips where there is no kubectl."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on PATH: the manifests cannot be rendered")
    done = subprocess.run(
        [kubectl, "kustomize", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="session")
def rendered() -> list[Object]:
    """Every object of the base."""
    return kustomize(ROOT / "deploy" / "base")


@pytest.fixture
def with_components(tmp_path: Path) -> Callable[[Sequence[str]], list[Object]]:
    """Renders the base with components, by name."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    overlay = tmp_path / "deploy" / "overlays" / "tried"
    overlay.mkdir()

    def render(components: Sequence[str]) -> list[Object]:
        paths = [f"../../components/{name}" for name in components]
        (overlay / "kustomization.yaml").write_text(
            yaml.safe_dump({"resources": ["../../base"], "components": paths})
        )
        return kustomize(overlay)

    return render
