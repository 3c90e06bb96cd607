"""Objects of APIs that are not Kubernetes' own: they name what there is, and run what we have."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import yaml

from services.cli.__main__ import parser
from services.segment.__main__ import build_service
from services.segment.manifest import SCHEMA
from services.segment.settings import SegmentSettings
from tests.deploy.conftest import ROOT, kustomize
from tests.deploy.test_components import check_confined
from tests.deploy.test_manifests import SETTINGS, of_kind, quantity

Object = dict[str, Any]


def one(folder: str, kind: str) -> Object:
    (found,) = of_kind(kustomize(ROOT / "deploy" / folder), kind).values()
    return found


def test_the_gateway_routes_services_that_there_are(rendered: list[Object]) -> None:
    gateway, route = one("gateway", "Gateway"), one("gateway", "GRPCRoute")
    listeners = {each["name"]: each for each in gateway["spec"]["listeners"]}
    for parent in route["spec"]["parentRefs"]:
        assert parent["name"] == gateway["metadata"]["name"]
        listener = listeners[parent["sectionName"]]
        assert listener["hostname"] in route["spec"]["hostnames"]
        assert listener["tls"]["certificateRefs"]
        assert {"GRPCRoute"} == {each["kind"] for each in listener["allowedRoutes"]["kinds"]}
    contract = "\n".join(
        path.read_text("utf-8") for path in (ROOT / "protos" / "assay").rglob("*.proto")
    )
    for rule in route["spec"]["rules"]:
        (backend,) = rule["backendRefs"]
        service = of_kind(rendered, "Service")[backend["name"]]
        assert backend["port"] in {port["port"] for port in service["spec"]["ports"]}
        for match in rule["matches"]:
            package, _, name = match["method"]["service"].rpartition(".")
            assert "Admin" not in name
            assert "Benchmark" not in name
            if package.startswith("assay."):
                assert package.split(".")[1] == backend["name"]
                assert f"service {name} {{" in contract


def test_kserve_runs_segment_as_the_base_does(
    rendered: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, service = one("kserve", "ServingRuntime"), one("kserve", "InferenceService")
    spec, predictor = runtime["spec"], service["spec"]["predictor"]
    assert predictor["model"]["runtime"] == runtime["metadata"]["name"]
    (supported,) = spec["supportedModelFormats"]
    wanted = predictor["model"]["modelFormat"]
    assert wanted == {name: supported[name] for name in ("name", "version")}
    assert wanted["version"] == str(SCHEMA)  # of the manifest that `assay export` writes
    assert predictor["model"]["protocolVersion"] in spec["protocolVersions"]
    assert 2 <= predictor["minReplicas"] <= predictor["maxReplicas"]
    (box,) = spec["containers"]
    assert box["name"] == "kserve-container"
    check_confined(box)
    deployed = of_kind(rendered, "Deployment")["segment"]["spec"]["template"]["spec"]["containers"]
    assert box["image"] == deployed[0]["image"]
    assert box["resources"] == deployed[0]["resources"]
    assert {mount["name"] for mount in box["volumeMounts"]} == {v["name"] for v in spec["volumes"]}
    for variable in box["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    settings = SETTINGS["segment"]()
    assert isinstance(settings, SegmentSettings)
    known = {settings.variable(field) for field in SegmentSettings.model_fields}
    assert {variable["name"] for variable in box["env"]} <= known
    (port,) = box["ports"]
    assert (port["name"], port["containerPort"]) == ("h2c", settings.port)  # KServe's word for gRPC
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert box[probe]["grpc"]["port"] == settings.health_port
    assert "inference.GRPCInferenceService" in build_service(settings).full_names
    assert settings.host == "0.0.0.0"  # noqa: S104


def test_the_ray_job_runs_the_command_on_the_claim_of_the_indexed_one() -> None:
    job = one("ray", "RayJob")["spec"]
    words = shlex.split(job["entrypoint"])
    assert words[0] == "assay"
    parsed = parser().parse_args(words[1:])
    assert (parsed.command, parsed.action, parsed.address) == ("units", "ray", "auto")
    claims = [
        each["metadata"]["name"]
        for each in yaml.safe_load_all((ROOT / "deploy/score/units.yaml").read_text("utf-8"))
        if each["kind"] == "PersistentVolumeClaim"
    ]
    cluster = job["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        (box,) = pod["containers"]
        check_confined(box)
        assert pod["securityContext"]["runAsNonRoot"]
        assert box["image"].startswith("assay/corpus:")
        values = {each["name"]: each["value"] for each in box["env"]}
        threads = values["OMP_NUM_THREADS"]
        assert values["RAY_USAGE_STATS_ENABLED"] == "0"
        assert quantity(box["resources"]["limits"]["cpu"]) == float(threads)
        volumes = {each["name"]: each for each in pod["volumes"]}
        assert {mount["name"] for mount in box["volumeMounts"]} == set(volumes)
        assert volumes["data"]["persistentVolumeClaim"]["claimName"] in claims
        for option in ("shards", "out"):
            assert str(getattr(parsed, option)).startswith("/data/")
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
