"""A server with a policy: who is served, who is refused and how, and what the log keeps."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import trustme
from assay_rpc.channel import connect_async
from assay_rpc.connection import Connection
from assay_rpc.errors import AssayError
from assay_rpc.ranker.v1 import artifact_pb2, ranker_pb2_grpc
from assay_rpc.segment.v1 import admin_pb2, admin_pb2_grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from services.common.identity import ANONYMOUS, Identity, of_certificate
from services.errors import QuotaExceeded
from services.rpc import reloading
from services.rpc.access.access import Access
from services.rpc.access.tokens import line_of, new_token
from services.rpc.call import host_of
from services.rpc.serving.listening import StartError
from services.rpc.serving.server import Server, build_server
from services.rpc.serving.service import Service
from services.rpc.settings import ServerSettings
from tests.rpc.echo_server import RANKER, Echo, echo_service, method, nothing

ADMIN = "assay.segment.v1.SegmentAdminService"


@asynccontextmanager
async def serving(
    settings: ServerSettings, service: Service | None = None
) -> AsyncIterator[Server]:
    server = build_server(settings, service or echo_service(Echo()))
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "_CHECK_SECONDS", 0.0)


@pytest.fixture
def tokens() -> dict[str, str]:
    return {name: new_token() for name in ("alice", "bob")}


@pytest.fixture
def settings(tmp_path: Path, tokens: dict[str, str]) -> ServerSettings:
    policy, file = tmp_path / "policy.toml", tmp_path / "tokens"
    policy.write_text(
        """
        anonymous = ["read"]
        [[grant]]
        identities = ["token:alice"]
        roles = ["operate"]
        calls_per_second = 0.001
        burst = 2
        """
    )
    file.write_text("\n".join(line_of(name, token) for name, token in tokens.items()))
    return ServerSettings(policy_file=policy, token_file=file)


def to(server: Server, token: str | None = None) -> grpc.aio.Channel:
    return connect_async(Connection(f"127.0.0.1:{server.port}", token=token))


async def refusal(call: Any) -> AssayError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return AssayError.of(caught.value)


async def listed(channel: grpc.aio.Channel) -> None:
    stub = ranker_pb2_grpc.RankerServiceStub(channel)
    await stub.ListArtifacts(artifact_pb2.ListArtifactsRequest())


async def test_roles_decide_and_each_refusal_has_its_reason(
    settings: ServerSettings, tokens: dict[str, str]
) -> None:
    async with serving(settings) as server:
        async with to(server) as channel:
            await listed(channel)
            found = await refusal(method(channel, "UnaryUnary")(b"x"))
            assert (found.reason, found.code) == (
                "UNAUTHENTICATED",
                grpc.StatusCode.UNAUTHENTICATED,
            )
        async with to(server, tokens["bob"]) as channel:
            await listed(channel)
            found = await refusal(method(channel, "UnaryUnary")(b"x"))
            assert (found.reason, found.code) == ("FORBIDDEN", grpc.StatusCode.PERMISSION_DENIED)
            assert "token:bob" in str(found)
        async with to(server, "wrong") as channel:
            # Also where anonymous callers are served: a wrong token is a mistake to be told.
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await listed(channel)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        async with to(server, tokens["alice"]) as channel:
            for shape in ("UnaryUnary", "UnaryStream"):
                call = method(channel, shape)(b"x")
                await (call if shape == "UnaryUnary" else call.read())
            found = await refusal(method(channel, "UnaryUnary")(b"x"))
            assert (found.reason, found.code) == (
                "QUOTA_EXCEEDED",
                grpc.StatusCode.RESOURCE_EXHAUSTED,
            )
            assert (found.retry_after or 0) > 60


@pytest.mark.parametrize("first", ["alice", "bob"])
async def test_of_two_tokens_none_counts(
    settings: ServerSettings, tokens: dict[str, str], first: str
) -> None:
    both = sorted(tokens, key=lambda name: name != first)
    metadata = tuple(("authorization", f"Bearer {tokens[name]}") for name in both)
    async with serving(settings) as server, to(server) as channel:
        found = await refusal(method(channel, "UnaryUnary")(b"x", metadata=metadata))
        assert found.reason == "UNAUTHENTICATED"
        assert "once" in str(found)


@pytest.mark.parametrize(
    ("host", "other", "shared"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1", True),
        ("unix:", "unix:", True),
    ],
)
def test_who_has_an_address_of_ipv6_has_its_network(
    tmp_path: Path, host: str, other: str, shared: bool
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('anonymous = ["read"]\nanonymous_calls_per_second = 0.001')
    access = Access(ServerSettings(policy_file=policy))
    name = f"/{RANKER}/ListArtifacts"
    access.admit_as(name, ANONYMOUS, host)
    if shared:
        with pytest.raises(QuotaExceeded):
            access.admit_as(name, ANONYMOUS, other)
    else:
        access.admit_as(name, ANONYMOUS, other)


@pytest.mark.parametrize("peer", ["ipv4:127.0.0.1:4", "ipv6:%5B::1%5D:4", "ipv6:[::1]:4"])
def test_both_ports_name_an_address_alike(peer: str) -> None:
    assert host_of(peer) in {"127.0.0.1", "::1"}


@pytest.mark.parametrize("shape", ["UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream"])
async def test_nothing_of_a_refused_call_reaches_the_service(
    settings: ServerSettings, shape: str
) -> None:
    echo = Echo()
    async with serving(settings, echo_service(echo)) as server, to(server) as channel:
        call = method(channel, shape)
        code = grpc.StatusCode.INTERNAL
        while code is grpc.StatusCode.INTERNAL:  # gRPC's own, of a message to a call that has ended
            answer = call(b"x" if shape.startswith("Unary") else iter([b"x"]))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await (answer.read() if shape.endswith("Stream") else answer)
            code = caught.value.code()
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert echo.calls == 0


async def test_changed_files_are_in_use_and_broken_ones_are_not(
    settings: ServerSettings, tokens: dict[str, str]
) -> None:
    assert settings.policy_file
    assert settings.token_file
    async with serving(settings) as server, to(server, tokens["alice"]) as channel:
        await method(channel, "UnaryUnary")(b"x")
        settings.policy_file.write_text("not TOML")
        with capture_logs() as logged:
            await method(channel, "UnaryUnary")(b"x")  # the old policy stays
        assert any("cannot be used" in entry["event"] for entry in logged)
        settings.policy_file.write_text("")
        found = await refusal(method(channel, "UnaryUnary")(b"x"))
        assert found.reason == "FORBIDDEN"
        settings.token_file.write_text(line_of("bob", tokens["bob"]))
        found = await refusal(method(channel, "UnaryUnary")(b"x"))
        assert found.reason == "UNAUTHENTICATED"


def test_any_error_of_a_changed_file_is_logged_and_the_value_before_stays(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("1")
    value = reloading.Reloaded((file,), lambda: 1 // int(file.read_text()))
    file.write_text("0 ")
    with capture_logs() as logged:
        assert value.get() == 1
    assert "by zero" in logged[0]["error"]


async def test_changes_are_kept_in_the_log_with_their_caller(
    settings: ServerSettings, tokens: dict[str, str]
) -> None:
    with capture_logs() as logged:  # to the server's end: a caller has its answer before the log
        async with serving(settings) as server:
            async with to(server, tokens["alice"]) as channel:
                await method(channel, "UnaryUnary")(b"x")
                await listed(channel)
            for token in (tokens["bob"], None):
                async with to(server, token) as channel:
                    await refusal(method(channel, "UnaryUnary")(b"x"))
    changes = [entry for entry in logged if entry["event"] == "change"]
    assert [(entry["caller"], entry["code"]) for entry in changes] == [
        ("token:alice", "OK"),
        ("token:bob", "PERMISSION_DENIED"),
        ("anonymous", "UNAUTHENTICATED"),
    ]
    assert not any(token in str(logged) for token in tokens.values())


@pytest.mark.parametrize("field", ["policy_file", "token_file", "jwks_file"])
async def test_a_bad_file_stops_the_start_and_is_named(tmp_path: Path, field: str) -> None:
    bad = tmp_path / "bad"
    bad.write_text("@")
    more = {"jwt_issuer": "i", "jwt_audience": "a"} if field == "jwks_file" else {}
    settings = ServerSettings(**{field: bad, **more})  # type: ignore[arg-type]
    with pytest.raises(StartError, match=f"ASSAY_{field.upper()}.*bad"):
        await build_server(settings, echo_service(Echo())).start()


class Admin(admin_pb2_grpc.SegmentAdminServiceServicer):
    async def GetRepository(  # noqa: N802
        self, request: admin_pb2.GetRepositoryRequest, context: Any
    ) -> admin_pb2.GetRepositoryResponse:
        return admin_pb2.GetRepositoryResponse()


def with_admin() -> Service:
    def register(server: grpc.aio.Server) -> None:
        Echo().register(server)
        admin = Admin()  # type: ignore[abstract]
        admin_pb2_grpc.add_SegmentAdminServiceServicer_to_server(admin, server)

    return Service("echo", register, (RANKER, ADMIN), warm=nothing, close=nothing)


async def names(port: int) -> set[str]:
    async with connect_async(f"127.0.0.1:{port}") as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(cast("grpc.Channel", channel))
        call = stub.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        )
        reply = await call.read()
        return {service.name for service in reply.list_services_response.service}


async def test_admin_services_can_have_a_port_of_their_own() -> None:
    async with serving(ServerSettings(admin_port=0), with_admin()) as server:
        request = admin_pb2.GetRepositoryRequest()
        async with connect_async(f"127.0.0.1:{server.admin_port}") as channel:
            await admin_pb2_grpc.SegmentAdminServiceStub(channel).GetRepository(request)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await listed(channel)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        async with to(server) as channel:
            await listed(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await admin_pb2_grpc.SegmentAdminServiceStub(channel).GetRepository(request)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert ADMIN in await names(server.admin_port)
        assert ADMIN not in await names(server.port)
    async with serving(ServerSettings(), with_admin()) as server:
        assert server.admin_port == 0
        assert {ADMIN, RANKER} <= await names(server.port)


async def test_reflection_is_a_setting() -> None:
    async with serving(ServerSettings(reflection=False)) as server:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await names(server.port)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


class Authority:
    """A certificate authority, and the files that a server and its clients read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)

    def write(self, name: str, *hosts: str, **options: Any) -> None:
        made = self.authority.issue_cert(*hosts, **options)
        made.private_key_pem.write_to_path(self.folder / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(self.folder / f"{name}.pem")

    def settings(self, **more: Any) -> ServerSettings:
        return ServerSettings(
            tls_cert=self.folder / "server.pem", tls_key=self.folder / "server.key", **more
        )

    def to(self, server: Server, name: str | None = None) -> grpc.aio.Channel:
        target = f"localhost:{server.port}"
        if name is None:
            return connect_async(Connection(target, ca=self.ca))
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        return connect_async(Connection(target, ca=self.ca, cert=cert, key=key))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path)
    made.write("server", "localhost")
    return made


