"""Every combination of components and every overlay renders, is valid and refers to what exists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from services.common.identity import ANONYMOUS, Identity
from services.errors import Unauthenticated
from services.rpc.access.policy import read_policy
from services.rpc.access.roles import Role
from services.segment.settings import SegmentSettings
from tests.deploy.conftest import ROOT, kustomize
from tests.deploy.test_manifests import (
    SETTINGS,
    container,
    matches,
    of_kind,
    pod,
    settings,
    variables,
)

Object = dict[str, Any]
COMPONENTS = sorted(path.name for path in (ROOT / "deploy" / "components").iterdir())
OVERLAYS = sorted(path.name for path in (ROOT / "deploy" / "overlays").iterdir())
Render = Callable[[Sequence[str]], list[Object]]


def check(rendered: list[Object]) -> None:
    """What schemas say, and what they miss: names that are referred to, selectors, limits."""
    version = kubernetes_validate.latest_version()
    for one in rendered:
        kubernetes_validate.validate(one, version, strict=True)
    deployments = of_kind(rendered, "Deployment")
    labels = {
        name: one["spec"]["template"]["metadata"]["labels"] for name, one in deployments.items()
    }
    ports = {port["name"] for one in deployments.values() for port in container(one)["ports"]}
    for name, one in deployments.items():
        mounted = [mount["name"] for mount in container(one)["volumeMounts"]]
        assert sorted(mounted) == sorted(volume["name"] for volume in pod(one)["volumes"])
        for spread in pod(one).get("topologySpreadConstraints", []):
            assert matches(spread["labelSelector"]["matchLabels"], labels[name])
    for one in of_kind(rendered, "HorizontalPodAutoscaler").values():
        target, spec = one["spec"]["scaleTargetRef"]["name"], one["spec"]
        assert 2 <= spec["minReplicas"] <= spec["maxReplicas"]
        assert "replicas" not in deployments[target]["spec"]
        assert container(deployments[target])["resources"]["requests"]["cpu"]
    for one in of_kind(rendered, "NetworkPolicy").values():
        for rule in [*one["spec"].get("ingress", []), *one["spec"].get("egress", [])]:
            for port in rule["ports"]:
                assert port["port"] in ports or isinstance(port["port"], int)
    for service in SETTINGS:
        kind = SETTINGS[service]
        known = {kind.variable(field) for field in kind.model_fields}
        assert set(variables(rendered, service)) <= known


@pytest.mark.parametrize(
    "components",
    [
        *([one] for one in COMPONENTS),
        *(list(pair) for pair in combinations(COMPONENTS, 2)),
        COMPONENTS,
    ],
    ids="+".join,
)
def test_a_combination_is_valid(components: list[str], with_components: Render) -> None:
    check(with_components(components))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid(overlay: str) -> None:
    rendered = kustomize(ROOT / "deploy" / "overlays" / overlay)
    check(rendered)
    (namespace,) = of_kind(rendered, "Namespace").values()
    name = namespace["metadata"]["name"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {one["metadata"]["namespace"] for one in rendered if one is not namespace} == {name}


def test_with_network_policies_nobody_else_reaches_a_service(with_components: Render) -> None:
    policies = of_kind(with_components(["network-policies"]), "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }
    for service in SETTINGS:
        for rule in policies[service]["spec"]["ingress"]:
            for peer in rule["from"]:
                assert peer.get("podSelector") or peer["namespaceSelector"]["matchLabels"]


def test_with_tls_each_service_reads_its_own_secret(with_components: Render) -> None:
    rendered = with_components(["tls"])
    for service in SETTINGS:
        deployment = of_kind(rendered, "Deployment")[service]
        (mount,) = (m for m in container(deployment)["volumeMounts"] if m["name"] == "tls")
        (volume,) = (v for v in pod(deployment)["volumes"] if v["name"] == "tls")
        assert volume["secret"]["secretName"] == f"{service}-tls"
        files = [value for name, value in variables(rendered, service).items() if "_TLS_" in name]
        assert files
        for file in files:
            assert Path(file).parent == Path(mount["mountPath"])
            assert Path(file).name in {"tls.crt", "tls.key", "ca.crt"}


def test_with_auth_each_service_reads_the_policy_and_it_is_one(with_components: Render) -> None:
    rendered = with_components(["auth", "tls"])
    policy = read_policy(ROOT / "deploy" / "components" / "auth" / "policy.toml")
    benchmark = "/assay.segment.v1.SegmentBenchmarkService/BenchmarkModel"
    assert policy.allow(Identity("certificate:ranker"), Role.VERIFY, benchmark) is None
    with pytest.raises(Unauthenticated):
        policy.allow(ANONYMOUS, Role.VERIFY, benchmark)
    for service in SETTINGS:
        deployment = of_kind(rendered, "Deployment")[service]
        mounts = {one["name"]: one["mountPath"] for one in container(deployment)["volumeMounts"]}
        volumes = {one["name"]: one for one in pod(deployment)["volumes"]}
        name = volumes["access"]["configMap"]["name"]
        assert list(of_kind(rendered, "ConfigMap")[name]["data"]) == ["policy.toml"]
        prefix = f"ASSAY_{service.upper()}_"
        values = variables(rendered, service)
        assert values[f"{prefix}POLICY_FILE"] == f"{mounts['access']}/policy.toml"
        assert values[f"{prefix}TOKEN_FILE"] == f"{mounts['access-tokens']}/tokens"


def test_with_postgres_one_ranker_operates_and_all_share_the_database(
    with_components: Render,
) -> None:
    rendered = with_components(["postgres", "auth", "tls", "network-policies"])
    deployments = of_kind(rendered, "Deployment")
    reading, operating = deployments["ranker"], deployments["ranker-operations"]
    assert (reading["spec"]["replicas"], operating["spec"]["replicas"]) == (2, 1)
    assert variables(rendered, "ranker")["ASSAY_RANKER_OPERATIONS"] == "false"
    for one in (reading, operating):
        box = container(one)
        mounted = {volume["mountPath"] for volume in box["volumeMounts"]}
        assert {"/tls", "/access", "/access-tokens"} <= mounted
        urls = [env for env in box["env"] if env["name"] == "ASSAY_RANKER_DATABASE_URL"]
        assert urls[0]["valueFrom"]["secretKeyRef"] == {"name": "ranker-postgres", "key": "url"}
    assert {"name": "ASSAY_RANKER_OPERATIONS", "value": "true"} in container(operating)["env"]
    assert "ranker-evidence" not in of_kind(rendered, "PersistentVolumeClaim")


def test_with_gpu_a_replica_has_one_and_runs_on_nothing_else(
    with_components: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = with_components(["gpu"])
    loaded = settings(rendered, "segment", monkeypatch)
    assert isinstance(loaded, SegmentSettings)
    assert (loaded.device, loaded.engine) == ("cuda", "onnxruntime")
    segment = container(of_kind(rendered, "Deployment")["segment"])
    assert segment["image"].startswith("assay/segment-gpu:")
    for kind in ("requests", "limits"):
        assert segment["resources"][kind]["nvidia.com/gpu"] == "1"
    # Threads are those of the base's limit of processors, which must not have become less.
    assert loaded.threads <= int(segment["resources"]["limits"]["cpu"])
