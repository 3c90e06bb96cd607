"""How a server is reached: what a Connection refuses, sends and survives."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from assay_rpc.channel import connect, connect_async
from assay_rpc.client import AsyncSegmentClient, Connection, CorpusClient, SegmentClient
from assay_rpc.corpus.v1 import corpus_pb2_grpc, describe_pb2

from tests.client.small_server import Small, serving

TOKEN = "t"  # noqa: S105  # none that opens anything


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"target": ""}, "target is empty"),
        ({"target": "localhost"}, "is not host:port"),
        ({"target": "http://a:1/"}, "is a URL: give host:port alone, as 'a:1'"),
        ({"target": "a:1,b:1"}, "is several addresses"),
        ({"target": "a:70000"}, "ports are 1 to 65,535"),
        ({"target": "localhost:1@a.b:1"}, "is not host:port"),
        ({"target": "a:1", "tls": True, "cert": "c"}, "belong together"),
        ({"target": "a:1", "cert": "c", "key": "k"}, "needs tls=True"),
        ({"target": "a:1", "token": "secret"}, "could read it"),
        ({"target": "a:1", "tls": True, "token": "two words"}, "token must be"),
        ({"target": "a:1", "client_id": "line\nbreak"}, "client_id must be"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Connection(**options)


def test_a_name_without_a_port_is_that_of_https() -> None:
    assert Connection("assay.example.com", tls=True).name == "dns:///assay.example.com"
    assert Connection("[::1]", tls=True).name == "dns:///[::1]"


def test_a_connection_pickles_and_shows_no_token() -> None:
    connection = Connection("a:1", ca=Path("ca.pem"), token="secret", client_id="me")  # noqa: S106
    assert pickle.loads(pickle.dumps(connection)) == connection  # noqa: S301  # it is ours
    assert "secret" not in repr(connection)


@pytest.mark.parametrize(
    ("target", "loopback"),
    [
        ("localhost:1", True),
        ("dns:///127.0.0.1:1", True),
        ("[::1]:1", True),
        ("unix:/s", True),
        ("a.b:1", False),
        ("localhost.a.b:1", False),
        ("127.0.0.1.a.b:1", False),
        ("dns://a.b/localhost:1", False),
    ],
)
def test_a_token_needs_no_tls_on_this_machine(target: str, loopback: bool) -> None:
    assert Connection(target).loopback is loopback
    if loopback:
        assert Connection(target, token=TOKEN).metadata() == (("authorization", "Bearer t"),)


def test_an_unreadable_file_is_named() -> None:
    with pytest.raises(OSError, match=r"absent\.pem"):
        connect(Connection("a:1", ca="absent.pem"))


def test_every_call_sends_the_token_and_the_client_id() -> None:
    small = Small()
    with serving(small) as address:
        to = Connection(address, token=TOKEN, client_id="me")
        with CorpusClient(to) as corpora:
            assert corpora.describe("c").documents == 20
            assert corpora.corpus("c").ref.name == "c"
        with SegmentClient(to) as segment:
            assert len(list(segment.label_many([b"a", b"bb"]))) == 2
            assert segment.label(b"a").data[0] == 1
    assert len(small.metadata) == 3
    for sent in small.metadata:
        assert sent["authorization"] == "Bearer t"
        assert sent["assay-client-id"] == "me"


async def test_every_asyncio_call_sends_them_too() -> None:
    small = Small()
    with serving(small) as address:
        to = Connection(address, token=TOKEN, client_id="me")
        async with AsyncSegmentClient(to) as segment:
            assert (await segment.label(b"a")).data[0] == 1
            assert len([one async for one in segment.label_many([b"a", b"bb"])]) == 2
        async with connect_async(to) as channel:
            stub = corpus_pb2_grpc.CorpusServiceStub(channel)
            request = describe_pb2.DescribeCorpusRequest()
            kinds = [one.WhichOneof("update") async for one in stub.DescribeCorpus(request)]
            assert kinds == ["progress"] * 3 + ["result"]
    assert [sent["assay-client-id"] for sent in small.metadata] == ["me"] * 2


def test_tls_with_a_certificate_of_the_caller(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server, caller = authority.issue_cert("127.0.0.1"), authority.issue_cert("caller")
    caller.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "cert.pem").write_bytes(caller.cert_chain_pems[0].bytes())
    credentials = grpc.ssl_server_credentials(
        [(server.private_key_pem.bytes(), server.cert_chain_pems[0].bytes())],
        root_certificates=authority.cert_pem.bytes(),
        require_client_auth=True,
    )
    small = Small()
    with serving(small, credentials) as address:
        to = Connection(
            address,
            ca=tmp_path / "ca.pem",
            cert=tmp_path / "cert.pem",
            key=tmp_path / "key.pem",
            token=TOKEN,
        )
        with CorpusClient(to) as corpora:
            assert corpora.corpus("c").ref.name == "c"
    assert small.metadata[0]["authorization"] == "Bearer t"
