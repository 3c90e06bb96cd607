"""Envoy's own configuration and the Gateway's routes say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from assay_rpc.corpus.v1 import corpus_pb2, scoring_pb2
from assay_rpc.ranker.v1 import outcome_pb2, ranker_pb2
from assay_rpc.segment.v1 import segment_pb2
from google.protobuf.descriptor_pb2 import MethodOptions

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILES = (corpus_pb2, scoring_pb2, ranker_pb2, outcome_pb2, segment_pb2)


@pytest.fixture(scope="module")
def resources() -> Any:
    return yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text())["static_resources"]


def _routes(resources: Any) -> dict[str, str]:
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    return {one["match"]["prefix"]: one["route"]["cluster"] for one in host["routes"]}


def test_services_are_routed_as_by_the_gateway(resources: Any) -> None:
    rules = yaml.safe_load((DEPLOY / "gateway" / "routes.yaml").read_text())["spec"]["rules"]
    assert _routes(resources) == {
        f"/{match['method']['service']}/": rule["backendRefs"][0]["name"]
        for rule in rules
        for match in rule["matches"]
    }


def test_clusters_are_the_headless_services(resources: Any) -> None:
    ports = {}
    for name in ("segment", "corpus", "ranker"):
        made = yaml.safe_load_all((DEPLOY / "base" / f"{name}.yaml").read_text())
        (service,) = (one for one in made if one["kind"] == "Service")
        assert service["spec"]["clusterIP"] == "None"
        ports[name] = {one["name"]: one["port"] for one in service["spec"]["ports"]}["grpc"]
    places = {
        one["name"]: one["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        for one in resources["clusters"]
    }
    assert ports == {
        name: place["address"]["socket_address"]["port_value"] for name, place in places.items()
    }
    assert all(name == one["address"]["socket_address"]["address"] for name, one in places.items())


def test_every_routed_method_may_be_called_again(resources: Any) -> None:
    """Envoy sends a call again that a replica did not answer."""
    services = {
        service.full_name: service
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
    }
    for prefix in _routes(resources):
        if prefix == "/inference.GRPCInferenceService/":
            continue  # KServe's contract has no levels; its methods change nothing here
        for method in services[prefix.strip("/")].methods:
            level = method.GetOptions().idempotency_level
            assert level != MethodOptions.IDEMPOTENCY_UNKNOWN, method.full_name
