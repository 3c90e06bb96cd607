"""The manifests are valid, agree with each other, and with the code that they run."""

from __future__ import annotations

import os
import re
from typing import Any

import kubernetes_validate
import pytest

from services.corpus.settings import CorpusSettings
from services.ranker.settings import RankerSettings
from services.rpc.settings import ServerSettings
from services.segment.engines.choice import Choice
from services.segment.settings import SegmentSettings

Object = dict[str, Any]
SETTINGS: dict[str, type[ServerSettings]] = {
    "segment": SegmentSettings,
    "corpus": CorpusSettings,
    "ranker": RankerSettings,
}
_UNITS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def of_kind(rendered: list[Object], kind: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in rendered if one["kind"] == kind}


def pod(deployment: Object) -> Object:
    spec = deployment["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


def container(deployment: Object) -> Object:
    (only,) = pod(deployment)["containers"]
    assert isinstance(only, dict)
    return only


def variables(rendered: list[Object], service: str) -> dict[str, str]:
    """What the service's container gets from its ConfigMap."""
    (source,) = container(of_kind(rendered, "Deployment")[service])["envFrom"]
    data = of_kind(rendered, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    assert isinstance(data, dict)
    return data


def settings(
    rendered: list[Object], service: str, monkeypatch: pytest.MonkeyPatch
) -> ServerSettings:
    """The settings that the service would have in its pod."""
    for name in [*os.environ]:
        if name.startswith("ASSAY_") or name == "REDIS_URL":
            monkeypatch.delenv(name)
    for name, value in variables(rendered, service).items():
        monkeypatch.setenv(name, value)
    return SETTINGS[service]()


def quantity(text: str | int) -> float:
    """A Kubernetes quantity as a number: "250m" is 0.25, "1Gi" 2**30."""
    match = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", str(text))
    assert match, text
    return float(match[1]) * (_UNITS[match[2]] if match[2] else 1)


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def test_every_object_is_valid(rendered: list[Object]) -> None:
    version = kubernetes_validate.latest_version()
    for one in rendered:
        kubernetes_validate.validate(one, version, strict=True)


def test_every_service_is_deployed(rendered: list[Object]) -> None:
    assert set(of_kind(rendered, "Deployment")) == {*SETTINGS, "redis"}
    assert set(of_kind(rendered, "Service")) == {*SETTINGS, "redis"}


@pytest.mark.parametrize("service", SETTINGS)
def test_every_variable_is_a_setting(rendered: list[Object], service: str) -> None:
    kind = SETTINGS[service]
    known = {kind.variable(field) for field in kind.model_fields}
    assert set(variables(rendered, service)) <= known


@pytest.mark.parametrize("service", SETTINGS)
def test_settings_load_and_listen_where_pods_are_reached(
    rendered: list[Object], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings(rendered, service, monkeypatch).host == "0.0.0.0"  # noqa: S104


@pytest.mark.parametrize("service", SETTINGS)
def test_ports_are_the_settings(
    rendered: list[Object], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(rendered, service, monkeypatch)
    main = container(of_kind(rendered, "Deployment")[service])
    ports = {port["name"]: port["containerPort"] for port in main["ports"]}
    assert ports == {
        "grpc": wanted.port,
        "health": wanted.health_port,
        "metrics": wanted.metrics_port,
    }
    defaults = SETTINGS[service].model_fields
    assert ports["grpc"] == defaults["port"].default
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert main[probe]["grpc"]["port"] == wanted.health_port
    offered = {
        port["name"]: (port["port"], port["targetPort"])
        for port in of_kind(rendered, "Service")[service]["spec"]["ports"]
    }
    assert offered == {"grpc": (wanted.port, "grpc"), "metrics": (wanted.metrics_port, "metrics")}
    notes = of_kind(rendered, "Deployment")[service]["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(wanted.metrics_port)


def test_selectors_find_what_they_are_meant_for(rendered: list[Object]) -> None:
    deployments = of_kind(rendered, "Deployment")
    labels = {
        name: one["spec"]["template"]["metadata"]["labels"] for name, one in deployments.items()
    }
    for name, one in deployments.items():
        assert matches(one["spec"]["selector"]["matchLabels"], labels[name])
    selectors = {
        ("Service", name): one["spec"]["selector"]
        for name, one in of_kind(rendered, "Service").items()
    }
    for name, one in of_kind(rendered, "PodDisruptionBudget").items():
        selectors["PodDisruptionBudget", name] = one["spec"]["selector"]["matchLabels"]
    for name, one in of_kind(rendered, "NetworkPolicy").items():
        selectors["NetworkPolicy", name] = one["spec"]["podSelector"]["matchLabels"]
        for rule in one["spec"]["ingress"]:
            for peer in rule["from"]:
                # `ranker-operations` is of the component postgres.
                (named,) = peer["podSelector"]["matchExpressions"]
                values = {found.get(named["key"]) for found in labels.values()}
                assert set(named["values"]) - values == {"ranker-operations"}
    for (_, name), selector in selectors.items():
        assert [found for found in labels if matches(selector, labels[found])] == [name]


def test_a_disruption_leaves_a_replica(rendered: list[Object]) -> None:
    deployments = of_kind(rendered, "Deployment")
    for name, one in of_kind(rendered, "PodDisruptionBudget").items():
        assert deployments[name]["spec"]["replicas"] > one["spec"]["maxUnavailable"]


def test_requests_are_within_limits(rendered: list[Object]) -> None:
    for deployment in of_kind(rendered, "Deployment").values():
        resources = container(deployment)["resources"]
        for name in ("cpu", "memory"):
            requested = quantity(resources["requests"][name])
            assert 0 < requested <= quantity(resources["limits"][name])


def test_threads_are_within_the_limit_of_processors(
    rendered: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(rendered, "segment", monkeypatch)
    assert isinstance(wanted, SegmentSettings)
    limit = quantity(
        container(of_kind(rendered, "Deployment")["segment"])["resources"]["limits"]["cpu"]
    )
    assert wanted.threads == wanted.workers == limit


def test_a_slower_engine_does_not_go_unnoticed(
    rendered: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(rendered, "segment", monkeypatch)
    assert isinstance(wanted, SegmentSettings)
    assert wanted.choice == Choice("openvino-cpu", "fp32")


@pytest.mark.parametrize("service", SETTINGS)
def test_pods_get_longer_to_end_than_they_take(
    rendered: list[Object], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = of_kind(rendered, "Deployment")[service]
    program, pause = container(deployment)["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    drain = settings(rendered, service, monkeypatch).drain_seconds
    assert pod(deployment)["terminationGracePeriodSeconds"] > float(pause) + drain


def test_what_is_referred_to_exists(rendered: list[Object]) -> None:
    maps, claims = of_kind(rendered, "ConfigMap"), of_kind(rendered, "PersistentVolumeClaim")
    for deployment in of_kind(rendered, "Deployment").values():
        volumes = {volume["name"]: volume for volume in pod(deployment)["volumes"]}
        main = container(deployment)
        assert {mount["name"] for mount in main["volumeMounts"]} == set(volumes)
        for source in main.get("envFrom", []):
            assert source["configMapRef"]["name"] in maps
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims


def test_the_ranker_finds_its_peers(
    rendered: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(rendered, "ranker", monkeypatch)
    assert isinstance(wanted, RankerSettings)
    offered = {
        f"{name}:{port['port']}"
        for name, one in of_kind(rendered, "Service").items()
        for port in one["spec"]["ports"]
        if port["name"] in {"grpc", "redis"}
    }
    for address in (wanted.segment_addr, wanted.corpus_addr):
        assert address.removeprefix("dns:///") in offered
    assert wanted.redis_url.removeprefix("redis://").removesuffix("/0") in offered


def test_one_pod_alone_writes_evidence(rendered: list[Object]) -> None:
    spec = of_kind(rendered, "Deployment")["ranker"]["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_pods_have_no_more_rights_than_they_need(rendered: list[Object]) -> None:
    for deployment in of_kind(rendered, "Deployment").values():
        whole, main = pod(deployment), container(deployment)
        assert whole["securityContext"]["runAsNonRoot"] is True
        assert whole["securityContext"]["runAsUser"] > 0
        assert whole["automountServiceAccountToken"] is False
        # Kubernetes would set variables named like settings for Services named like ours.
        assert whole["enableServiceLinks"] is False
        assert main["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert re.fullmatch(r"[\w./-]+:(?!latest$)[\w.-]+", main["image"])
