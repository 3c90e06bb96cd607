"""Reads the manifests of the Indexed Jobs, which are applied by hand and not from the base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def objects_of(manifest: Path) -> dict[str, dict[str, Any]]:
    """The objects by kind, with the tag that the kustomization beside it gives the image."""
    kustomization = yaml.safe_load((manifest.parent / "kustomization.yaml").read_text("utf-8"))
    assert kustomization["resources"] == [manifest.name]
    text = manifest.read_text("utf-8")
    for image in kustomization["images"]:
        text = text.replace(
            f"image: {image['name']}\n", f"image: {image['name']}:{image['newTag']}\n"
        )
    return {one["kind"]: one for one in yaml.safe_load_all(text)}
