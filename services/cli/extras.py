"""Which extra includes a library that is not installed, from the package's metadata."""

from __future__ import annotations

import re
from importlib import metadata

from services.cli.versions import installed

_DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "pillow_heif": "pillow-heif", "h5py": "h5py"}
_REQUIREMENT = re.compile(r'^(?P<name>[A-Za-z0-9._-]+).*;.*extra == "(?P<extra>[^"]+)"')
# Extras for developers of assay, not for users.
_NOT_FOR_USERS = {"dev", "docs", "adapters"}


def extras() -> dict[str, list[str]]:
    """The distributions that each extra requires, in the order of pyproject.toml."""
    found: dict[str, list[str]] = {}
    for line in metadata.requires("assay-services") or ():
        if (match := _REQUIREMENT.match(line)) and match["extra"] not in _NOT_FOR_USERS:
            found.setdefault(match["extra"], []).append(_normal(match["name"]))
    return found


def missing_library(module: str, service: str = "") -> str:
    """The message for a module that cannot be imported: its extra, and how to install that.

    If several extras include it, the message names the one called `service`.
    """
    top = module.partition(".")[0]
    distribution = _DISTRIBUTIONS.get(top, _normal(top))
    having = [extra for extra, names in extras().items() if distribution in names]
    if not having:
        return f"the Python module {top} is not installed; install assay again"
    extra = service if service in having else having[0]
    return f"{distribution} is not installed: it comes with the extra {extra}, {install(extra)}"


def incomplete(*wanted: str) -> list[str]:
    """Those of the given extras that lack a distribution."""
    known = extras()
    return [one for one in wanted if len(installed(*known[one])) < len(set(known[one]))]


def install(*wanted: str) -> str:
    """The command that installs extras."""
    return f"pip install 'assay-services[{','.join(wanted)}]'"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
