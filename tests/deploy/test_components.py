"""Every combination of components and every overlay renders, is valid and refers to what exists."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest

from services.common.identity import ANONYMOUS, Identity
from services.corpus.settings import CorpusSettings
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
    quantity,
    settings,
    variables,
)

Object = dict[str, Any]
COMPONENTS = sorted(path.name for path in (ROOT / "deploy" / "components").iterdir())
OVERLAYS = sorted(path.name for path in (ROOT / "deploy" / "overlays").iterdir())
Render = Callable[[Sequence[str]], list[Object]]
# Two autoscalers of one Deployment undo each other, and the cache is in one place.
ALTERNATIVES = {"autoscaling-queue": "autoscaling", "redis-external": "redis-sentinel"}
# Variables that OpenTelemetry reads.
STANDARD = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
# Kinds of operators, whose schemas Kubernetes has not.
CUSTOM = {"keda.sh", "monitoring.coreos.com"}


def combinations_of(names: list[str]) -> list[list[str]]:
    """Each alone, seven more, and all of them: any two are together, and each without the other.

    Of two alternatives one is in each; all of them are there once with each choice.
    """
    subsets = list(combinations(range(7), 4))
    assert len(names) <= len(subsets)
    rows = [[name for name, own in zip(names, subsets, strict=False) if n in own] for n in range(7)]
    left_out = product(*ALTERNATIVES.items())
    whole = [[name for name in names if name not in out] for out in left_out]
    return [*([one] for one in names), *map(without_alternatives, rows), *whole]


def without_alternatives(names: list[str]) -> list[str]:
    return [name for name in names if ALTERNATIVES.get(name) not in names]


def check(rendered: list[Object]) -> None:
    """What schemas say, and what they miss: names that are referred to, selectors, limits."""
    version = kubernetes_validate.latest_version()
    for one in rendered:
        if one["apiVersion"].partition("/")[0] not in CUSTOM:
            kubernetes_validate.validate(one, version, strict=True)
    deployments = of_kind(rendered, "Deployment")
    labels = {
        name: one["spec"]["template"]["metadata"]["labels"] for name, one in deployments.items()
    }
    ports = {
        port["name"]
        for one in rendered
        if one["kind"] in {"Deployment", "StatefulSet"}
        for box in pod(one)["containers"]
        for port in box["ports"]
    }
    for name, one in deployments.items():
        check_pod(one, rendered)
        for spread in pod(one).get("topologySpreadConstraints", []):
            assert matches(spread["labelSelector"]["matchLabels"], labels[name])
    for one in of_kind(rendered, "HorizontalPodAutoscaler").values():
        target, spec = one["spec"]["scaleTargetRef"]["name"], one["spec"]
        assert 2 <= spec["minReplicas"] <= spec["maxReplicas"]
        assert "replicas" not in deployments[target]["spec"]
        assert container(deployments[target])["resources"]["requests"]["cpu"]
    for name, one in of_kind(rendered, "StatefulSet").items():
        check_pod(one, rendered)
        template = one["spec"]["template"]["metadata"]["labels"]
        assert matches(one["spec"]["selector"]["matchLabels"], template)
        service = of_kind(rendered, "Service")[one["spec"]["serviceName"]]["spec"]
        assert service["clusterIP"] == "None"
        assert matches(service["selector"], template)
        own = {port["name"] for box in pod(one)["containers"] for port in box["ports"]}
        assert {port["targetPort"] for port in service["ports"]} == own
        budget = of_kind(rendered, "PodDisruptionBudget")[name]["spec"]
        assert budget["maxUnavailable"] < one["spec"]["replicas"]
    for one in of_kind(rendered, "ScaledObject").values():
        target, spec = one["spec"]["scaleTargetRef"]["name"], one["spec"]
        assert 2 <= spec["minReplicaCount"] <= spec["fallback"]["replicas"]
        assert spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
        assert "replicas" not in deployments[target]["spec"]
    for one in of_kind(rendered, "NetworkPolicy").values():
        for rule in [*one["spec"].get("ingress", []), *one["spec"].get("egress", [])]:
            for port in rule["ports"]:
                assert port["port"] in ports or isinstance(port["port"], int)
    for service in SETTINGS:
        kind = SETTINGS[service]
        known = {kind.variable(field) for field in kind.model_fields}
        assert set(variables(rendered, service)) <= known | STANDARD


def check_confined(box: Object) -> None:
    """A container may do nothing that it need not, and requests no more than its limits."""
    confined = box["securityContext"]
    assert confined["readOnlyRootFilesystem"]
    assert not confined["allowPrivilegeEscalation"]
    assert confined["capabilities"] == {"drop": ["ALL"]}
    for name, requested in box["resources"]["requests"].items():
        assert 0 < quantity(requested) <= quantity(box["resources"]["limits"][name])


def check_pod(one: Object, rendered: list[Object]) -> None:
    """Volumes are those that are mounted, maps and claims exist, containers are confined."""
    spec = pod(one)
    boxes = [*spec["containers"], *spec.get("initContainers", [])]
    mounted = {mount["name"] for box in boxes for mount in box["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}
    for box in boxes:
        assert re.fullmatch(r"[\w./-]+:(?!latest$)[\w.-]+", box["image"])
        for source in box.get("envFrom", []):
            assert source["configMapRef"]["name"] in of_kind(rendered, "ConfigMap")
        assert len({mount["mountPath"] for mount in box["volumeMounts"]}) == len(
            box["volumeMounts"]
        )
        check_confined(box)
    assert spec["securityContext"]["runAsNonRoot"]
    for volume in spec["volumes"]:
        if "configMap" in volume:
            assert volume["configMap"]["name"] in of_kind(rendered, "ConfigMap")
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            assert claim in of_kind(rendered, "PersistentVolumeClaim")


@pytest.mark.parametrize("components", combinations_of(COMPONENTS), ids="+".join)
def test_a_combination_is_valid(components: list[str], with_components: Render) -> None:
    check(with_components(components))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid(overlay: str) -> None:
    rendered = kustomize(ROOT / "deploy" / "overlays" / overlay)
    check(rendered)
    (namespace,) = of_kind(rendered, "Namespace").values()
    name = namespace["metadata"]["name"]
    for mode in ("enforce", "warn"):  # a Deployment is not refused, but its pods are
        assert namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"
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


def test_names_are_resolved_where_a_cluster_has_its_dns(with_components: Render) -> None:
    spec = of_kind(with_components(["network-policies"]), "NetworkPolicy")["dns"]["spec"]
    assert spec["podSelector"] == {}
    allowed = set()
    for rule in spec["egress"]:
        for peer in rule["to"]:
            where = peer.get("ipBlock", {}).get("cidr") or peer["namespaceSelector"]["matchLabels"]
            name = where if isinstance(where, str) else where["kubernetes.io/metadata.name"]
            allowed |= {(name, port["port"], port["protocol"]) for port in rule["ports"]}
    # Of CoreDNS, of NodeLocal DNSCache, and of OpenShift, whose pods listen at another port.
    places = [("kube-system", 53), ("169.254.20.10/32", 53), ("openshift-dns", 5353)]
    assert allowed == {(*one, protocol) for one in places for protocol in ("UDP", "TCP")}


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


def test_with_tracing_each_service_sends_to_a_collector_that_it_may_reach(
    with_components: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = with_components(["tracing", "network-policies"])
    policy = of_kind(rendered, "NetworkPolicy")["tracing"]["spec"]
    (names,) = (one["values"] for one in policy["podSelector"]["matchExpressions"])
    (rule,) = policy["egress"]
    (namespace,) = (one["namespaceSelector"]["matchLabels"].values() for one in rule["to"])
    for service in SETTINGS:
        assert service in names
        given = variables(rendered, service)
        assert given[f"ASSAY_{service.upper()}_TRACING"] == "true"
        to = urlsplit(given["OTEL_EXPORTER_OTLP_ENDPOINT"])
        assert to.hostname
        assert to.hostname.partition(".")[2] in namespace
        assert to.port == rule["ports"][0]["port"]


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
        assert name == "access-policy"  # also once it is another: running pods read it again
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
    maps = of_kind(rendered, "ConfigMap")
    named = [one["configMapRef"]["name"] for one in container(operating)["envFrom"]]
    # The last one that has a variable wins.
    assert maps[named[-1]]["data"] == {"ASSAY_RANKER_OPERATIONS": "true"}
    assert "ranker-evidence" not in of_kind(rendered, "PersistentVolumeClaim")


def test_with_a_cache_secret_every_ranker_reads_it(with_components: Render) -> None:
    rendered = with_components(["postgres", "cache-secret"])
    file = Path(variables(rendered, "ranker")["ASSAY_RANKER_CACHE_SECRET_FILE"])
    for name in ("ranker", "ranker-operations"):
        deployment = of_kind(rendered, "Deployment")[name]
        mounts = {one["name"]: one["mountPath"] for one in container(deployment)["volumeMounts"]}
        volumes = {one["name"]: one for one in pod(deployment)["volumes"]}
        assert mounts["cache-secret"] == str(file.parent)
        # The files of a Secret are named like its keys.
        assert volumes["cache-secret"]["secret"]["secretName"] == "ranker-cache"
        assert file.name == "secret"


def by_name(given: Any) -> Any:
    """The same for lists that differ in the order of what has a name."""
    if isinstance(given, dict):
        return {key: by_name(value) for key, value in given.items()}
    if isinstance(given, list):
        return sorted(map(by_name, given), key=repr)
    return given


@pytest.mark.parametrize("first", [one for one in COMPONENTS if one != "postgres"])
def test_the_order_of_a_component_and_postgres_does_not_matter(
    first: str, with_components: Render
) -> None:
    assert by_name(with_components([first, "postgres"])) == by_name(
        with_components(["postgres", first])
    )


@pytest.mark.parametrize("redis", ["redis-external", "redis-sentinel"])
def test_the_order_of_all_components_does_not_matter(redis: str, with_components: Render) -> None:
    names = [redis, "auth", "cache-secret", "postgres", "redis-auth", "redis-tls", "tls"]
    assert by_name(with_components(names)) == by_name(with_components(names[::-1]))


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


def test_two_components_are_together_somewhere_and_each_without_the_other() -> None:
    found = [set(one) for one in combinations_of(COMPONENTS)]
    for first, second in combinations(COMPONENTS, 2):
        if second != ALTERNATIVES.get(first) and first != ALTERNATIVES.get(second):
            assert any({first, second} <= one for one in found), (first, second)
        for one, other in ((first, second), (second, first)):
            assert any(one in names and other not in names for names in found)


@pytest.mark.parametrize("service", ["segment", "corpus"])
def test_what_is_fetched_comes_by_https_alone(service: str, with_components: Render) -> None:
    rendered = with_components(["model-download", "object-storage", "network-policies"])
    found = [
        one["spec"]
        for one in of_kind(rendered, "NetworkPolicy").values()
        if one["spec"]["podSelector"].get("matchLabels") == {"app.kubernetes.io/name": service}
        and one["spec"]["policyTypes"] == ["Egress"]
    ]
    (spec,) = found
    (rule,) = (one for one in spec["egress"] if "ipBlock" in one["to"][0])
    assert [port["port"] for port in rule["ports"]] == [443]
    assert rule["to"][0]["ipBlock"]["except"] == ["169.254.0.0/16"]  # metadata of a cloud's node


@pytest.mark.parametrize("components", [[], ["object-storage"]])
def test_what_corpus_keeps_fits_the_volume(
    components: list[str], with_components: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod whose volume exceeds its limit is evicted."""
    rendered = with_components(components)
    loaded = settings(rendered, "corpus", monkeypatch)
    assert isinstance(loaded, CorpusSettings)
    (home,) = (
        one
        for one in pod(of_kind(rendered, "Deployment")["corpus"])["volumes"]
        if one["name"] == "home"
    )
    kept = loaded.frame_cache_bytes + loaded.token_cache_bytes
    assert kept < quantity(home["emptyDir"]["sizeLimit"])


def test_replicas_follow_a_metric_that_there_is(with_components: Render) -> None:
    (scaler,) = of_kind(with_components(["autoscaling-queue"]), "ScaledObject").values()
    (trigger,) = scaler["spec"]["triggers"]
    (name,) = re.findall(r"assay_\w+", trigger["metadata"]["query"])
    assert f'"{name}"' in (ROOT / "services" / "segment" / "metrics.py").read_text("utf-8")
