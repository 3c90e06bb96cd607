"""Replaces the version in every file that names it, and dates the changelog.

python deploy/set_version.py 0.2.0 2026-12-01

The section Unreleased of CHANGELOG.md becomes that version's. CONTRIBUTING.md has the other steps
of a release.
"""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = {
    "pyproject.toml": (r'^version = "{}"$', r'"assay-rpc=={}"'),
    "protos/pyproject.toml": (r'^version = "{}"$',),
    "CITATION.cff": (r"^version: {}$",),
    "deploy/README.md": (r"/\$service:{} ", r"newTag: {}}}", r"segment-gpu:{}`"),
    "deploy/Dockerfile": (r"assay/segment:{} ",),
    "deploy/base/kustomization.yaml": (r"newTag: {}$",),
    "deploy/build/kustomization.yaml": (r"newTag: {}$",),
    "deploy/components/gpu/kustomization.yaml": (r"newTag: {}}}$",),
    "deploy/components/model-download/kustomization.yaml": (r"newTag: {}$",),
    "deploy/components/postgres/kustomization.yaml": (r"newTag: {}$",),
    "deploy/kserve/kustomization.yaml": (r"newTag: {}$",),
    "deploy/kserve/runtime.yaml": (r"assay/segment:{}$",),
    "deploy/label/kustomization.yaml": (r"newTag: {}$",),
    "deploy/ray/kustomization.yaml": (r"newTag: {}$",),
    "deploy/restore/pod/kustomization.yaml": (r"newTag: {}$",),
    "deploy/score/kustomization.yaml": (r"newTag: {}$",),
    "deploy/score/merge/kustomization.yaml": (r"newTag: {}$",),
}
"""Files, and the patterns by which each names the version."""
_VERSION = r"(?P<version>\d+\.\d+\.\d+)"


def named(root: Path) -> dict[str, list[str]]:
    """The versions that each file names, in the order of its patterns."""
    return {
        place: [
            found["version"]
            for pattern in patterns
            for found in re.finditer(
                _filled(pattern), (root / place).read_text("utf-8"), re.MULTILINE
            )
        ]
        for place, patterns in PLACES.items()
    }


def release(root: Path, version: str, day: str) -> None:
    """Write the version and the day. Raises ValueError if either is malformed."""
    if not re.fullmatch(_VERSION, version):
        raise ValueError(f"{version} is not of the form 1.2.3")
    date.fromisoformat(day)
    for place, patterns in PLACES.items():
        text = (root / place).read_text("utf-8")
        for pattern in patterns:
            text = re.sub(_filled(pattern), lambda found: _with(found, version), text, flags=re.M)
        (root / place).write_text(text, "utf-8")
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text("utf-8")
    heading = f"## Unreleased\n\n## [{version}] - {day}\n"
    changelog.write_text(text.replace("## Unreleased\n", heading, 1), "utf-8")


def _filled(pattern: str) -> str:
    return pattern.replace("{}}}", "{}\\}").replace("{}", _VERSION)


def _with(found: re.Match[str], version: str) -> str:
    before, after = found.span("version")
    start, end = found.span()
    text = found.string
    return text[start:before] + version + text[after:end]


if __name__ == "__main__":
    release(ROOT, *sys.argv[1:])
