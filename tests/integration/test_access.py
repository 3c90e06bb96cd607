"""The command and the ranker, as processes, with TLS, tokens and a policy between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
import yaml
from assay_rpc.channel import connect_async
from assay_rpc.connection import Connection
from assay_rpc.errors import AssayError
from assay_rpc.ranker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    artifact_pb2,
    ranker_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)

from services.cli.exits import Exit
from services.rpc.access.tokens import line_of, new_token
from tests.ranker.claims.test_manifest import ARTIFACT

PROFILE = """
anonymous = ["read"]
[[grant]]
identities = ["token:operator"]
roles = ["read", "operate", "verify"]
[[grant]]
identities = ["token:alice", "token:bob"]
roles = ["read", "verify"]
"""


class Place:
    """A ranker with TLS, tokens and a policy, and the files that its callers have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = trustme.CA()
        made = authority.issue_cert("localhost")
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        made.private_key_pem.write_to_path(folder / "key.pem")
        made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        (folder / "policy.toml").write_text(PROFILE)
        self.tokens = {name: new_token() for name in ("operator", "alice", "bob")}
        lines = [line_of(name, token) for name, token in self.tokens.items()]
        (folder / "tokens").write_text("\n".join(lines))
        self.address = ""

    @property
    def settings(self) -> dict[str, str]:
        files = {
            "TLS_CERT": "cert.pem",
            "TLS_KEY": "key.pem",
            "POLICY_FILE": "policy.toml",
            "TOKEN_FILE": "tokens",
        }
        return {f"ASSAY_RANKER_{name}": str(self.folder / file) for name, file in files.items()}

    def command(
        self, *arguments: str, variables: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={**ours, "ASSAY_HOME": str(self.folder), **variables},
        )

    def channel(self, name: str) -> grpc.aio.Channel:
        return connect_async(Connection(self.address, ca=self.ca, token=self.tokens[name]))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, start_service: Any) -> Any:
    folder = tmp_path_factory.mktemp("access")
    made = Place(folder)
    variables = {**made.settings, "ASSAY_RANKER_DATABASE": str(folder / "evidence.sqlite")}
    with start_service("ranker", variables) as service:
        made.address = f"localhost:{service.port}"
        yield made


def test_the_command_speaks_tls_and_shows_its_token(place: Place) -> None:
    manifest = Path(__file__).parents[2] / "docs" / "manifests.md"
    named = {"ASSAY_RANKER_ADDR": place.address}
    secure = {**named, "ASSAY_TLS_CA": str(place.ca)}

    ran = place.command("search", "segment a photo", "--json", variables=secure)
    assert ran.returncode == Exit.DONE, ran.stderr
    assert json.loads(ran.stdout)

    # Everyone may read; checking a manifest reads, registering one changes something.
    ran = place.command("search", "segment a photo", variables=named)
    assert ran.returncode == Exit.UNAVAILABLE
    assert "ASSAY_TLS_CA" in ran.stderr

    ran = place.command("register", str(manifest), "--check", variables=secure)
    assert ran.returncode == Exit.BAD_INPUT  # it is no manifest, which reading suffices to say
    assert "ASSAY_TOKEN" not in ran.stderr

    wrong = {**secure, "ASSAY_TOKEN": "guess"}
    ran = place.command("search", "segment a photo", variables=wrong)
    assert ran.returncode == Exit.BAD_INPUT
    assert "ASSAY_TOKEN" in ran.stderr


def test_a_configuration_file_says_the_same(place: Place, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(place.tokens["operator"] + "\n")
    config = tmp_path / "config.toml"
    config.write_text(
        f'ranker_addr = "{place.address}"\ntls_ca = "{place.ca}"\ntoken_file = "{token}"\n'
    )
    ran = place.command("jobs", "list", "--json", variables={"ASSAY_CONFIG": str(config)})
    assert ran.returncode == Exit.DONE, ran.stderr

    config.write_text('ranker_adr = "x"\n')
    ran = place.command("jobs", "list", variables={"ASSAY_CONFIG": str(config)})
    assert ran.returncode == Exit.BAD_INPUT
    assert "ranker_adr: is not a known key" in ran.stderr
    assert str(config) in ran.stderr

    missing = {"ASSAY_RANKER_ADDR": place.address, "ASSAY_TLS_CA": str(tmp_path / "none.pem")}
    ran = place.command("jobs", "list", variables=missing)
    assert ran.returncode == Exit.BAD_INPUT
    assert "ASSAY_TLS_CA: there is no file" in ran.stderr

    far = {"ASSAY_RANKER_ADDR": "assay.example.com:443", "ASSAY_TOKEN": "secret"}
    ran = place.command("jobs", "list", variables=far)
    assert ran.returncode == Exit.BAD_INPUT
    assert "a token needs tls" in ran.stderr
    assert "secret" not in ran.stderr


async def test_what_is_registered_and_withdrawn_says_by_whom(place: Place) -> None:
    record = {"kind": "withdrawal", "schema": 1, "id": "thing", "version": 2, "reason": "gone"}
    async with place.channel("operator") as operator, place.channel("alice") as alice:
        stub = admin_pb2_grpc.RankerAdminServiceStub(operator)
        read = ranker_pb2_grpc.RankerServiceStub(alice)
        for content, by in ((ARTIFACT, ""), (record, "token:operator")):
            reply = await stub.RegisterManifest(
                admin_pb2.RegisterManifestRequest(manifest=yaml.safe_dump(content).encode())
            )
            assert reply.artifact.registered_by == "token:operator"
            assert reply.artifact.withdrawal.by == by
            shown = await read.GetArtifact(artifact_pb2.GetArtifactRequest(artifact="thing"))
            assert shown.artifact == reply.artifact
        packaged = await read.GetArtifact(artifact_pb2.GetArtifactRequest(artifact="the-pile"))
        assert packaged.artifact.registered_by == ""


async def test_a_job_is_cancelled_by_its_owner_or_an_operator(place: Place) -> None:
    order = verification_pb2.SubmitVerificationRequest(
        artifact="the-pile", claims=["the-pile/P1.2"]
    )
    async with place.channel("alice") as alice, place.channel("bob") as bob:
        stub = verification_pb2_grpc.VerificationServiceStub(alice)
        order.request_id = "first"
        job = (await stub.SubmitVerification(order)).job
        assert job.submitter == "token:alice"
        cancel = verification_pb2.CancelJobRequest(job=job.id)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await verification_pb2_grpc.VerificationServiceStub(bob).CancelJob(cancel)
        assert AssayError.of(caught.value).reason == "FORBIDDEN"
        assert "token:alice" in str(caught.value.details())
        assert (await stub.CancelJob(cancel)).job.id == job.id
    async with place.channel("operator") as operator:
        stub = verification_pb2_grpc.VerificationServiceStub(operator)
        assert (await stub.CancelJob(cancel)).job.id == job.id
