"""The documents' pictures are those of the committed results and of the running product."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from benchmarks import plot

ROOT = Path(__file__).resolve().parents[2]


def test_the_chart_is_that_of_the_committed_results() -> None:
    assert plot.PICTURE.read_text("utf-8") == plot.svg()


def test_every_bar_has_its_figure_and_fits() -> None:
    root = ElementTree.fromstring(plot.svg())  # noqa: S314 - our own
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    for *row, label in plot.ROWS:
        assert f"{plot.ratio(*row):.1f}x" in texts
        assert label in texts
    width = float(root.attrib["width"])
    bars = [e for e in root.iter() if e.tag.endswith("rect") and "x" in e.attrib]
    assert len(bars) == len(plot.ROWS)
    assert all(float(e.attrib["x"]) + float(e.attrib["width"]) < width - 50 for e in bars)


def test_a_row_that_is_not_in_the_results_is_an_error() -> None:
    with pytest.raises(KeyError, match="0 rows"):
        plot.ratio("segment/engine", "no such row", "nobody")


def test_the_screenshot_is_small_and_of_the_page() -> None:
    picture = ROOT / "docs" / "images" / "comparison.webp"
    assert picture.stat().st_size < 120_000
    with Image.open(picture) as shot:
        assert shot.size == (1100, 900)
