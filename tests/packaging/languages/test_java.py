"""Java: a class for each message, compiled, and read by a program."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import run
from tests.packaging.languages.conftest import GIVEN, PRINTED, PROGRAMS, tool

# Of the same version as protoc.
JAR = Path("/usr/share/java/protobuf.jar")


@pytest.mark.slow
def test_java_compiles_and_tells_absent_from_zero(generated: Callable[[str], Path]) -> None:
    javac = tool("javac", "Debian's default-jdk-headless")
    java = tool("java", "Debian's default-jdk-headless")
    if not JAR.exists():
        pytest.skip("Java's protobuf is not installed: Debian's libprotobuf-java has it")
    out = generated("java")
    for name in ("corpus/v1/BitsPerByte", "ranker/v1/Evidence", "audit/v1alpha1/ProveBPBRequest"):
        assert (out / "assay" / f"{name}.java").is_file()
    sources = [str(path) for path in sorted(out.rglob("*.java"))] + [str(PROGRAMS / "Main.java")]
    (out / "sources").write_text("\n".join(sources), "utf-8")
    run(javac, "-nowarn", "-proc:none", "-cp", JAR, "-d", out / "classes", "@sources", folder=out)
    said = run(java, "-cp", f"{out / 'classes'}{os.pathsep}{JAR}", "Main", *GIVEN, folder=out)
    assert said.splitlines() == PRINTED