def workload(folder: Path, uri: str) -> None:
    """Write workload.pem and .key with a SPIFFE id, and workloads.pem; trustme makes none."""
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    issuer, subject = (
        x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])
        for name in ("authority", "workload")
    )
    root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def signed(
        name: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> bytes:
        number = x509.random_serial_number()
        made = x509.CertificateBuilder(
            issuer, name, key.public_key(), number, now - day, now + day
        ).add_extension(extension, critical=False)
        return made.sign(root, hashes.SHA256()).public_bytes(Encoding.PEM)

    constraints = x509.BasicConstraints(ca=True, path_length=None)
    (folder / "workloads.pem").write_bytes(signed(issuer, root, constraints))
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
    (folder / "workload.pem").write_bytes(signed(subject, leaf, names))
    (folder / "workload.key").write_bytes(
        leaf.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


async def test_a_certificate_is_an_identity(authority: Authority, tmp_path: Path) -> None:
    workload(authority.folder, "spiffe://cluster.local/ns/assay/sa/ranker")
    authority.write("carol", "carol.example", common_name="carol")
    authority.write("dave", "dave.example", common_name="dave")
    policy = tmp_path / "policy.toml"
    policy.write_text(
        """
        [[grant]]
        identities = ["spiffe://cluster.local/ns/assay/*", "certificate:carol"]
        roles = ["operate"]
        """
    )
    settings = authority.settings(
        tls_client_ca=authority.folder / "clients.pem", policy_file=policy
    )
    clients = (authority.ca.read_bytes(), (authority.folder / "workloads.pem").read_bytes())
    (authority.folder / "clients.pem").write_bytes(b"".join(clients))
    async with serving(settings) as server:
        for name in ("workload", "carol"):
            async with authority.to(server, name) as channel:
                assert await method(channel, "UnaryUnary")(b"x") == b"x"
        async with authority.to(server, "dave") as channel:
            found = await refusal(method(channel, "UnaryUnary")(b"x"))
            assert found.reason == "FORBIDDEN"
            assert "certificate:dave" in str(found)


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        (b"carol", Identity("certificate:carol")),
        ("Zoë".encode(), Identity("certificate:Zoë")),
        ("carol\u202e".encode(), None),
        (b"carol\n", None),
        (b"", None),
    ],
)
def test_a_name_that_cannot_be_shown_is_nobodys(name: bytes, identity: Identity | None) -> None:
    assert of_certificate({"x509_common_name": [name]}) == identity


