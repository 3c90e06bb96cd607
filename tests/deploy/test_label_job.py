"""The Indexed Job that labels pictures is valid and runs what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from services.cli.__main__ import parser
from tests.deploy.jobs import objects_of

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "label"


@pytest.fixture
def objects() -> dict[str, dict[str, Any]]:
    """The objects, with the tag that the kustomization gives the image."""
    return objects_of(FOLDER / "label.yaml")


@pytest.fixture
def pod(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    spec = objects["Job"]["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


@pytest.mark.slow
def test_every_object_is_valid(objects: dict[str, dict[str, Any]]) -> None:
    for one in objects.values():
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


def test_the_command_is_one_of_ours(pod: dict[str, Any]) -> None:
    (main,) = pod["containers"]
    words = [word.replace("$(INDEX)", "3") for word in main["command"] + main["args"]]
    assert words[0] == "assay"
    parsed = parser().parse_args(words[1:])
    assert (parsed.command, parsed.share) == ("segment", "3/8")
    paths = [*parsed.images, parsed.model, parsed.out]
    assert {Path(path).parent for path in paths} == {Path("/data")}


def test_the_shares_are_as_many_as_the_pods(objects: dict[str, dict[str, Any]]) -> None:
    job = objects["Job"]["spec"]
    assert job["completionMode"] == "Indexed"
    (main,) = job["template"]["spec"]["containers"]
    assert f"--share=$(INDEX)/{job['completions']}" in main["args"]
    fields = {e["name"]: e.get("valueFrom", {}).get("fieldRef", {}) for e in main["env"]}
    annotation = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert fields["INDEX"]["fieldPath"] == annotation


def test_results_are_written_to_the_claim(
    objects: dict[str, dict[str, Any]], pod: dict[str, Any]
) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    (main,) = pod["containers"]
    assert {mount["name"] for mount in main["volumeMounts"]} == set(volumes)
    claim = objects["PersistentVolumeClaim"]["metadata"]["name"]
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim


def test_pods_have_no_more_rights_than_they_need(pod: dict[str, Any]) -> None:
    (main,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert main["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert re.fullmatch(r"[\w./-]+:(?!latest$)[\w.-]+", main["image"])
