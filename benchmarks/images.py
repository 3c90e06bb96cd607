"""Builds the images and tries each: `make images`.

    python -m benchmarks.images [--target NAME ...] [--base IMAGE] [--secret NAME=FILE ...]

Uses docker, or buildah if no docker answers (without a daemon, also as root in a container). The
images keep their names, assay/TARGET:VERSION. Each image runs as a pod would: it must be ready
within a minute, answer a real call and stop within half a minute, and it must have no file that its
user should not be able to use (`deploy/inside.py`). The image for GPUs is built and inspected, but
not run. `--secret` is one of the Dockerfile's, `pip` or `certificates`. Prints the sizes, and exits
with 1 if a check fails. With `--result` it writes benchmarks/results/images.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from benchmarks import report
from benchmarks.faults.callers import CALLS

ROOT = Path(__file__).resolve().parents[1]
INSIDE = ROOT / "deploy" / "inside.py"
PORTS = {"segment": (50051, 50061), "corpus": (50052, 50062), "ranker": (50053, 50063)}
TARGETS = (*PORTS, "segment-gpu")
_USER = 10001
# The service's own folder and where temporary files go; the rest of a pod is read-only.
_WRITABLE = {"/tmp", "/var/tmp", "/var/lib/assay"}  # noqa: S108  # names, not files
_READY_SECONDS, _STOP_SECONDS = 60.0, 30.0
# Largest size of an unpacked image, for the targets that have a limit.
_MOST_MEGABYTES = {"ranker": 200.0}


class Docker:
    """Docker's command."""

    name = "docker"

    @staticmethod
    def available() -> bool:
        """Whether a daemon answers."""
        return bool(shutil.which("docker")) and not _quiet("docker", "info")

    def build(self, words: list[str]) -> None:
        """Build one target."""
        run("docker", "build", *words)

    def megabytes(self, image: str) -> float:
        """Size of an image with its base."""
        return int(said("docker", "image", "inspect", "--format={{.Size}}", image)) / 1e6

    def inside(self, image: str) -> str:
        """Run `inside.py` in it; return what it prints."""
        return said("docker", "run", "--rm", "--entrypoint=python", image, *_inside())

    def start(self, image: str, service: str) -> subprocess.Popen[bytes]:
        """Run it as a pod would, with its ports on this machine."""
        words = [f"--publish=127.0.0.1:{port}:{port}" for port in PORTS[service]]
        return subprocess.Popen(
            [
                *("docker", "run", "--rm", "--read-only", "--cap-drop=ALL", "--tmpfs=/tmp"),
                *("--tmpfs=/var/lib/assay:uid=10001,gid=10001", f"--env={_health(service)}"),
                *words,
                image,
            ]
        )

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Tell the service to stop."""
        process.terminate()


class Buildah:
    """Buildah's command, with options that need neither a daemon nor name spaces."""

    name = "buildah"

    @staticmethod
    def available() -> bool:
        """Whether it is installed."""
        return bool(shutil.which("buildah"))

    def build(self, words: list[str]) -> None:
        """Build one target."""
        run("buildah", "build", "--isolation=chroot", "--layers", *words)

    def megabytes(self, image: str) -> float:
        """Size of an image with its base."""
        words = ("buildah", "images", "--format={{.Size}}", image)
        number, unit = said(*words).splitlines()[0].split()
        return float(number) * {"KB": 1e-3, "MB": 1.0, "GB": 1e3}[unit]

    def inside(self, image: str) -> str:
        """Run `inside.py` in it; return what it prints."""
        container = said("buildah", "from", image)
        try:
            return said(*_chroot(container), "python", *_inside())
        finally:
            said("buildah", "rm", container)

    def start(self, image: str, service: str) -> subprocess.Popen[bytes]:
        """Run it as its own user, on this machine's network."""
        container = said("buildah", "from", image)
        about = json.loads(said("buildah", "inspect", "--type=image", image))
        started = about["OCIv1"]["config"]["Entrypoint"]  # which `buildah run` does not take
        return subprocess.Popen([*_chroot(container, f"--env={_health(service)}"), *started])

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Tell the service to stop; buildah would kill it."""
        os.kill(_innermost(process.pid), signal.SIGTERM)


def _inside() -> tuple[str, str]:
    return "-c", INSIDE.read_text("utf-8")


def _chroot(container: str, *options: str) -> tuple[str, ...]:
    return ("buildah", "run", "--isolation=chroot", *options, container)


def _innermost(pid: int) -> int:
    """Return the last process in a line of only children, whichever thread started them."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    children = " ".join(thread.read_text("ascii") for thread in threads).split()
    return _innermost(int(children[-1])) if children else pid


def _health(service: str) -> str:
    return f"ASSAY_{service.upper()}_HEALTH_PORT={PORTS[service][1]}"


