import os
import platform
from importlib import metadata
from pathlib import Path

import pytest

from services.rpc import environment as module
from services.rpc.environment import environment


def test_the_machine_is_described() -> None:
    found = environment("grpcio", "no-such-package")
    assert found.cpu
    assert found.cpu_count == len(os.sched_getaffinity(0))
    assert found.memory_bytes > 2**28
    assert platform.release() in found.os
    assert dict(found.versions) == {
        "python": platform.python_version(),
        "grpcio": metadata.version("grpcio"),
    }
    assert found.load >= 0
    assert found.read_time.seconds > 1.7e9


@pytest.mark.process
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "echo 'NVIDIA H200, 143771, 570.86.10'; echo 'NVIDIA H200, [N/A], 570.86.10'",
            [("NVIDIA H200", 143771 << 20, "570.86.10"), ("NVIDIA H200", 0, "570.86.10")],
        ),
        ("echo 'no devices were found' >&2; exit 6", []),
        ("", []),
    ],
)
def test_accelerators_are_what_nvidia_smi_says(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    script: str,
    expected: list[tuple[str, int, str]],
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    module._accelerators.cache_clear()
    try:
        found = environment()
        named = [(one.name, one.memory_bytes, one.driver) for one in found.accelerators]
        assert named == expected
        names = "".join(f" + {name}" for name, _, _ in expected)
        assert found.hardware_class == f"{found.cpu} x{found.cpu_count}{names}"
    finally:
        module._accelerators.cache_clear()
