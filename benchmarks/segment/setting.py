"""What the benchmarks of segment share: options, pictures, models, requests, environments."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from assay_rpc.segment.v1 import images_pb2, segment_pb2
from PIL import Image

from benchmarks import report
from services.cli import testdata
from services.segment import export
from services.segment.engines.openvino import capabilities

ROOT = Path(__file__).resolve().parents[2]
SIZE = (1024, 768)
PRECISIONS = ("fp32", "bf16")
Row: TypeAlias = dict[str, Any]
_PACKAGES = (
    *("numpy", "numba", "onnxruntime", "openvino", "pillow", "grpcio", "torch", "transformers"),
)
_QUALITY = 90


@dataclass(frozen=True)
class Setting:
    """The folders of data, of peers' environments and of generated files."""

    data: Path
    venvs: Path
    folder: Path

    @property
    def checkpoint(self) -> Path:
        """The folder of the real B0, in Hugging Face's layout."""
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
        """Write our requests, one a picture, for raw labels of the picture's size."""
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
        """Write the pictures as HTTP requests without their first lines."""
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

    Triton runs functions in a Python that it brings, with the environment's standard library; this
    Python is older than the latest libraries and fails with them.
    """
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return shutil.which(name, path=os.defpath)


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
    """Return a name for the version of the export's code, so that older models are not reused."""
    digest = hashlib.sha256((ROOT / "services" / "segment" / "manifest.py").read_bytes())
    for file in sorted(Path(export.__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def parse(
    description: str | None, **defaults: str | float | bool | list[str]
) -> tuple[Setting, argparse.Namespace]:
    """Return the setting and the options of a command line.

    `defaults` holds the benchmark's own options: numbers, switches, and lists to choose from.
    """
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    here = [one for one in PRECISIONS if one == "fp32" or one.upper() in capabilities()]
    venvs = Path(os.environ.get("ASSAY_PEERS", ROOT / ".venv-peers"))
    parser.add_argument("--venvs", type=Path, default=venvs)
    parser.add_argument("--no-result", action="store_true", help="print the rows and write nothing")
    parser.add_argument(
        "--precisions", nargs="+", choices=PRECISIONS, default=here, help="of our engine"
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
