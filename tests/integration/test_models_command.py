"""`assay evaluate` and `assay models`, as processes, against a service as a process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.cli.exits import Exit
from tests.segment.tiny_model import Tiny, write

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


class Command:
    """The command, with a service of its own."""

    def __init__(self, address: str, home: Path) -> None:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
        self._environment = ours | {"ASSAY_HOME": str(home)}
        if address:
            self._environment["ASSAY_SEGMENT_ADDR"] = address

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=self._environment,
        )

    def json(self, *arguments: str) -> Any:
        ran = self(*arguments, "--json")
        assert ran.returncode == Exit.DONE, ran.stderr
        return json.loads(ran.stdout)


@pytest.fixture
def assay(start_service: Any, tmp_path: Path) -> Any:
    for version in ("1", "2"):
        write(tmp_path / "models" / "tiny" / version, Tiny(version=version, seed=int(version)))
    variables = {
        "ASSAY_SEGMENT_MODELS": json.dumps([str(tmp_path / "models")]),
        "ASSAY_SEGMENT_DESIRED": str(tmp_path / "desired.json"),
    }
    with start_service("segment", variables) as service:
        yield Command(service.address, tmp_path)


def test_a_model_is_evaluated_on_folders(assay: Command, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    labels = tmp_path / "labels.png"
    for name in ("one", "two"):
        picture = tmp_path / "images" / f"{name}.png"
        Image.fromarray(PIXELS).save(picture)
        assert assay("segment", str(picture), "--model", "tiny", "-o", str(labels)).returncode == 0
        (tmp_path / "masks" / f"{name}.png").write_bytes(labels.read_bytes())
    folders = str(tmp_path / "images"), str(tmp_path / "masks")
    found = assay.json("evaluate", *folders, "--model", "tiny")
    assert (found["pairs"], found["mean_iou"], found["pixels"]) == (2, 1.0, 2 * 40 * 60)
    shown = assay("evaluate", *folders, "--model", "tiny")
    assert "mIoU 100.00 %, mAcc 100.00 %, aAcc 100.00 %" in shown.stdout
    wrong = assay("evaluate", *folders, "--model", "tiny", "--ignore", "70000")
    assert wrong.returncode == Exit.BAD_INPUT
    assert "settings.ignore" in wrong.stderr
    assert "not finished" not in wrong.stderr  # nothing was evaluated
    Image.fromarray(PIXELS[:10, :10, 0]).save(tmp_path / "masks" / "two.png")
    ended = assay("evaluate", *folders, "--model", "tiny", "--format", "csv")
    assert ended.returncode == Exit.BAD_INPUT
    assert "not finished: 1 of 2 pictures evaluated" in ended.stderr
    assert "masks/two.png: 10 x 10 pixels" in ended.stderr
    assert "one.png,100.00 %,100.00 %" in ended.stdout
    part = json.loads(assay("evaluate", *folders, "--model", "tiny", "--json").stdout)
    assert [(one["picture"], one["mean_iou"]) for one in part["pictures"]] == [("one.png", 1.0)]


def test_a_refused_picture_is_named_by_its_file(assay: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("not a picture")
    ran = assay("segment", str(tmp_path / "notes.jpg"), "--model", "tiny")
    assert ran.returncode == Exit.BAD_INPUT
    assert f"assay: {tmp_path / 'notes.jpg'}: 13 bytes that are not an image" in ran.stderr
    absent = assay("segment", str(tmp_path / "notes.jpg"), "--model", "none")
    assert "no model named 'none'" in absent.stderr


def test_models_are_listed_and_chosen(assay: Command) -> None:
    before = assay.json("models", "list")
    assert before["everything"] is True
    assert [item["state"] for item in before["models"]] == ["SERVING", "SERVING"]
    after = assay.json("models", "serve", "tiny:1", "--revision", before["revision"])
    assert [item["desired"] for item in after["models"]] == [True, False]
    late = assay("models", "serve", "tiny:2", "--revision", before["revision"])
    assert late.returncode == Exit.BAD_INPUT
    assert after["revision"] in late.stderr
    assert assay("models", "serve").returncode == Exit.BAD_INPUT
    assert assay.json("models", "serve", "--all")["revision"] == before["revision"]
    assert "serving all models (no desired state" in assay("models", "list").stdout


def test_without_a_running_service_there_is_no_repository(tmp_path: Path) -> None:
    ran = Command("", tmp_path)("models", "list")
    assert ran.returncode == Exit.BAD_INPUT
    assert "ASSAY_SEGMENT_ADDR" in ran.stderr
