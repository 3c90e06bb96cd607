"""The images are made of what exists, pinned, and of nothing that serving does not need."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from services.corpus.settings import CorpusSettings
from services.ranker.settings import RankerSettings
from services.segment.settings import SegmentSettings

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
LINES = [line.split() for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
SERVICES = ("segment", "corpus", "ranker")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def instructions(name: str) -> list[list[str]]:
    return [words[1:] for words in LINES if words[0] == name]


def pins(lock: str) -> dict[str, set[str]]:
    """Name -> versions of a lock file; several where they depend on Python's version."""
    text = (ROOT / "requirements" / lock).read_text("utf-8").replace("\\\n", " ")
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.strip():
            assert "--hash=sha256:" in line, line
            name, version = re.match(r"([\w.-]+)==(\S+)", line).groups()  # type: ignore[union-attr]
            found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def direct(extra: str) -> set[str]:
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]
    return {str(canonicalize_name(Requirement(one).name)) for one in wanted} - {"assay-rpc"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_image_has_its_service_and_its_lock(service: str) -> None:
    assert (ROOT / "services" / service / "__main__.py").is_file()
    assert (ROOT / "requirements" / f"serve-{service}.lock").is_file()


def test_the_image_for_gpus_has_its_libraries_and_no_other_onnxruntime() -> None:
    pinned = pins("serve-segment-gpu.lock")
    assert direct("segment-gpu") <= pinned.keys()
    assert "onnxruntime" not in pinned
    assert {"nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cuda-runtime"} <= pinned.keys()
    (wanted,) = (
        Requirement(one)
        for one in PROJECT["optional-dependencies"]["segment-gpu"]
        if one.startswith("onnxruntime-gpu")
    )
    assert wanted.extras == {"cuda", "cudnn"}
    assert {one.operator for one in wanted.specifier} == {">=", "<"}
    (version,) = pinned["onnxruntime-gpu"]
    assert wanted.specifier.contains(version)
    base = pins("serve-segment.lock")
    for name in base.keys() & pinned.keys():
        assert pinned[name] == base[name]


def test_manifests_run_just_these_images(rendered: list[dict[str, Any]]) -> None:
    images = {
        container["image"]
        for one in rendered
        if one["kind"] == "Deployment"
        for container in one["spec"]["template"]["spec"]["containers"]
    }
    ours = {image for image in images if image.startswith("assay/")}
    assert ours == {f"assay/{service}:{PROJECT['version']}" for service in SERVICES}


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    sent = [line[1:] for line in ignored if line.startswith("!")]
    for words in instructions("COPY"):
        if not words[0].startswith("--from"):
            for source in words[:-1]:
                assert (ROOT / source).exists(), source
                assert any(PurePath(source).match(one) for one in sent), source


def test_no_package_of_ours_is_taken_for_an_output_of_a_build() -> None:
    """`**/build` is not sent: of what has that name, packages are."""
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    packages = {
        str(file.parent.relative_to(ROOT))
        for file in (ROOT / "services").rglob("build/__init__.py")
    }
    assert packages
    for package in packages:
        assert ignored.index(f"!{package}") > ignored.index("**/build")


@pytest.mark.parametrize("target", [*SERVICES, "segment-gpu"])
def test_each_target_runs_its_service_with_its_lock(target: str) -> None:
    stages = {part.split("\n", 1)[0].split()[-1]: part for part in DOCKERFILE.split("\nFROM ")[1:]}
    packages = stages[f"{target}-packages"]
    assert f"COPY requirements/serve-{target}.lock ./" in packages
    assert f" sh install.sh packages serve-{target}.lock\n" in packages
    assert f"RUN sh install.sh finish {target}\n" in packages + "\n"
    assert f"COPY --from={target}-packages /opt/assay /opt/assay\n" in stages[target]
    # The service itself is the process that gets the signal.
    words = stages[target].partition("ENTRYPOINT ")[2].strip()
    if target == "segment":
        assert json.loads(words) == ["sh", "/opt/assay/bin/segment.sh"]
        script = (ROOT / "deploy" / "segment.sh").read_text("utf-8")
        assert script.endswith('\nexec python -m services.segment "$@"\n')
    else:
        assert json.loads(words) == ["python", "-m", f"services.{target.removesuffix('-gpu')}"]


def test_every_download_may_come_from_a_mirror() -> None:
    """A step that downloads has the mirror's settings and certificates, and keeps neither."""
    downloads = [
        words for words in instructions("RUN") if "packages" in words or "--require-hashes" in words
    ]
    assert len(downloads) == 5
    for words in downloads:
        mounts = [word for word in words if word.startswith("--mount=type=secret")]
        assert mounts == [
            "--mount=type=secret,id=pip,target=/etc/pip.conf",
            "--mount=type=secret,id=certificates,target=/run/secrets/certificates",
        ]


def test_the_user_is_not_root_and_no_file_runs_as_its_owner() -> None:
    assert instructions("ARG")[0] == ["BASE=python:3.11-slim"]
    assert {words[0] for words in instructions("FROM") if words[0].startswith("$")} == {"${BASE}"}
    assert instructions("USER") == [["10001:10001"]]
    assert "-perm /6000 -exec chmod a-s" in DOCKERFILE


def test_the_list_of_packages_is_what_is_installed(tmp_path: Path) -> None:
    name = f"{sys.version_info.major}.{sys.version_info.minor}"
    script = ROOT / "deploy" / "inventory.py"
    done = subprocess.run(
        [sys.executable, str(script), "assay/tried", name, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    bill = json.loads((tmp_path / "sbom.cdx.json").read_text("utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    found = {one["name"]: one for one in bill["components"]}
    assert {"assay-services", "assay-rpc", "grpcio", "protobuf"} <= found.keys()
    assert all(one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}" for one in found.values())
    assert bill["dependencies"][0]["dependsOn"] == [one["bom-ref"] for one in bill["components"]]
    licences = (tmp_path / "licences.txt").read_text("utf-8").splitlines()
    assert f"assay-rpc {metadata.version('assay-rpc')}: Apache-2.0" in licences
    assert all(line.partition(": ")[2] for line in licences)


@pytest.mark.parametrize(("file", "problem"), [("", ""), ("thing.py", "thing")])
def test_only_a_package_without_files_may_state_no_licence(
    tmp_path: Path, file: str, problem: str
) -> None:
    about = tmp_path / "packages" / "thing-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    names = ["thing-1.0.dist-info/METADATA", *([file] if file else [])]
    (about / "RECORD").write_text("".join(f"{name},,\n" for name in names))
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "inventory.py"), "assay/tried", "1", str(tmp_path)],
        env={"PYTHONPATH": str(about.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = f"no licence is stated by {problem}\n" if problem else ""
    assert (done.returncode, done.stderr) == (int(bool(problem)), said)


def test_variables_are_settings() -> None:
    kinds = (SegmentSettings, CorpusSettings, RankerSettings)
    known = {kind.variable(field) for kind in kinds for field in kind.model_fields}
    words = [word for instruction in instructions("ENV") for word in instruction]
    ours = {word.partition("=")[0] for word in words if word.startswith("ASSAY_")}
    assert ours
    assert ours <= known


@pytest.mark.parametrize("service", SERVICES)
def test_locks_have_what_the_service_needs_as_it_was_tested(service: str) -> None:
    found, tested = pins(f"serve-{service}.lock"), pins("base.lock")
    assert direct(service) <= found.keys()
    assert all(tested[name] == versions for name, versions in found.items())


@pytest.mark.parametrize("service", ["segment", "corpus"])
def test_the_fast_engine_is_in_the_image(service: str) -> None:
    assert direct("openvino") - direct("ranker") <= pins(f"serve-{service}.lock").keys()
    assert "openvino-telemetry" not in pins(f"serve-{service}.lock")


@pytest.mark.parametrize("service", SERVICES)
def test_locks_have_no_tools_of_developers(service: str) -> None:
    tools = {
        canonicalize_name(Requirement(one).name) for one in PROJECT["optional-dependencies"]["dev"]
    }
    assert not tools & pins(f"serve-{service}.lock").keys()
    assert "torch" not in pins(f"serve-{service}.lock")


def test_wheels_are_built_by_what_was_tested() -> None:
    found, tested = pins("build.lock"), pins("base.lock")
    assert {"setuptools", "wheel"} <= found.keys()
    assert all(tested[name] == versions for name, versions in found.items())
