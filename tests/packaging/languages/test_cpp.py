"""C++: every file compiles."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import run
from tests.packaging.languages.conftest import tool


@pytest.mark.slow
def test_cpp_compiles(generated: Callable[[str], Path]) -> None:
    compiler = tool("g++", "Debian's g++")
    config = tool("pkg-config", "Debian's pkg-config")
    flags = subprocess.run(
        [config, "--cflags", "protobuf"], capture_output=True, text=True, check=False
    )
    if flags.returncode != 0:
        pytest.skip("C++'s protobuf is not installed: Debian's libprotobuf-dev has it")
    out = generated("cpp")
    sources = sorted(out.glob("assay/*/*/*.pb.cc"))
    assert len(sources) > 20
    # Headers are most of the work: they are read once for all.
    headers = (str(path.relative_to(out)) for path in sorted(out.glob("assay/*/*/*.pb.h")))
    (out / "all.h").write_text("\n".join(f'#include "{name}"' for name in headers), "utf-8")
    command: list[str | Path] = [compiler, "-std=c++17", "-w", "-I.", *flags.stdout.split()]
    run(*command, "-x", "c++-header", "all.h", "-o", "all.h.gch", folder=out)
    for source in sources:
        run(*command, "-fsyntax-only", "-include", "all.h", source, folder=out)
