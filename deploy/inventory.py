"""Lists an image's packages, as CycloneDX, and their licences.

    python inventory.py NAME VERSION FOLDER

Run in the image's build, by its own interpreter, so that it lists the installed packages. Writes
sbom.cdx.json and licences.txt. Exits with 1 if a package states no licence, unless the package only
depends on others (cuda-toolkit) and installs no file.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any


def licence(package: Distribution) -> str:
    """Return the licence in a package's metadata; empty if there is none."""
    about = package.metadata
    if stated := about.get("License-Expression"):
        return str(stated)
    named = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or ()
        if line.startswith("License :: ")
    ]
    if named := [one for one in named if one != "OSI Approved"]:
        return " AND ".join(sorted(named))
    # Some packages put the whole text into this field.
    first = str(about.get("License") or "").strip().splitlines()
    return first[0] if first else ""


def installs_nothing(package: Distribution) -> bool:
    """Whether a package has no files except those that describe it."""
    return package.files is not None and all(
        file.parts[0].endswith(".dist-info") for file in package.files
    )


def name_of(package: Distribution) -> str:
    """Return a package's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()


def component(package: Distribution) -> dict[str, Any]:
    """Describe a package as CycloneDX does."""
    name, version = name_of(package), package.version
    url = f"pkg:pypi/{name}@{version}"
    stated = licence(package)
    expression = package.metadata.get("License-Expression")
    shown = {"expression": expression} if expression else {"license": {"name": stated}}
    return {
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": version,
        "purl": url,
        "licenses": [shown] if stated else [],
    }


def bill(name: str, version: str, packages: Iterable[Distribution]) -> dict[str, Any]:
    """Return the list of an image's packages."""
    components = sorted(map(component, packages), key=lambda one: str(one["name"]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": name, "name": name, "version": version}
        },
        "components": components,
        "dependencies": [{"ref": name, "dependsOn": [one["bom-ref"] for one in components]}],
    }


def main(name: str, version: str, folder: Path) -> int:
    """Write both lists."""
    packages = list(distributions())
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(bill(name, version, packages), indent=1)
    (folder / "sbom.cdx.json").write_text(text + "\n", "utf-8")
    told = {one: licence(one) or ("no files" if installs_nothing(one) else "") for one in packages}
    lines = sorted(f"{name_of(one)} {one.version}: {text}" for one, text in told.items())
    (folder / "licences.txt").write_text("\n".join(lines) + "\n", "utf-8")
    if unstated := [name_of(one) for one, text in told.items() if not text]:
        print(f"no licence is stated by {', '.join(sorted(unstated))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
