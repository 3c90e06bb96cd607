"""The plot as a file."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from assay_rpc.common.v1.common_pb2 import Interval
from assay_rpc.corpus.v1 import scoring_pb2

from services.cli.output import score_picture
from services.cli.output.score_plot import Row
from services.errors import InvalidArgument

SVG = "{http://www.w3.org/2000/svg}"


def row(name: str, bits: float, published: float | None = None) -> Row:
    score = scoring_pb2.BitsPerByte(
        bits_per_byte=bits, interval=Interval(low=bits / 2, high=bits * 1.5, level=0.95)
    )
    return Row(name, score, scoring_pb2.BitsPerByte(bits_per_byte=bits + 0.25), published)


ROWS = [row("<Pile & \x00CC>", 1.0, published=1.5), row("overall", 2.0)]
SAID = ["exact: over 2 documents", "byte perplexity 2"]


def test_a_picture_has_every_mark_where_it_belongs(tmp_path: Path) -> None:
    path = score_picture.check(str(tmp_path / "p.svg"))
    score_picture.draw(path, ROWS, ("ours", "theirs"), SAID, "Table 2")
    root = ElementTree.fromstring(path.read_text("utf-8"))  # noqa: S314  our own
    texts = [one.text for one in root.iter(f"{SVG}text")]
    assert "<Pile & \ufffdCC>" in texts
    assert {"ours", "theirs", "Table 2", *SAID} <= set(texts)
    assert "1.0000  [0.5000 .. 1.5000]" in texts
    circles = {(one.get("cx"), one.get("fill")) for one in root.iter(f"{SVG}circle")}
    # From 0 at 230 to the largest value, 3, at 830.
    for bits, color in ((1.0, "#0b62c4"), (1.5, "#1a7f37"), (1.25, "#ffffff"), (2.0, "#0b62c4")):
        assert (f"{230 + 600 * bits / 3:.2f}", color) in circles
    wide = [one for one in root.iter(f"{SVG}line") if one.get("stroke-width") == "4"]
    assert [(one.get("x1"), one.get("x2")) for one in wide] == [
        ("330.00", "530.00"),
        ("430.00", "830.00"),
    ]
    height, width = float(root.get("height") or 0), float(root.get("width") or 0)
    assert all(float(one.get("y") or 0) < height for one in root.iter(f"{SVG}text"))
    assert all(float(one.get("x") or 0) < width for one in root.iter(f"{SVG}text"))


def test_a_png_has_the_colours_of_the_marks(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    path = score_picture.check(str(tmp_path / "p.PNG"))
    score_picture.draw(path, ROWS, ("ours", ""), SAID)
    picture = image.open(io.BytesIO(path.read_bytes()))
    assert picture.format == "PNG"
    assert picture.getpixel((2 * 430, 2 * (56 + 13))) == (0x0B, 0x62, 0xC4)
    assert picture.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("name", ["p.pdf", "p", ".svg"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match=r"ends in neither .svg nor .png"):
        score_picture.check(name)