def ready(service: str) -> bool:
    """Whether its health port reports SERVING within the time."""
    until = time.monotonic() + _READY_SECONDS
    with grpc.insecure_channel(f"127.0.0.1:{PORTS[service][1]}") as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        while time.monotonic() < until:
            with suppress(grpc.RpcError):
                reply = health_pb2.HealthCheckResponse.FromString(check(b"", timeout=1))
                if reply.status == health_pb2.HealthCheckResponse.SERVING:
                    return True
            time.sleep(0.2)
    return False


def served(builder: Docker | Buildah, image: str, service: str) -> tuple[list[str], float]:
    """Run an image; return the problems of its start, answer and stop.

    Also returns the seconds until it was ready.
    """
    for port in PORTS[service]:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return [f"is not tried: another process listens at port {port}; end it"], 0.0
    began = time.monotonic()
    process = builder.start(image, service)
    try:
        if not ready(service):
            return ["is not ready"], _READY_SECONDS
        seconds = time.monotonic() - began
        try:
            CALLS[service](f"127.0.0.1:{PORTS[service][0]}")
        except grpc.RpcError as error:
            return [f"does not answer: {error}"], seconds
    finally:
        builder.stop(process)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    wrong = [] if process.wait() == 0 else [f"stops with {process.returncode}"]
    return wrong, seconds


def allowed(seen: dict[str, Any]) -> list[str]:
    """Return what an image must not have, from the findings of `inside.py`."""
    wrong = [] if seen["user"] == _USER else [f"runs as {seen['user']}"]
    if more := [path for path in seen["writable"] if path not in _WRITABLE]:
        wrong.append(f"lets its user write {', '.join(more)}")
    if seen["as_owner"]:
        wrong.append(f"has files that run as their owner: {', '.join(seen['as_owner'])}")
    if seen["tools"]:
        wrong.append(f"has {', '.join(seen['tools'])}")
    if seen["engine"] not in (None, {"answer": [2.0, 2.0], "devices": ["CPU"]}):
        wrong.append(f"has an OpenVINO that computes {seen['engine']}")
    return wrong if seen["packages"] else [*wrong, "has an empty list of packages"]


def run(*words: str) -> None:
    """Run a command and show its output."""
    subprocess.run(words, cwd=ROOT, check=True)


def said(*words: str) -> str:
    """Run a command; return its output."""
    done = subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def _quiet(*words: str) -> int:
    return subprocess.run(words, capture_output=True, check=False).returncode


def _build_words(target: str, image: str, base: str, secrets: list[str]) -> list[str]:
    words = [f"--build-arg=BASE={base}"] if base else []
    for name, _, file in (secret.partition("=") for secret in secrets):
        words.append(f"--secret=id={name},src={file}")
    return [*words, "--file=deploy/Dockerfile", f"--target={target}", f"--tag={image}", "."]


def main() -> int:
    """Build and try each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--target", action="append", choices=TARGETS, help="default: all")
    parser.add_argument("--base", default="", help="another base than the Dockerfile's, by digest")
    parser.add_argument("--secret", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--result", action="store_true", help="write what was seen")
    options = parser.parse_args()
    builder = next((kind() for kind in (Docker, Buildah) if kind.available()), None)
    if builder is None:
        print("no docker answers and there is no buildah: install one of them", file=sys.stderr)
        return 1
    base = builder.megabytes(options.base) if options.base else None
    images: list[dict[str, Any]] = []
    for target in options.target or TARGETS:
        image = f"assay/{target}:{version('assay-services')}"
        builder.build(_build_words(target, image, options.base, options.secret))
        seen = json.loads(builder.inside(image))
        wrong, told = allowed(seen), "was not run"
        size = builder.megabytes(image)
        about = {"image": image, "megabytes": size, "base_megabytes": base}
        if target in PORTS:
            more, seconds = served(builder, image, target)
            wrong += more
            about["ready_seconds"] = round(seconds, 1)
            told = f"serves after {seconds:.1f} s"
        images.append(about | {"packages": seen["packages"], "wrong": wrong})
        told = "; ".join(wrong) or told
        print(f"{image}: {size:.0f} MB, {seen['packages']} packages, {told}", flush=True)
    if options.result:
        rows = [
            report.row(
                f"image of {target}, unpacked",
                "at most",
                *(one["megabytes"], most, "MB"),
                target=1.0,
                less_is_better=True,
            )
            for one in images
            for target, most in _MOST_MEGABYTES.items()
            if f"/{target}:" in one["image"]
        ]
        report.write("images", rows, packages=("grpcio",), builder=builder.name, images=images)
    return 1 if any(one["wrong"] for one in images) else 0


if __name__ == "__main__":
    sys.exit(main())
