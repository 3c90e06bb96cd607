"""Croissant metadata: what MLCommons's own validator says of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from services.corpus.build.croissant import CONFORMS_TO
from tests.corpus.build.recipes import built

pytest.importorskip("rensa", reason="needs the build extra")

_DESCRIBED = {
    "license": "https://creativecommons.org/publicdomain/zero/1.0/",
    "url": "https://example.org/small",
    "creator": "The tests",
    "date": "2026-11-29",
    "citation": "@misc{small}",
}


def test_metadata_name_every_shard_with_its_digest(tmp_path: Path) -> None:
    out, card = built(tmp_path, **_DESCRIBED)
    metadata = json.loads((out / "croissant.json").read_bytes())
    assert metadata["conformsTo"] == CONFORMS_TO
    files = {file["contentUrl"]: file["sha256"] for file in metadata["distribution"]}
    shards = {path for path in card["files"] if path.endswith(".jsonl.zst") and path[0] != "_"}
    assert files == {path: card["files"][path]["digest"].removeprefix("sha256:") for path in shards}
    assert metadata["license"] == _DESCRIBED["license"]
    assert len(metadata["recordSet"]) == len(shards)


@pytest.mark.parametrize("described", [_DESCRIBED, {}], ids=["described", "as short as can be"])
def test_mlcroissant_validates_them(tmp_path: Path, described: dict[str, str]) -> None:
    validator = shutil.which("mlcroissant")
    if validator is None:
        pytest.skip("mlcroissant is not on PATH: pip install mlcroissant")
    out, _ = built(tmp_path, **described)
    done = subprocess.run(
        [validator, "validate", "--jsonld", str(out / "croissant.json")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Done." in done.stderr
    assert "error" not in done.stderr.lower()
    if described:
        assert "warning" not in done.stderr.lower()
