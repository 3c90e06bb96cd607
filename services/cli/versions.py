"""Which version of assay this is, and of what it computes with. Imports none of it."""

from __future__ import annotations

import platform
from importlib import metadata

ENGINES = ("openvino", "onnxruntime", "onnxruntime-gpu", "torch", "transformers", "numba")
PLUMBING = ("grpcio", "protobuf")


def installed(*names: str) -> dict[str, str]:
    """The installed ones of these distributions, with their versions."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def summary() -> str:
    """What `assay --version` prints: a line for assay, one for what runs it, one for engines."""
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
