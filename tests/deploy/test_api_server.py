"""A Kubernetes API server takes every manifest: no error, and no warning.

Skips where `etcd` and `kube-apiserver` are not on PATH. Kinds of operators are left out unless
ASSAY_TEST_DEFINITIONS names a folder with their CustomResourceDefinitions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.api_server import NAMESPACE, ApiServer, api_server, missing, namespace
from tests.deploy.conftest import ROOT, kustomize
from tests.deploy.test_components import COMPONENTS, OVERLAYS, combinations_of

Object = dict[str, Any]
Render = Callable[[Sequence[str]], list[Object]]
DEPLOY = ROOT / "deploy"
# Everything that is applied by itself, beside the base and the overlays.
FOLDERS = sorted(
    str(path.parent.relative_to(DEPLOY))
    for path in DEPLOY.rglob("kustomization.yaml")
    if path.relative_to(DEPLOY).parts[0] not in {"base", "components", "overlays"}
)
WORKLOADS = {"Deployment", "StatefulSet", "Job"}
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(bool(missing()), reason=f"not on PATH: {', '.join(missing())}"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with api_server(tmp_path_factory.mktemp("cluster")) as running:
        running.define(definitions())
        yield running


@cache
def definitions() -> list[Object]:
    """Definitions of operators' kinds, of a folder that is named. They have megabytes."""
    folder = os.environ.get("ASSAY_TEST_DEFINITIONS")
    files = sorted(Path(folder).rglob("*.yaml")) if folder else []
    found = [
        one for file in files for one in yaml.load_all(file.read_text("utf-8"), yaml.CSafeLoader)
    ]
    return [one for one in found if one and one["kind"] == "CustomResourceDefinition"]


def known(rendered: list[Object]) -> list[Object]:
    """The objects but for those of kinds that this server was not told of."""
    defined = {(one["spec"]["group"], one["spec"]["names"]["kind"]) for one in definitions()}
    kept = []
    for one in rendered:
        group = one["apiVersion"].rpartition("/")[0]
        own = "." not in group or (group.endswith(".k8s.io") and not group.startswith("gateway."))
        if own or (group, one["kind"]) in defined:
            kept.append(one)
    return kept


def pods(rendered: list[Object]) -> list[Object]:
    """A Pod of each template: a Deployment is taken whose pods are then refused."""
    found = []
    for one in rendered:
        spec = one["spec"]["jobTemplate"]["spec"] if one["kind"] == "CronJob" else one.get("spec")
        if one["kind"] not in WORKLOADS | {"CronJob"} or spec is None:
            continue
        template = spec["template"]
        labels = template.get("metadata", {}).get("labels", {})
        about = {"name": f"{one['metadata']['name']}-tried", "labels": labels}
        body = {"restartPolicy": "Always"} | template["spec"]
        found.append({"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": body})
    return found


def without_writes(one: Object) -> Object:
    """Leave out when an object was written: the server writes volume claims again unchanged."""
    passing = {"managedFields", "resourceVersion"}
    about = {key: value for key, value in one["metadata"].items() if key not in passing}
    return one | {"metadata": about}


def check(server: ApiServer, rendered: list[Object]) -> None:
    objects = known(rendered)
    assert server.complaints(objects) == []
    if pods(objects):
        assert server.complaints(pods(objects)) == []


@pytest.mark.parametrize("components", [[], *combinations_of(COMPONENTS)], ids="+".join)
def test_the_server_takes_a_combination(
    components: list[str], server: ApiServer, with_components: Render
) -> None:
    check(server, with_components(components))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_server_takes_an_overlay(overlay: str, server: ApiServer) -> None:
    check(server, kustomize(DEPLOY / "overlays" / overlay))


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_server_takes_what_is_applied_by_itself(folder: str, server: ApiServer) -> None:
    rendered = kustomize(DEPLOY / folder)
    if not known(rendered):
        pytest.skip("it has kinds of operators alone, whose definitions are not given")
    check(server, rendered)


def test_the_server_does_refuse_and_warn(server: ApiServer, rendered: list[Object]) -> None:
    (one,) = (x for x in rendered if (x["kind"], x["metadata"]["name"]) == ("Deployment", "redis"))
    del one["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
    assert any("would violate PodSecurity" in line for line in server.complaints([one]))
    assert any("violates PodSecurity" in line for line in server.complaints(pods([one])))
    one["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = 0
    assert any("containerPort" in line for line in server.complaints([one]))


@pytest.mark.parametrize("how", [["--server-side"], []], ids=["server-side", "client-side"])
def test_what_is_applied_again_changes_nothing(
    how: list[str], server: ApiServer, with_components: Render
) -> None:
    """Else each `kubectl apply -k` would start new pods, or `kubectl diff` never be empty."""
    name = f"{NAMESPACE}-{'server' if how else 'client'}"
    objects = known(with_components(combinations_of(COMPONENTS)[-1]))
    jobs = [one for folder in ("label", "score") for one in known(kustomize(DEPLOY / folder))]
    given = [*namespace(name), *objects, *jobs]
    words = ["apply", *how, f"--namespace={name}", "-f", "-"]
    versions = []
    for _ in range(2):
        done = server.kubectl(*words, given=given)
        assert (done.returncode, done.stderr) == (0, "")
        kinds = {one["kind"] for one in [*objects, *jobs]}
        listed = server.kubectl("get", ",".join(sorted(kinds)), f"--namespace={name}", "-oyaml")
        assert listed.returncode == 0, listed.stderr
        items = yaml.safe_load(listed.stdout)["items"]
        found = {(one["kind"], one["metadata"]["name"]): one for one in items}
        versions.append({key: without_writes(one) for key, one in found.items()})
        assert {(one["kind"], one["metadata"]["name"]) for one in [*objects, *jobs]} <= set(found)
    assert versions[0] == versions[1]
    differing = server.kubectl("diff", *how, f"--namespace={name}", "-f", "-", given=given)
    assert (differing.returncode, differing.stdout, differing.stderr) == (0, "", "")
