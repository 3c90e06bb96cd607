"""Each service starts, and so is ready to serve, where no library of training or export is."""

from __future__ import annotations

import sys

import pytest

from tests.conftest import ServiceStarter

# None in sys.modules makes an import raise ModuleNotFoundError, as if it were not installed.
_PROGRAM = """
import runpy, sys
for name in ("torch", "transformers", "safetensors", "tokenizers", "onnx", "onnxscript", "ray"):
    sys.modules[name] = None
runpy.run_module("services.{name}", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("name", ["segment", "corpus", "ranker"])
def test_serving_needs_no_torch(name: str, start_service: ServiceStarter) -> None:
    command = [sys.executable, "-c", _PROGRAM.format(name=name)]
    with start_service(name, command=command) as service:
        assert service.port
    assert service.stop() == 0
