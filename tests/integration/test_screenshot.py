"""The documents' screenshot can be taken from the running product."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.process
def test_the_page_is_photographed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    spec = importlib.util.spec_from_file_location("screenshot", ROOT / "docs" / "screenshot.py")
    assert spec is not None
    assert spec.loader is not None
    screenshot = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(screenshot)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    page = screenshot.page_of(screenshot.SIDES, tmp_path / "page.html")
    screenshot.photograph(browser, page, tmp_path / "shot.png")
    with Image.open(tmp_path / "shot.png") as shot:
        assert shot.size == (1100, 900)
        colors = shot.convert("RGB").getcolors(1 << 20)
    assert colors is not None
    assert len(colors) > 50
