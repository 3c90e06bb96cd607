"""A Kubernetes API server of one's own: kube-apiserver with etcd, and nothing that runs pods.

It decides what that of a cluster decides: schemas, defaults, validation, and admission with the
plugins that are on by default, PodSecurity among them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Object = dict[str, Any]
PROGRAMS = ("etcd", "kube-apiserver", "kubectl")
NAMESPACE = "assay"
_TOKEN = "administrator"  # noqa: S105  of a server on the loopback that ends with the tests
_READY_SECONDS = 120.0
_CLIENT = ("listen", "advertise")


@dataclass(frozen=True)
class ApiServer:
    """A running server, and kubectl as its administrator."""

    url: str
    folder: Path

    def kubectl(
        self, *words: str, given: list[Object] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What kubectl said; `given` are the objects of its standard input."""
        return subprocess.run(
            [
                *("kubectl", f"--server={self.url}", f"--token={_TOKEN}"),
                *(f"--certificate-authority={self.folder / 'certs' / 'apiserver.crt'}", *words),
            ],
            input=None if given is None else yaml.safe_dump_all(given),
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def define(self, definitions: list[Object]) -> None:
        """Make kinds of operators known, and wait until they are served."""
        if not definitions:
            return
        for words in (
            ("apply", "--server-side", "-f", "-"),
            ("wait", "--for=condition=Established", "--timeout=60s", "-f", "-"),
        ):
            done = self.kubectl(*words, given=definitions)
            assert done.returncode == 0, done.stderr

    def complaints(self, objects: list[Object], namespace: str = NAMESPACE) -> list[str]:
        """Errors and warnings of a server-side dry run; none is as it should be."""
        done = self.kubectl(
            *("apply", "--server-side", "--dry-run=server", f"--namespace={namespace}", "-f", "-"),
            given=objects,
        )
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return said or ([] if done.returncode == 0 else [f"kubectl ended with {done.returncode}"])


def missing() -> list[str]:
    """Programs that are not on PATH."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def namespace(name: str) -> list[Object]:
    """A namespace where everything that is not "restricted" is refused, or warned of."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    account = {"name": "default", "namespace": name}  # a controller makes it in a whole cluster
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
    ]


@contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """Start etcd and the server in an empty folder, make the namespace, and end both afterwards."""
    store, peers, port = _free_ports(3)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "tokens.csv").write_text(f"{_TOKEN},administrator,1,system:masters\n")
    server = ApiServer(f"https://127.0.0.1:{port}", folder)
    with ExitStack() as closing:
        closing.enter_context(
            _process(
                folder / "etcd.log",
                *("etcd", f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync"),
                *(f"--{one}-client-urls=http://127.0.0.1:{store}" for one in _CLIENT),
                f"--listen-peer-urls=http://127.0.0.1:{peers}",
            )
        )
        process = closing.enter_context(
            _process(
                folder / "kube-apiserver.log",
                *("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{store}"),
                *("--bind-address=127.0.0.1", f"--secure-port={port}"),
                *(f"--cert-dir={folder / 'certs'}", f"--token-auth-file={folder / 'tokens.csv'}"),
                *("--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24"),
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={folder / 'key.pem'}",
                f"--service-account-signing-key-file={folder / 'key.pem'}",
            )
        )
        _wait(server, process)
        done = server.kubectl("apply", "--server-side", "-f", "-", given=namespace(NAMESPACE))
        assert done.returncode == 0, done.stderr
        yield server


def _wait(server: ApiServer, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _READY_SECONDS
    while True:
        done = server.kubectl("get", "--raw=/readyz")
        if done.returncode == 0:
            return
        if process.poll() is not None or time.monotonic() > end:
            log = (server.folder / "kube-apiserver.log").read_text("utf-8", "replace")
            raise AssertionError(f"no API server: {done.stderr}\n{log[-2000:]}")
        time.sleep(0.5)


@contextmanager
def _process(log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()


def _free_ports(number: int) -> list[int]:
    with ExitStack() as closing:
        sockets = [closing.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
