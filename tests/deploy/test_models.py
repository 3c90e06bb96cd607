"""The component that mounts models on a shared volume: valid, and of settings that there are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from services.rpc.settings import load_settings
from services.segment.settings import SegmentSettings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
Object = dict[str, Any]


def variables() -> dict[str, str]:
    lines = (DEPLOY / "components" / "models" / "models.env").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_its_variables_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("ASSAY_"):
            monkeypatch.delenv(name)
    known = {SegmentSettings.variable(field) for field in SegmentSettings.model_fields}
    assert set(variables()) <= known
    for name, value in variables().items():
        monkeypatch.setenv(name, value)
    settings = load_settings(SegmentSettings)
    assert settings.desired is not None
    assert settings.desired.parent in settings.models


def test_what_it_mounts_is_what_its_variables_name() -> None:
    patch = yaml.safe_load((DEPLOY / "components" / "models" / "mount.yaml").read_text("utf-8"))
    volume = yaml.safe_load((DEPLOY / "components" / "models" / "volume.yaml").read_text("utf-8"))
    kubernetes_validate.validate(volume, kubernetes_validate.latest_version(), strict=True)
    spec = patch["spec"]["template"]["spec"]
    (mount,), (named,) = spec["containers"][0]["volumeMounts"], spec["volumes"]
    assert json.loads(variables()["ASSAY_SEGMENT_MODELS"]) == [mount["mountPath"]]
    assert mount["name"] == named["name"]
    assert named["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]
    base = yaml.safe_load_all((DEPLOY / "base" / "segment.yaml").read_text("utf-8"))
    (deployment,) = (one for one in base if one["kind"] == "Deployment")
    assert patch["metadata"]["name"] == deployment["metadata"]["name"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert spec["containers"][0]["name"] == container["name"]


def test_the_base_with_it_mounts_the_volume(
    with_components: Callable[[Sequence[str]], list[Object]],
) -> None:
    rendered = with_components(["models"])
    (deployment,) = (
        one
        for one in rendered
        if one["kind"] == "Deployment" and one["metadata"]["name"] == "segment"
    )
    spec = deployment["spec"]["template"]["spec"]
    assert {volume["name"] for volume in spec["volumes"]} == {"home", "models", "tmp"}
    source = spec["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    (config,) = (
        one for one in rendered if one["kind"] == "ConfigMap" and one["metadata"]["name"] == source
    )
    assert variables().items() <= config["data"].items()
    assert config["data"]["ASSAY_SEGMENT_PORT"] == "50051"
