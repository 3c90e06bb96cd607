"""The Indexed Job that builds a corpus is valid, runs what there is, and runs all pods at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from services.cli.__main__ import parser
from tests.deploy.jobs import objects_of

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "build"


@pytest.fixture
def objects() -> dict[str, dict[str, Any]]:
    """The objects, with the tag that the kustomization gives the image."""
    return objects_of(FOLDER / "build.yaml")


def test_every_object_is_valid(objects: dict[str, dict[str, Any]]) -> None:
    for one in objects.values():
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


def test_the_command_is_one_of_ours(objects: dict[str, dict[str, Any]]) -> None:
    (main,) = objects["Job"]["spec"]["template"]["spec"]["containers"]
    words = [
        word.replace("$(JOB_COMPLETION_INDEX)", "3") for word in main["command"] + main["args"]
    ]
    parsed = parser().parse_args(words[1:])
    assert (parsed.command, parsed.action, parsed.share) == ("corpus", "build", "3/8")
    assert Path(parsed.out).parent == Path(parsed.recipe).parent == Path("/data")
    assert str(parsed.jobs) == main["resources"]["limits"]["cpu"]


def test_the_pods_are_as_many_as_the_shares_and_run_at_once(
    objects: dict[str, dict[str, Any]],
) -> None:
    job = objects["Job"]["spec"]
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"]
    (main,) = job["template"]["spec"]["containers"]
    assert f"--share=$(JOB_COMPLETION_INDEX)/{job['completions']}" in main["args"]
    fields = {e["name"]: e.get("valueFrom", {}).get("fieldRef", {}) for e in main["env"]}
    annotation = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert fields["JOB_COMPLETION_INDEX"]["fieldPath"] == annotation


def test_pods_share_the_claim_and_have_no_more_rights_than_they_need(
    objects: dict[str, dict[str, Any]],
) -> None:
    claim = objects["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    pod = objects["Job"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (main,) = pod["containers"]
    assert {mount["name"] for mount in main["volumeMounts"]} == set(volumes)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert main["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
