"""One version everywhere, a changelog in its form, and a release that is one step."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def script() -> Any:
    place = ROOT / "deploy" / "set_version.py"
    spec = importlib.util.spec_from_file_location("set_version", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_names_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    named = script().named(ROOT)
    assert all(named.values()), named
    assert {one for versions in named.values() for one in versions} == {version}
    assert len(named["deploy/base/kustomization.yaml"]) == 3


def test_no_image_is_named_that_a_release_would_leave_behind() -> None:
    """Whatever under deploy/ gives an image or a tag a version is in the list."""
    tagged = re.compile(r"(?:newTag: |assay/[\w$-]+:)\d+\.\d+\.\d+")
    found = {
        path.relative_to(ROOT).as_posix(): len(tagged.findall(path.read_text("utf-8")))
        for path in (ROOT / "deploy").rglob("*")
        if path.is_file() and path.suffix in {".md", ".yaml", ""}
    }
    named = script().named(ROOT)
    assert {place: count for place, count in found.items() if count} == {
        place: len(versions) for place, versions in named.items() if place.startswith("deploy/")
    }


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    headings = re.findall(
        r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE
    )
    assert headings[0] == "Unreleased"
    for heading in headings[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading)


def test_a_release_is_one_step(tmp_path: Path) -> None:
    module = script()
    for place in [*module.PLACES, "CHANGELOG.md"]:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / place, tmp_path / place)
    module.release(tmp_path, "7.8.9", "2027-01-02")
    named = module.named(tmp_path)
    assert {one for versions in named.values() for one in versions} == {"7.8.9"}
    text = (tmp_path / "CHANGELOG.md").read_text("utf-8")
    assert "## Unreleased\n\n## [7.8.9] - 2027-01-02\n" in text
    before = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    after = (tmp_path / "pyproject.toml").read_text("utf-8").splitlines()
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 2
    with pytest.raises(ValueError, match="not of the form"):
        module.release(tmp_path, "7.8", "2027-01-02")
