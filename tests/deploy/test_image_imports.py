"""A service of the manifests needs what its image has: what its lock leaves out is hidden."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from tests.deploy.test_image import SERVICES, pins
from tests.deploy.test_manifests import variables

Object = dict[str, Any]
Render = Callable[[Sequence[str]], list[Object]]
OURS = {"assay-services", "assay-rpc"}
# None in sys.modules makes an import raise ModuleNotFoundError, as if it were not installed.
PROGRAM = """
import json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[2])))
from importlib import import_module
from services.rpc.settings import load_settings
main = import_module(f"services.{sys.argv[1]}.__main__")
main.build_service(load_settings(getattr(main, f"{sys.argv[1].title()}Settings")))
"""


def hidden(lock: str) -> list[str]:
    """Modules that are installed here, all of whose packages a lock leaves out."""
    kept = pins(lock).keys() | OURS
    return [
        module
        for module, packages in metadata.packages_distributions().items()
        if not {canonicalize_name(name) for name in packages} & kept
    ]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_with_components_needs_nothing_that_its_image_has_not(
    service: str, with_components: Render
) -> None:
    given = variables(with_components(["postgres", "tracing"]), service)
    names = hidden(f"serve-{service}.lock")
    assert "pytest" in names
    assert ("redis" in names) == (service != "ranker")
    more = {"ASSAY_RANKER_DATABASE_URL": "postgresql://nobody@localhost/none"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, service, json.dumps(names)],
        env={**os.environ, **given, **more, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
