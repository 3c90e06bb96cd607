"""What docs/operations.md has a stranger do fits the manifests."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import trustme
from assay_rpc.channel import connect_async
from assay_rpc.ranker.v1 import artifact_pb2, ranker_pb2_grpc

from services.cli.connections.remote import connection_to
from services.rpc.serving.server import build_server
from services.rpc.settings import ServerSettings
from tests.deploy.conftest import ROOT, kustomize
from tests.deploy.test_components import check_confined
from tests.deploy.test_manifests import SETTINGS, container, of_kind, pod, variables
from tests.rpc.echo_server import Echo, echo_service

Object = dict[str, Any]
Render = Callable[[Sequence[str]], list[Object]]
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
FENCES = re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def certify(authority: trustme.CA, folder: Path, *names: str) -> None:
    """The files of a Secret as cert-manager makes them."""
    folder.mkdir()
    made = authority.issue_cert(*names)
    made.private_key_pem.write_to_path(folder / "tls.key")
    made.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    authority.cert_pem.write_to_path(folder / "ca.crt")


async def test_the_first_request_of_the_page_is_served_with_tls_as_rendered(
    with_components: Render, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    certify(authority, tmp_path / "ranker", "localhost")
    certify(authority, tmp_path / "caller", "caller")
    given = {
        name.removeprefix("ASSAY_RANKER_").lower(): tmp_path / "ranker" / Path(value).name
        for name, value in variables(with_components(["tls"]), "ranker").items()
        if name.startswith("ASSAY_RANKER_TLS_")
    }
    server = build_server(ServerSettings(**given), echo_service(Echo()))  # type: ignore[arg-type]
    await server.start()
    try:
        (exports,) = (line for fence in FENCES for line in fence.splitlines() if "export" in line)
        for name, value in re.findall(r"(\w+)=(\S+)", exports):
            file = tmp_path / "caller" / value
            monkeypatch.setenv(name, str(file) if file.exists() else "")
        async with connect_async(connection_to(f"localhost:{server.port}")) as channel:
            stub = ranker_pb2_grpc.RankerServiceStub(channel)
            await stub.ListArtifacts(artifact_pb2.ListArtifactsRequest(), timeout=30)
    finally:
        await server.stop(0)


def test_certificates_have_the_names_that_services_are_called_by(with_components: Render) -> None:
    rendered = with_components(["postgres", "tls"])
    rows = dict(re.findall(r"^ +\| `(\w+)-tls` \|(.*)$", PAGE, re.MULTILINE))
    rows = {name: row for name, row in rows.items() if name != "redis"}
    assert rows.keys() == SETTINGS.keys()
    secrets = {
        name: volume["secret"]["secretName"].removesuffix("-tls")
        for name, one in of_kind(rendered, "Deployment").items()
        for volume in pod(one)["volumes"]
        if "secret" in volume and name != "redis"
    }
    for name, row in secrets.items():
        assert f"`{name}`" in rows[row]


def test_ports_with_tls_are_not_announced_without(with_components: Render) -> None:
    for components, announced in (([], SETTINGS.keys()), (["postgres", "tls"], set())):
        services = of_kind(with_components(components), "Service")
        plain = {
            name
            for name, one in services.items()
            for port in one["spec"]["ports"]
            if port.get("appProtocol") == "kubernetes.io/h2c"
        }
        assert plain == announced


def test_labels_of_the_page_select_pods(rendered: list[Object]) -> None:
    labels = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in of_kind(rendered, "Deployment").values()
    ]
    named = re.findall(r" -l ([\w./-]+)=([\w-]+)", PAGE)
    assert named
    for key, value in named:
        assert any(one.get(key) == value for one in labels), (key, value)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_restore_has_what_the_ranker_and_its_backups_have(
    kind: str, with_components: Render
) -> None:
    rendered = with_components(["postgres"] if kind == "postgres" else [])
    (found,) = kustomize(ROOT / "deploy" / "restore" / kind)
    kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)
    assert f"deploy/restore/{kind}" in PAGE
    assert f"pod/{found['metadata']['name']}" in PAGE
    spec = found["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    (box,) = spec["containers"]
    check_confined(box)
    ranker = of_kind(rendered, "Deployment")["ranker"]
    assert box["image"] == container(ranker)["image"]
    mounts = {mount["name"]: mount["mountPath"] for mount in box["volumeMounts"]}
    claims = {
        volume["persistentVolumeClaim"]["claimName"]: mounts[volume["name"]]
        for volume in spec["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claims.keys() <= of_kind(rendered, "PersistentVolumeClaim").keys()
    if kind == "sqlite":
        assert claims == {"ranker-evidence": "/var/lib/assay"}  # as the ranker has it
        return
    assert claims == {"ranker-backups": "/backups"}
    job = of_kind(rendered, "CronJob")["ranker-backup"]["spec"]["jobTemplate"]["spec"]["template"]
    assert found["metadata"]["labels"].items() >= job["metadata"]["labels"].items()
    own = job["spec"]["containers"][0]
    assert [one for one in own["env"] if "valueFrom" in one] == box["env"]
