"""The documentation makes a site without a warning, and asks nothing of elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
EMBEDDED = re.compile(r"<(?:script|img|link)\b[^>]*\b(?:src|href)=[\"']?https?://")


def pages(nav: Any) -> Iterator[str]:
    """Every page that the menu names."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, list):
        for one in nav:
            yield from pages(one)
    else:
        for one in nav.values():
            yield from pages(one)


def test_every_page_of_the_menu_exists_once() -> None:
    named = list(pages(SITE["nav"]))
    assert len(named) == len(set(named)) > 20
    assert not [one for one in named if not (ROOT / "docs" / one).is_file()]


@pytest.mark.slow
@pytest.mark.process
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the extra docs is not installed")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)],
        check=True,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
    )
    made = {one: (tmp_path / one).read_text("utf-8") for one in ("index.html", "tutorials.html")}
    assert "Train with exact resume" in made["tutorials.html"]
    assert not EMBEDDED.findall("".join(made.values()))
