"""Versions, extras and engines of this installation."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from services.cli.doctor.finding import Finding, Level
from services.cli.extras import extras, install
from services.cli.versions import PLUMBING, installed

_OLDEST, _NEWEST = (3, 11), (3, 13)
_SERVICES = ("segment", "corpus", "ranker")
_WHAT_FOR = {
    "export": "to export checkpoints",
    "score": "to score Hugging Face models",
    "openvino": "the fast engine on CPUs",
    "page": "the ranker's pages",
    "build": "to build corpora",
    "corpus-audit": "languages and near duplicates in audits",
    "parquet": "corpora in parquet and Arrow files",
    "object-storage": "corpora over https://",
    "ray": "scoring and building on several machines",
    "postgres": "several rankers with one database",
    "heic": "photographs of iPhones",
    "tensorflow-weights": "checkpoints of TensorFlow",
}


def versions() -> Iterator[Finding]:
    """Assay, its client package and Python."""
    ours, client = metadata.version("assay-services"), installed("assay-rpc").get("assay-rpc", "")
    if client == ours:
        yield Finding("assay", Level.FINE, f"{ours} in {sys.prefix}")
    else:
        yield Finding(
            "assay",
            Level.WRONG,
            f"{ours}, and its client package assay-rpc {client or 'is not installed'}",
            "install both of one version: make setup in a checkout, else pip install ./protos .",
        )
    said = f"{platform.python_version()}, " + ", ".join(
        f"{name} {version}" for name, version in installed(*PLUMBING).items()
    )
    if _OLDEST <= sys.version_info[:2] <= _NEWEST:
        yield Finding("python", Level.FINE, said)
    else:
        yield Finding("python", Level.WARNING, said, "3.11, 3.12 and 3.13 are tested")


def libraries() -> Iterator[Finding]:
    """Which extras are complete."""
    for extra, wanted in extras().items():
        missing = [one for one in wanted if one not in installed(one)]
        if extra in _SERVICES and missing:
            yield Finding(
                f"extra {extra}",
                Level.WARNING,
                f"lacks {', '.join(missing)}: commands that need {extra} do not work",
                install(extra),
            )
        elif extra in _SERVICES:
            yield Finding(f"extra {extra}", Level.FINE, "installed")
        elif extra in _WHAT_FOR:
            what = _WHAT_FOR[extra]
            found = "installed" if not missing else f"lacks {', '.join(missing)}"
            yield Finding(
                f"extra {extra}",
                Level.OFF if missing else Level.FINE,
                f"{found} ({what})",
                install(extra) if missing else "",
            )


def engines() -> Iterator[Finding]:
    """Engines, and their devices. `libraries` says, once, how to install an engine."""
    yield _openvino()
    yield _onnxruntime()
    torch = installed("torch").get("torch")
    yield (
        Finding("torch", Level.FINE, torch)
        if torch
        else Finding("torch", Level.OFF, "not installed (extra export or score)")
    )


def _openvino() -> Finding:
    version = installed("openvino").get("openvino")
    if version is None:
        return Finding("OpenVINO", Level.OFF, "not installed (extra openvino)")
    import openvino  # noqa: PLC0415  of an extra

    return Finding(
        "OpenVINO", Level.FINE, f"{version} on {', '.join(openvino.Core().available_devices)}"
    )


def _onnxruntime() -> Finding:
    found = installed("onnxruntime", "onnxruntime-gpu")
    if not found:
        return Finding("ONNX Runtime", Level.OFF, "not installed (extra segment or corpus)")
    if len(found) > 1:
        return Finding(
            "ONNX Runtime",
            Level.WRONG,
            "onnxruntime and onnxruntime-gpu are both installed, and own the same module",
            "pip uninstall onnxruntime onnxruntime-gpu, then install the one that you need",
        )
    import onnxruntime  # noqa: PLC0415  of an extra

    providers = ", ".join(
        one.removesuffix("ExecutionProvider") for one in onnxruntime.get_available_providers()
    )
    ((name, version),) = found.items()
    return Finding("ONNX Runtime", Level.FINE, f"{name} {version} with {providers}")
