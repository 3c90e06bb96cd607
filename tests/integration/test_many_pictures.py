"""`assay segment --out`: folders of pictures, with whatever else lies in them."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.cli.exits import Exit
from tests.corpus.http_store import serve_store
from tests.integration.test_command import ASSAY


def run(
    environment: Mapping[str, str], *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ASSAY, *arguments], check=False, capture_output=True, text=True, env=environment,
        input=stdin,
    )  # fmt: skip


@pytest.fixture(scope="module")
def alone(assay_home: Path) -> dict[str, str]:
    """No running service is named."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    return ours | {"ASSAY_HOME": str(assay_home)}


@pytest.fixture(scope="module")
def service(start_service: Any, alone: dict[str, str]) -> Any:
    """One service for all runs: starting it takes seconds."""
    with start_service("segment") as running:
        yield alone | {"ASSAY_SEGMENT_ADDR": running.address}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "photos"
    (made / "sub").mkdir(parents=True)
    drawn = np.random.default_rng(0)
    for number, name in enumerate(("a.jpg", "b.png", "sub/c.webp")):
        pixels = drawn.integers(0, 256, (30 + number, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(made / name)
    (made / "broken.jpg").write_bytes(b"no picture")
    (made / "sub/loop").symlink_to(made)
    return made


def rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "summary.csv").read_text("utf-8"))))


def test_a_folder(service: Mapping[str, str], folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    ran = run(service, "segment", str(folder), "--out", str(out), "--overlay")
    assert ran.returncode == Exit.BAD_INPUT  # one of them is no picture
    assert "3 pictures labelled" in ran.stdout
    assert "0 done before, 1 failed" in ran.stdout
    assert "broken.jpg: image.encoded: 10 bytes that are not an image" in ran.stderr
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == {
        "a.png", "a.overlay.jpg", "b.png", "b.overlay.jpg", "sub/c.png", "sub/c.overlay.jpg",
        "summary.csv", "run.json",
    }  # fmt: skip
    with Image.open(out / "sub/c.png") as labels:
        assert labels.size == (40, 32)
    listed = rows(out)
    assert {Path(row["picture"]).name for row in listed} == {
        "a.jpg",
        "b.png",
        "c.webp",
        "broken.jpg",
    }
    shares = [float(row["share"]) for row in listed if row["picture"].endswith("a.jpg")]
    assert sum(shares) == pytest.approx(1)

    before = (out / "a.png").stat().st_mtime_ns
    (folder / "b.png").touch()
    (folder / "broken.jpg").unlink()
    ran = run(service, "segment", str(folder), "--out", str(out), "--overlay", "--jsonl")
    assert ran.returncode == Exit.DONE
    (line,) = map(json.loads, ran.stdout.splitlines())
    assert line["picture"].endswith("b.png")  # it is newer than its labels
    assert line["classes"][0].keys() == {"class_id", "class", "pixels", "share"}
    assert (out / "a.png").stat().st_mtime_ns == before
    # What an earlier run found is still there.
    assert {Path(row["picture"]).name for row in rows(out)} >= {"a.jpg", "b.png", "c.webp"}

    ran = run(service, "segment", str(folder), "--out", str(out), "--size", "20x10")
    assert ran.returncode == Exit.BAD_INPUT
    assert "made with other settings (overlay, size): give another folder, or --again" in ran.stderr


def test_a_list_on_stdin(service: Mapping[str, str], folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    paths = f"{folder / 'a.jpg'}\n\n{folder / 'nowhere.jpg'}\n"
    ran = run(service, "segment", "--list", "-", "--out", str(out), "--jsonl", stdin=paths)
    assert ran.returncode == Exit.BAD_INPUT
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    errors = {Path(line["picture"]).name: line.get("error") for line in lines}
    assert errors == {"a.jpg": None, "nowhere.jpg": "No such file or directory"}


def test_a_service_that_is_not_there(
    alone: Mapping[str, str], folder: Path, tmp_path: Path
) -> None:
    gone = {**alone, "ASSAY_SEGMENT_ADDR": "127.0.0.1:1"}
    ran = run(gone, "segment", str(folder), "--out", str(tmp_path / "labels"))
    assert ran.returncode == Exit.UNAVAILABLE
    assert "Traceback" not in ran.stderr


def test_shares_of_a_store(service: Mapping[str, str], folder: Path, tmp_path: Path) -> None:
    """Each picture is labelled once, by whichever share has it, and a repeat labels none."""
    out = tmp_path / "labels"
    (folder / "sub/loop").unlink()
    with serve_store(folder) as store:
        given = (f"{store.url}/", "--out", str(out))
        labelled = []
        for _ in range(2):
            for number in range(3):
                ran = run(service, "segment", *given, "--share", f"{number}/3", "--jsonl")
                assert ran.returncode in {Exit.DONE, Exit.BAD_INPUT}
                lines = [json.loads(line) for line in ran.stdout.splitlines()]
                labelled += [line["picture"] for line in lines if "error" not in line]
        assert sorted(labelled) == [f"{store.url}/{n}" for n in ("a.jpg", "b.png", "sub/c.webp")]
        assert not (out / "summary.csv").exists()
        ran = run(service, "segment", *given)
        assert ran.returncode == Exit.BAD_INPUT  # one of them is no picture
        assert "0 pictures labelled, 3 done before, 1 failed" in ran.stdout
        assert "share of all pixels" in ran.stdout  # of what was done before
    assert {row["picture"].removeprefix(store.url) for row in rows(out)} == {
        "/a.jpg", "/b.png", "/sub/c.webp", "/broken.jpg",
    }  # fmt: skip
    with Image.open(out / "sub/c.png") as labels:
        assert labels.size == (40, 32)


def test_a_store_that_is_not_there_is_named(service: Mapping[str, str], tmp_path: Path) -> None:
    with serve_store(tmp_path) as store:
        ran = run(service, "segment", f"{store.url}/nowhere/", "--out", str(tmp_path / "out"))
    assert ran.returncode == Exit.NOT_FOUND
    assert f"{store.url}/nowhere/: there is no such object" in ran.stderr


def test_a_share_is_one_of_them(service: Mapping[str, str], folder: Path, tmp_path: Path) -> None:
    ran = run(service, "segment", str(folder), "--out", str(tmp_path / "o"), "--share", "3/3")
    assert ran.returncode == Exit.BAD_INPUT
    assert "3/3 is not I/N" in ran.stderr
