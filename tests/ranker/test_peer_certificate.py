"""The certificate that segment and corpus are shown is read once: when it expires is told."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from services.ranker.__main__ import build_service
from services.ranker.settings import RankerSettings
from services.rpc.serving.listening import StartError
from services.rpc.serving.server import Server, build_server

NAME = "assay_ranker_peer_certificate_expiry_timestamp_seconds"


def settings(folder: Path, days: float) -> tuple[RankerSettings, datetime.datetime]:
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    authority = trustme.CA()
    made = authority.issue_cert("ranker", not_after=expires)
    files = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(files["ca"])
    made.cert_chain_pems[0].write_to_path(files["cert"])
    made.private_key_pem.write_to_path(files["key"])
    given: dict[str, Any] = {f"peer_tls_{name}": file for name, file in files.items()}
    ports: dict[str, Any] = {"port": 0, "health_port": 0, "metrics_port": 0}
    return RankerSettings(**ports, **given, database=folder / "evidence.sqlite"), expires


def server(given: RankerSettings) -> Server:
    return build_server(given, build_service(given))


async def test_its_expiry_is_on_the_metrics_page(tmp_path: Path) -> None:
    given, expires = settings(tmp_path, 3)
    running = server(given)
    await running.start()
    try:
        assert running.registry.get_sample_value(NAME) == pytest.approx(expires.timestamp(), abs=1)
    finally:
        await running.stop(0)


async def test_an_expired_one_stops_the_start(tmp_path: Path) -> None:
    given, _ = settings(tmp_path, -1)
    with pytest.raises(StartError, match=r"ASSAY_RANKER_PEER_TLS_CERT.*expired"):
        await server(given).start()


async def test_without_one_there_is_no_metric(tmp_path: Path) -> None:
    given = RankerSettings(database=tmp_path / "evidence.sqlite")
    names = {one.name for each in build_service(given).collectors for one in each.collect()}
    assert names
    assert NAME not in names
