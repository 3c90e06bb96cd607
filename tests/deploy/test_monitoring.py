"""The rules say what they are meant to, and ask for metrics that the services really have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import ROOT
from tests.deploy.test_manifests import SETTINGS, container, of_kind

FOLDER = ROOT / "deploy" / "components" / "monitoring"
RULES = yaml.safe_load((FOLDER / "rules.yaml").read_text("utf-8"))
TESTS = yaml.safe_load((FOLDER / "rules_test.yaml").read_text("utf-8"))
ALERTS = {
    rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule
}
RECORDED = {
    rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule
}
METRIC = re.compile(r"\b((?:assay_|grpc_server_|process_)[a-z_]+|assay:[a-z0-9_:]+)\b")


def expressions() -> list[str]:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
    return [
        *(rule["expr"] for group in RULES["groups"] for rule in group["rules"]),
        *(target["expr"] for panel in dashboard["panels"] for target in panel["targets"]),
    ]


@pytest.mark.process
def test_promtool_agrees() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    for words in (["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]):
        ran = subprocess.run(
            [promtool, *words], cwd=FOLDER, check=False, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_fires_in_a_test_and_has_its_line_in_the_docs() -> None:
    fired = {
        one["alertname"]
        for test in TESTS["tests"]
        for one in test["alert_rule_test"]
        if one["exp_alerts"]
    }
    assert fired == set(ALERTS)
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(Assay\w+)` \|", page, re.MULTILINE)) == set(ALERTS)
    for rule in ALERTS.values():
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_the_memory_alert_knows_the_manifests_limits(rendered: list[dict[str, Any]]) -> None:
    expression = ALERTS["AssayMemory"]["expr"]
    stated = dict(re.findall(r'vector\((\d+)\), "service", "(\w+)"', expression))
    units = {"Mi": 1 << 20, "Gi": 1 << 30}
    deployments = of_kind(rendered, "Deployment")
    limits = {}
    for service in SETTINGS:
        text = container(deployments[service])["resources"]["limits"]["memory"]
        limits[service] = int(text[:-2]) * units[text[-2:]]
    assert {service: int(number) for number, service in stated.items()} == limits


def test_the_operator_gets_the_same_rules_and_finds_the_pods(
    with_components: Callable[[Sequence[str]], list[dict[str, Any]]],
) -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "deploy" / "prometheus_rule.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    kept = ROOT / "deploy" / "components" / "prometheus-operator" / "rules.yaml"
    assert kept.read_text("utf-8") == made.stdout
    rendered = with_components(["prometheus-operator", "postgres"])
    (rule,) = of_kind(rendered, "PrometheusRule").values()
    assert rule["spec"] == RULES
    (monitor,) = of_kind(rendered, "PodMonitor").values()
    (expression,) = monitor["spec"]["selector"]["matchExpressions"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    found = set()
    for name, one in of_kind(rendered, "Deployment").items():
        ports = {port["name"] for port in container(one)["ports"]}
        labels = one["spec"]["template"]["metadata"]["labels"]
        if labels[expression["key"]] in expression["values"]:
            assert endpoint["port"] in ports
            found.add(name)
        else:
            assert endpoint["port"] not in ports
    assert found == {*SETTINGS, "ranker-operations"}


@pytest.mark.slow
def test_every_metric_is_on_a_page_of_a_service(start_service: Any, tmp_path: Path) -> None:
    found = {  # there with TLS alone
        "assay_tls_certificate_expiry_timestamp_seconds",
        "assay_ranker_peer_certificate_expiry_timestamp_seconds",
    }
    for service in SETTINGS:
        with start_service(service, {"ASSAY_HOME": str(tmp_path)}) as running:
            url = f"http://127.0.0.1:{running.metrics_port}/metrics"
            with urllib.request.urlopen(url) as page:
                text = str(page.read(), "utf-8")
        types = re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE)
        for name, kind in types:
            found.add(name)
            if kind == "histogram":
                found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    used = {name for one in expressions() for name in METRIC.findall(one)}
    assert len(used) > 15
    assert used - found <= RECORDED