async def test_a_renewed_certificate_is_served_without_a_restart(authority: Authority) -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2)
    authority.write("server", "localhost", not_after=soon)
    async with serving(authority.settings()) as server:
        value = "assay_tls_certificate_expiry_timestamp_seconds"
        assert server.registry.get_sample_value(value) == pytest.approx(soon.timestamp(), abs=1)
        async with authority.to(server) as channel:
            await method(channel, "UnaryUnary")(b"x")
        new = Authority(authority.folder)  # another authority: only a new handshake can succeed
        new.write("server", "localhost")
        async with new.to(server) as channel:
            await method(channel, "UnaryUnary")(b"x")
        later = server.registry.get_sample_value(value)
        assert (later or 0) > soon.timestamp()
        # Half a renewal: the key is another's. The certificate before it stays in use.
        other = Authority(authority.folder)
        key = (authority.folder / "server.key").read_bytes()
        other.write("server", "localhost")
        (authority.folder / "server.key").write_bytes(key)
        new.authority.cert_pem.write_to_path(new.ca)
        async with new.to(server) as channel:
            await method(channel, "UnaryUnary")(b"x")


async def test_an_expired_certificate_stops_the_start(authority: Authority) -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    authority.write("server", "localhost", not_before=past - datetime.timedelta(1), not_after=past)
    with pytest.raises(StartError, match=r"ASSAY_TLS_CERT.*server\.pem expired on .*renew it"):
        await build_server(authority.settings(), echo_service(Echo())).start()


async def test_the_key_of_another_certificate_is_named(authority: Authority) -> None:
    authority.write("other", "localhost")
    settings = ServerSettings(
        tls_cert=authority.folder / "server.pem", tls_key=authority.folder / "other.key"
    )
    with pytest.raises(StartError, match=r"ASSAY_TLS_KEY.*other\.key is not the one"):
        await build_server(settings, echo_service(Echo())).start()


async def test_calls_of_one_address_share_a_rate_over_any_number_of_connections(
    tmp_path: Path,
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('anonymous = ["operate"]\nanonymous_calls_per_second = 0.001')
    async with serving(ServerSettings(policy_file=policy)) as server:
        codes = []
        for _ in range(3):
            channel = grpc.aio.insecure_channel(
                f"127.0.0.1:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)]
            )
            async with channel:
                try:
                    await method(channel, "UnaryUnary")(b"x")
                    codes.append(grpc.StatusCode.OK)
                except grpc.aio.AioRpcError as error:
                    codes.append(error.code())
        refused = grpc.StatusCode.RESOURCE_EXHAUSTED
        assert codes == [grpc.StatusCode.OK, refused, refused]
