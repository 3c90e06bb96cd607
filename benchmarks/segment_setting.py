"""What the benchmarks of segment share: real pictures, exported models, peers and their servers."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from assay.segment.v1 import images_pb2, segment_pb2
from numpy.typing import NDArray
from PIL import Image

from benchmarks import load, report
from benchmarks.serving import SegmentServer, free_port
from services.cli import testdata
from services.segment import export

ROOT = Path(__file__).resolve().parents[1]
SIZE = (1024, 768)
METHOD = "/assay.segment.v1.SegmentService/SegmentImage"
PRECISIONS = ("fp32", "bf16")
Row: TypeAlias = dict[str, Any]
_PACKAGES = ("numpy", "numba", "onnxruntime", "openvino", "pillow", "grpcio", "torch")
_QUALITY = 90
_LEAST_AGREEMENT = 0.99
_START_SECONDS = 180


@dataclass(frozen=True)
class Setting:
    """Where data, environments of peers and made files are."""

    data: Path
    venvs: Path
    folder: Path

    @property
    def checkpoint(self) -> Path:
        """The real B0, as Hugging Face lays it out."""
        return self.data / "segformer" / "b0-ade"

    def python(self, name: str) -> Path:
        """Return the Python of a peer's environment, made if it is not there."""
        venv = self.venvs / name
        python, done = venv / "bin" / "python", venv / "installed"
        if not done.exists():
            print(f"making {venv} (a few minutes, once)")
            interpreter = (name == "pytriton" and _system_python()) or sys.executable
            make: list[str | Path] = [interpreter, "-m", "venv", "--clear", "--without-pip", venv]
            subprocess.run(make, check=True)
            pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "install"]
            pip.append("--quiet")
            subprocess.run([*pip, "torch==2.13.0"], check=True)
            requirements = ROOT / "benchmarks" / "peers" / f"{name}.txt"
            subprocess.run([*pip, "-r", requirements], check=True)
            done.touch()
        return python

    def pictures(self) -> list[Path]:
        """Return the real photographs as JPEG files of 1024 x 768, made once."""
        folder = self.folder / "pictures"
        sources = sorted((self.data / "ade20k" / "images").iterdir())
        files = [folder / f"{source.stem}.jpg" for source in sources]
        folder.mkdir(parents=True, exist_ok=True)
        for source, file in zip(sources, files, strict=True):
            if not file.exists():
                with Image.open(source) as picture:
                    resized = picture.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
                resized.save(file, "JPEG", quality=_QUALITY)
        return files

    def real_b0(self, precision: str = "fp32") -> Path:
        """Return the model directory of the real B0, exported by this version of the code."""
        # The licence allows evaluation, which this is.
        return self._exported(
            f"b0-{precision}", "--checkpoint", self.checkpoint, "--precision", precision
        )

    def random_model(self, architecture: str, precision: str = "fp32") -> Path:
        """Return a model directory with random weights: speed does not depend on them."""
        source = ("--architecture", architecture, "--random-weights", "0")
        return self._exported(
            f"{architecture}-random-{precision}", *source, "--precision", precision
        )

    def _exported(self, name: str, *arguments: str | Path) -> Path:
        out = self.folder / f"{name}-{_exporter()}"
        if not out.exists():
            print(f"exporting {name} (up to a minute, once)", flush=True)
            command = [sys.executable, "-m", "services.cli", "export", "--out", out, *arguments]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        return out

    def requests(self) -> list[Path]:
        """Write our requests, one a picture: labels of the picture's size, as they are."""
        folder = self.folder / "requests"
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for picture in self.pictures():
            request = segment_pb2.SegmentImageRequest(
                image=images_pb2.Image(encoded=picture.read_bytes()),
                encoding=images_pb2.LABEL_ENCODING_RAW,
            )
            files.append(folder / f"{picture.stem}.request")
            files[-1].write_bytes(request.SerializeToString())
        return files

    def forms(self) -> list[Path]:
        """Write the pictures as what an HTTP client sends after a request's first lines."""
        folder = self.folder / "forms"
        folder.mkdir(parents=True, exist_ok=True)
        edge, files = "----assay-picture", []
        for picture in self.pictures():
            part = (
                f'--{edge}\r\nContent-Disposition: form-data; name="content"; '
                f'filename="{picture.name}"\r\nContent-Type: image/jpeg\r\n\r\n'
            )
            body = part.encode() + picture.read_bytes() + f"\r\n--{edge}--\r\n".encode()
            head = (
                f"Content-Type: multipart/form-data; boundary={edge}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            files.append(folder / f"{picture.stem}.form")
            files[-1].write_bytes(head.encode() + body)
        return files

    def triton_requests(self, *, pixels: bool = False, model: str = "segformer") -> list[Path]:
        """Let Triton's own client write requests of the Open Inference Protocol.

        One a picture, of the JPEG file, or of the tensor that B4's preprocessing makes of it.
        """
        folder = self.folder / ("tensors" if pixels else "images")
        command: list[str | Path] = [
            self.python("pytriton"),
            "-m",
            "benchmarks.peers.segment_triton_requests",
        ]
        kind = "pixels" if pixels else "image"
        subprocess.run([*command, model, kind, folder, *self.pictures()], check=True, cwd=ROOT)
        return sorted(folder.iterdir())


def _system_python() -> str | None:
    """Return the system's own Python of this version, if there is one.

    Triton runs functions in a Python that it brings, with the standard library of the environment;
    that Python is older than the latest libraries, and stops at them.
    """
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return shutil.which(name, path=os.defpath)


def requirements(name: str) -> dict[str, str]:
    """Return the versions that the list of a peer's environment pins."""
    lines = (ROOT / "benchmarks" / "peers" / f"{name}.txt").read_text("utf-8").splitlines()
    pins = (line.partition("==")[::2] for line in lines if not line.startswith("#"))
    return dict(pins)


def agreement(labels: Mapping[str, NDArray[np.uint8]]) -> dict[str, float]:
    """Return how many labels of each side are those of the first. Exits where sides do not agree.

    That all do the same work is what makes their times comparable.
    """
    first = next(iter(labels.values()))
    shares = {name: float((first == other).mean()) for name, other in labels.items()}
    if min(shares.values()) < _LEAST_AGREEMENT:
        raise SystemExit(f"the sides do not agree on the labels: {shares}")
    return {name: round(share, 6) for name, share in shares.items()}


def finish(
    options: argparse.Namespace, name: str, rows: Sequence[Mapping[str, Any]], **facts: Any
) -> None:
    """Write the result, unless the command line says otherwise."""
    if not options.no_result:
        report.write(name, rows, packages=_PACKAGES, **facts)
        return
    for key, value in facts.items():
        print(f"{key}: {value}")


def _exporter() -> str:
    """Return a name for the code that exports: models of other code are not taken for its own."""
    digest = hashlib.sha256((ROOT / "services" / "segment" / "manifest.py").read_bytes())
    for file in sorted(Path(export.__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def parse(
    description: str | None, **defaults: str | float | bool | list[str]
) -> tuple[Setting, argparse.Namespace]:
    """Return the setting and the options of a command line.

    `defaults` are options of the benchmark's own: numbers, switches, and lists of which some may be
    chosen.
    """
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    venvs = Path(os.environ.get("ASSAY_PEERS", ROOT / ".venv-peers"))
    parser.add_argument("--venvs", type=Path, default=venvs)
    parser.add_argument("--no-result", action="store_true", help="print the rows and write nothing")
    parser.add_argument(
        "--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS, help="of our engine"
    )
    for name, default in defaults.items():
        if isinstance(default, bool):
            kind: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        elif isinstance(default, list):
            kind = {"nargs": "+", "choices": default}
        else:
            kind = {"type": type(default)}
        parser.add_argument(f"--{name}", default=default, **kind)
    options = parser.parse_args()
    data = testdata.data_dir()
    if data is None:
        parser.error("no real data: set ASSAY_TEST_DATA")
    folder = options.venvs / "bench" / "segment"
    folder.mkdir(parents=True, exist_ok=True)
    return Setting(data, options.venvs.resolve(), folder.resolve()), options


@dataclass(frozen=True)
class Served:
    """A server that runs, and how load is put on it."""

    name: str
    target: load.Target
    requests: list[Path]
    pid: int
    labels_of: Callable[[bytes], bytes]

    def labels(self) -> NDArray[np.uint8]:
        """Ask once for each picture; return (pictures, height, width)."""
        width, height = SIZE
        maps = [self.labels_of(load.answer(self.target, request)) for request in self.requests]
        return np.frombuffer(b"".join(maps), np.uint8).reshape(len(maps), height, width)

    def under(self, how: load.Closed | load.Open) -> load.Result:
        """Put load on it."""
        return load.run(self.target, self.requests, how)


@contextlib.contextmanager
def ours(
    setting: Setting, model: Path, precision: str, **settings: str | float
) -> Iterator[Served]:
    """Serve a model with our service in `precision`."""
    server = SegmentServer(model, setting.folder, precision=precision, **settings)
    try:
        target = load.Target("grpc", server.address, METHOD)
        yield Served(server.engine, target, setting.requests(), server.process.pid, _ours)
    finally:
        server.stop()


@contextlib.contextmanager
def litserve(setting: Setting, kind: str, *arguments: str | Path) -> Iterator[Served]:
    """Serve with LitServe: "usual" CHECKPOINT, or "graph" MODEL PRECISION."""
    port = free_port()
    with _peer(setting, "segment", "segment_litserve", port, kind, *arguments) as process:
        _wait(process, f"http://127.0.0.1:{port}/health")
        target = load.Target("http", f"127.0.0.1:{port}", "/predict")
        yield Served(f"LitServe, {kind}", target, setting.forms(), process.pid, bytes)


@contextlib.contextmanager
def pytriton(setting: Setting, kind: str, *arguments: str | Path) -> Iterator[Served]:
    """Serve with Triton's Python front end; arguments as `litserve`'s."""
    port, http = free_port(), free_port()
    with _peer(setting, "pytriton", "segment_pytriton", port, http, kind, *arguments) as process:
        _wait(process, f"http://127.0.0.1:{http}/v2/models/segformer/ready")
        target = load.Target(
            "grpc", f"127.0.0.1:{port}", "/inference.GRPCInferenceService/ModelInfer"
        )
        requests = setting.triton_requests()
        yield Served(f"Triton-python, {kind}", target, requests, process.pid, _last)


def _ours(reply: bytes) -> bytes:
    return segment_pb2.SegmentImageResponse.FromString(reply).labels.data


def _last(reply: bytes) -> bytes:
    """Return the labels of a ModelInferResponse, whose raw contents come last."""
    return reply[-SIZE[0] * SIZE[1] :]


@contextlib.contextmanager
def _peer(
    setting: Setting, venv: str, module: str, *arguments: object
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a peer's server, which logs to MODULE.log; all that it starts ends with the context."""
    command: list[str | Path] = [setting.python(venv), "-m", f"benchmarks.peers.{module}"]
    command += map(str, arguments)
    log = (setting.folder / f"{module}.log").open("wb")
    with log:
        process = subprocess.Popen(
            command, cwd=ROOT, start_new_session=True, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)  # what it has started and left behind
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    """Wait until a URL is answered with success. Exits if the process ends before."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    begun = time.monotonic()
    while time.monotonic() < begun + _START_SECONDS:
        if process.poll() is not None:
            raise SystemExit(f"a peer did not start: {process.args!r}")
        try:
            with direct.open(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"a peer does not answer: {process.args!r}")
