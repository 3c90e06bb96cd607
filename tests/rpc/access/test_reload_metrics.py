"""A changed file that cannot be used is seen by who watches, also where no call comes."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from services.rpc import reloading
from services.rpc.access.tokens import line_of, new_token
from services.rpc.serving.server import Server, build_server
from services.rpc.settings import ServerSettings
from tests.rpc.echo_server import Echo, echo_service

KEYS = '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "%s"}]}' % ("A" * 43)


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "_CHECK_SECONDS", 0.0)


def scraped(server: Server) -> dict[tuple[str, str], float]:
    """The reload metrics of the Prometheus page by name and what was reloaded."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics") as page:
        families = list(text_string_to_metric_families(str(page.read(), "utf-8")))
    return {
        (one.name.removeprefix("assay_reload_"), one.labels["what"]): one.value
        for family in families
        for one in family.samples
        if one.name.startswith("assay_reload_")
    }


def settings(folder: Path) -> tuple[ServerSettings, dict[str, Path]]:
    """A server that reads all there is, and a file of each kind."""
    made = trustme.CA().issue_cert("localhost")
    files = {"policy": folder / "policy", "tokens": folder / "tokens", "jwks": folder / "jwks"}
    files["policy"].write_text("")
    files["tokens"].write_text(line_of("alice", new_token()))
    files["jwks"].write_text(KEYS)
    files["certificate"] = folder / "cert.pem"
    made.cert_chain_pems[0].write_to_path(files["certificate"])
    made.private_key_pem.write_to_path(folder / "key.pem")
    return ServerSettings(
        policy_file=files["policy"],
        token_file=files["tokens"],
        jwks_file=files["jwks"],
        jwt_issuer="i",
        jwt_audience="a",
        tls_cert=files["certificate"],
        tls_key=folder / "key.pem",
    ), files


@pytest.mark.parametrize("what", ["policy", "tokens", "jwks", "certificate"])
async def test_a_change_that_cannot_be_used_is_counted_until_it_is_mended(
    tmp_path: Path, what: str
) -> None:
    began = time.time()
    chosen, files = settings(tmp_path)
    server = build_server(chosen, echo_service(Echo()))
    await server.start()
    try:
        first = scraped(server)
        for one in files:
            assert first["current", one] == 1
            assert first["failures_total", one] == 0
            assert first["last_success_timestamp_seconds", one] >= began
        good = files[what].read_bytes()
        for failures in (1, 2):
            files[what].write_bytes(b"@" * failures)
            broken = scraped(server)
            assert broken == scraped(server)
            assert broken == first | {
                ("current", what): 0,
                ("failures_total", what): failures,
            }
        files[what].write_bytes(good)
        mended = scraped(server)
        assert mended["current", what] == 1
        assert mended["failures_total", what] == 2
        success = "last_success_timestamp_seconds", what
        assert mended[success] > first[success]
    finally:
        await server.stop(0)


async def test_a_server_without_files_has_none_of_their_metrics() -> None:
    server = build_server(ServerSettings(), echo_service(Echo()))
    await server.start()
    try:
        assert not scraped(server)
    finally:
        await server.stop(0)
