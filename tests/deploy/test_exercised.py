"""Nothing lies in deploy/ that no check renders, builds or runs."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.deploy.conftest import ROOT, kustomize
from tests.deploy.test_api_server import DEPLOY, FOLDERS
from tests.deploy.test_components import CUSTOM

# `make images` builds every target of the Dockerfile.
READERS = ("deploy/Dockerfile", "benchmarks/images.py", "tests/**/*.py")
# Kinds that extensions bring, whose schemas Kubernetes has not.
EXTENSIONS = CUSTOM | {"gateway.networking.k8s.io", "ray.io", "serving.kserve.io"}


def test_every_file_is_read_by_a_check() -> None:
    readers = [path for pattern in READERS for path in ROOT.glob(pattern)]
    said = "\n".join(path.read_text("utf-8") for path in readers)
    unread = [
        file.relative_to(ROOT).as_posix()
        for file in DEPLOY.rglob("*")
        if file.is_file()
        and "__pycache__" not in file.parts
        and file.name not in _rendered(file.parent)
        and file.name not in said
    ]
    assert unread == []


def _rendered(folder: Path) -> set[str]:
    """Names of the files that a folder's kustomization reads, and its own."""
    own = folder / "kustomization.yaml"
    if not own.exists():
        return set()
    words = yaml.safe_dump(yaml.safe_load(own.read_text("utf-8"))).split()
    return {own.name, *(Path(word.rpartition("=")[2]).name for word in words)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_applied_by_itself_is_valid(folder: str) -> None:
    version = kubernetes_validate.latest_version()
    objects = kustomize(DEPLOY / folder)
    assert objects
    for one in objects:
        if one["apiVersion"].partition("/")[0] not in EXTENSIONS:
            kubernetes_validate.validate(one, version, strict=True)
