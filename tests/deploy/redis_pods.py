"""Redis and Sentinels as the manifests' script starts them, each pod at an address of loopback."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import trustme

from tests.deploy.conftest import ROOT
from tests.ports import free_port

START = ROOT / "deploy" / "base" / "redis.sh"
PASSWORDS = {"username": "assay", "password": "of-rankers", "server-password": "of-servers"}


def write(folder: Path, keys: dict[str, str]) -> None:
    """Write the Secret redis-auth as files, as a pod has them."""
    (folder / "auth").mkdir()
    for key, value in keys.items():
        (folder / "auth" / key).write_text(value)


def started(
    folder: Path,
    variables: dict[str, str],
    *words: str,
    ports: tuple[int, int] = (6379, 26379),
    output: int = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Run the script in a folder that stands for a pod's root, first on PATH as well."""
    script = START.read_text("utf-8")
    for name in ("auth", "data", "tls"):
        script = re.sub(rf"(?<=[ \"])/{name}\b", f"{folder}/{name}", script)
    (folder / "data").mkdir(exist_ok=True)
    for own, port in zip((26379, 6379), ports[::-1], strict=True):
        script = re.sub(rf"\b{own}\b", str(port), script)
    file = folder / "start.sh"
    if not file.exists():  # a shell reads it while it runs
        file.write_text(script)
    return subprocess.Popen(
        ["sh", str(file), *words],
        env={"PATH": f"{folder}:{os.environ['PATH']}", **variables},
        stdout=output,
        stderr=output,
        text=True,
    )


@contextmanager
def redis_pods(folder: Path) -> Iterator[Pods]:
    """Pods of which none is started yet; skips where no Redis with TLS is installed."""
    program = shutil.which("redis-server")
    if program is None or shutil.which("redis-cli") is None:
        pytest.skip("no redis-server or redis-cli on PATH")
    if b"tls-port" not in Path(program).read_bytes():
        pytest.skip("this redis-server has no TLS")
    made = Pods(folder)
    try:
        yield made
    finally:
        made.close()


class Pods:
    """Three Redis with three Sentinels, with passwords and TLS, each pod at its own address."""

    addresses = ("127.0.0.2", "127.0.0.3", "127.0.0.4")

    def __init__(self, folder: Path) -> None:
        peers = " ".join(self.addresses)
        self._variables = {"REDIS_AUTH": "yes", "REDIS_TLS": "yes", "PEERS": peers}
        self.ports = (free_port(), free_port())
        self._folder = folder
        self._running: dict[tuple[str, str], subprocess.Popen[str]] = {}
        self._authority = trustme.CA()
        self.ca = folder / "ca.crt"
        for address in self.addresses:
            own = folder / address
            (own / "tls").mkdir(parents=True)
            write(own, PASSWORDS)
            # Addresses of one machine in the place of pods.
            words = {"redis-server": f'"$@" --bind {address}', "redis-cli": f'-h {address} "$@"'}
            for name, given in words.items():
                program = own / name
                program.write_text(f"#!/bin/sh\nexec {shutil.which(name)} {given}\n")
                program.chmod(0o755)
        self.renew_certificates()

    def renew_certificates(self, *, new_authority: bool = False) -> None:
        """Replace the Secrets of servers and callers; running servers keep what they have read."""
        if new_authority:
            self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(self.ca))
        for address in self.addresses:
            files = self._folder / address / "tls"
            issued = self._authority.issue_cert(address)
            issued.cert_chain_pems[0].write_to_path(str(files / "tls.crt"))
            issued.private_key_pem.write_to_path(str(files / "tls.key"))
            shutil.copy(self.ca, files / "ca.crt")

    def start(self, address: str, role: str) -> None:
        """Start a container."""
        self._running[address, role] = self._run(address, role, output=subprocess.DEVNULL)

    def _run(self, address: str, *words: str, output: int) -> subprocess.Popen[str]:
        given = self._variables | {"SELF": address}
        return started(self._folder / address, given, *words, ports=self.ports, output=output)

    def ready(self, address: str, port: int) -> bool:
        """Whether the probe of a container passes within the time."""
        for _ in range(100):
            probe = self._run(address, "ready", str(port), output=subprocess.DEVNULL)
            if probe.wait(60) == 0:
                return True
            time.sleep(0.1)
        return False

    def client(self, address: str, port: int, password: str = "") -> redis.Redis:
        """A client of a server or a Sentinel."""
        url = f"rediss://{f':{password}@' if password else ''}{address}:{port}/0?protocol=2"
        return redis.Redis.from_url(url, ssl_ca_certs=str(self.ca), decode_responses=True)

    def kill(self, address: str, role: str) -> None:
        """End a container at once."""
        process = self._running.pop((address, role))
        process.kill()
        process.wait()

    def close(self) -> None:
        """End all."""
        for address, role in [*self._running]:
            self.kill(address, role)
