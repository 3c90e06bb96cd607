"""Builds the images, runs each and asks for its health: `make images`.

    python deploy/images.py [--target NAME ...] [--base IMAGE]

Takes docker, or buildah where no docker answers (without a daemon, also as root in a container).
The images keep their names, assay/TARGET:VERSION. Prints the size of each, and exits with 1 when
one is not ready within a minute. The image for GPUs is built and not run.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

ROOT = Path(__file__).resolve().parents[1]
PORTS = {"segment": 50061, "corpus": 50062, "ranker": 50063}
TARGETS = (*PORTS, "segment-gpu")
_READY_SECONDS = 60.0


class Docker:
    """Docker's command."""

    @staticmethod
    def available() -> bool:
        """Whether a daemon answers."""
        return bool(shutil.which("docker")) and not _quiet("docker", "info")

    def build(self, target: str, image: str, base: str) -> None:
        """Build one target."""
        run("docker", "build", *_build_words(target, image, base))

    def megabytes(self, image: str) -> float:
        """Size of an image with its base."""
        return int(said("docker", "image", "inspect", "--format={{.Size}}", image)) / 1e6

    def start(self, image: str, service: str) -> subprocess.Popen[bytes]:
        """Run it as a pod would, its health port at this machine."""
        port, variable = PORTS[service], f"ASSAY_{service.upper()}_HEALTH_PORT"
        return subprocess.Popen(
            [
                *("docker", "run", "--rm", "--read-only", "--cap-drop=ALL", "--tmpfs=/tmp"),
                *("--tmpfs=/var/lib/assay:uid=10001,gid=10001", f"--env={variable}={port}"),
                *(f"--publish=127.0.0.1:{port}:{port}", image),
            ]
        )


class Buildah:
    """Buildah's command, with what needs no daemon and no name spaces of its own."""

    @staticmethod
    def available() -> bool:
        """Whether it is installed."""
        return bool(shutil.which("buildah"))

    def build(self, target: str, image: str, base: str) -> None:
        """Build one target."""
        words = _build_words(target, image, base)
        run("buildah", "build", "--isolation=chroot", "--layers", *words)

    def megabytes(self, image: str) -> float:
        """Size of an image with its base."""
        words = ("buildah", "images", "--format={{.Size}}", image)
        number, unit = said(*words).splitlines()[0].split()
        return float(number) * {"KB": 1e-3, "MB": 1.0, "GB": 1e3}[unit]

    def start(self, image: str, service: str) -> subprocess.Popen[bytes]:
        """Run it as its own user; the network is this machine's."""
        container = said("buildah", "from", image)
        variable = f"ASSAY_{service.upper()}_HEALTH_PORT={PORTS[service]}"
        return subprocess.Popen(
            [
                *("buildah", "run", "--isolation=chroot", f"--env={variable}", container),
                *("python", "-m", f"services.{service}"),
            ]
        )


def ready(service: str) -> bool:
    """Whether its health port says SERVING within the time."""
    until = time.monotonic() + _READY_SECONDS
    with grpc.insecure_channel(f"127.0.0.1:{PORTS[service]}") as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        while time.monotonic() < until:
            with suppress(grpc.RpcError):
                reply = health_pb2.HealthCheckResponse.FromString(check(b"", timeout=1))
                if reply.status == health_pb2.HealthCheckResponse.SERVING:
                    return True
            time.sleep(0.2)
    return False


def run(*words: str) -> None:
    """Run a command, and show what it says."""
    subprocess.run(words, cwd=ROOT, check=True)


def said(*words: str) -> str:
    """Run a command; return what it says."""
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _quiet(*words: str) -> int:
    return subprocess.run(words, capture_output=True, check=False).returncode


def _build_words(target: str, image: str, base: str) -> list[str]:
    arguments = [f"--build-arg=BASE={base}"] if base else []
    return [*arguments, "--file=deploy/Dockerfile", f"--target={target}", f"--tag={image}", "."]


def main() -> int:
    """Build, run and ask."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--target", action="append", choices=TARGETS, help="default: all")
    parser.add_argument("--base", default="", help="another base than the Dockerfile's, by digest")
    options = parser.parse_args()
    builder = next((kind() for kind in (Docker, Buildah) if kind.available()), None)
    if builder is None:
        print("no docker answers and there is no buildah: install one of them", file=sys.stderr)
        return 1
    failed = []
    for target in options.target or TARGETS:
        image = f"assay/{target}:{version('assay-services')}"
        builder.build(target, image, options.base)
        told = f"{image}: {builder.megabytes(image):.0f} MB"
        if target in PORTS:
            process = builder.start(image, target)
            try:
                serves = ready(target)
            finally:
                process.terminate()
                process.wait()
            failed += [] if serves else [target]
            told += ", serves" if serves else ", is not ready"
        print(told, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
