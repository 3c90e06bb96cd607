"""The versions of assay and of its numerical libraries. Imports none of them."""

from __future__ import annotations

import platform
from importlib import metadata

ENGINES = ("openvino", "onnxruntime", "onnxruntime-gpu", "torch", "transformers", "numba")
PLUMBING = ("grpcio", "protobuf")


def installed(*names: str) -> dict[str, str]:
    """Those of the given distributions that are installed, with their versions."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def summary() -> str:
    """What `assay --version` prints: a line each for assay, what runs it, and engines."""
    engines = installed(*ENGINES)
    return "\n".join(
        [
            f"assay {metadata.version('assay-services')}",
            f"python {platform.python_version()}, {_listed(installed(*PLUMBING))}",
            f"engines: {_listed(engines) or 'none (install the extra segment or corpus)'}",
        ]
    )


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
