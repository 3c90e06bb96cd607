"""The Indexed Job that scores, and the Job that merges, are valid and run what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from services.cli.__main__ import parser
from tests.deploy.jobs import objects_of

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "score"
FILES = ("units.yaml", "merge/merge.yaml")


def objects(file: str) -> dict[str, dict[str, Any]]:
    """The objects of a manifest, with the tag that its kustomization gives the image."""
    return objects_of(FOLDER / file)


def pod(file: str) -> dict[str, Any]:
    spec = objects(file)["Job"]["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


@pytest.mark.parametrize("file", FILES)
def test_every_object_is_valid(file: str) -> None:
    for one in objects(file).values():
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("file", FILES)
def test_the_command_is_one_of_ours(file: str) -> None:
    (main,) = pod(file)["containers"]
    words: list[str] = [word.replace("$(INDEX)", "3") for word in main["command"] + main["args"]]
    assert words[0] == "assay"
    parsed = parser().parse_args(words[1:])
    assert parsed.command == "units"


def test_the_shares_are_as_many_as_the_pods() -> None:
    job = objects("units.yaml")["Job"]["spec"]
    assert job["completionMode"] == "Indexed"
    (main,) = job["template"]["spec"]["containers"]
    (share,) = [word for word in main["args"] if word.startswith("--share=")]
    assert share == f"--share=$(INDEX)/{job['completions']}"
    fields = {e["name"]: e.get("valueFrom", {}).get("fieldRef", {}) for e in main["env"]}
    annotation = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert fields["INDEX"]["fieldPath"] == annotation


def test_threads_are_the_processors() -> None:
    (main,) = pod("units.yaml")["containers"]
    threads = {e["name"]: e.get("value") for e in main["env"]}["OMP_NUM_THREADS"]
    assert main["resources"]["limits"]["cpu"] == main["resources"]["requests"]["cpu"] == threads


def test_results_are_merged_from_where_they_are_written() -> None:
    claim = objects("units.yaml")["PersistentVolumeClaim"]["metadata"]["name"]
    for file in FILES:
        volumes = {volume["name"]: volume for volume in pod(file)["volumes"]}
        (main,) = pod(file)["containers"]
        assert {mount["name"] for mount in main["volumeMounts"]} == set(volumes)
        assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim
    (score,), (merge,) = (pod(file)["containers"] for file in FILES)
    assert f"--out={merge['args'][0]}" in score["args"]


@pytest.mark.parametrize("file", FILES)
def test_pods_have_no_more_rights_than_they_need(file: str) -> None:
    whole = pod(file)
    (main,) = whole["containers"]
    assert whole["securityContext"]["runAsNonRoot"] is True
    assert whole["automountServiceAccountToken"] is False
    assert whole["enableServiceLinks"] is False
    assert main["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert re.fullmatch(r"[\w./-]+:(?!latest$)[\w.-]+", main["image"])
