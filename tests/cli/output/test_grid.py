"""No width cuts a number or a name; pipes, CSV and Markdown have every cell."""

from __future__ import annotations

import csv
import io
import re

import pytest
from rich.console import Console

from services.cli.output import console, grid
from services.cli.output.console import Format
from services.cli.output.grid import Column, Grid, Kind

NAME = "segformer-b4-finetuned-ade-512-512"
NUMBER = "825,180,000,000"
TEXT = "a sentence that is long enough to be broken at its words in every narrow column"


def example() -> Grid:
    made = Grid(
        "Sizes",
        [
            Column("artifact", Kind.NAME),
            Column("bytes"),
            Column("what it is", Kind.TEXT),
            Column("bytes a token", spare=1),
            Column("nats a token", spare=2),
        ],
        caption=["of the whole"],
    )
    made.add(NAME, NUMBER, TEXT, "3.9512", "2.6210")
    made.add("the-pile", "1", "short\nand on a second line", "", "")
    return made


def figures() -> Grid:
    """Headings wider than their numbers, as those of bits per byte are."""
    names = ["bits per byte", "95 % interval", "nats/token", "documents", "bytes", "tokens"]
    made = Grid("Scores", [Column("subset", Kind.TEXT), *map(Column, names)])
    made.add("mean of subsets (macro)", "2.6647", "exact", "1.781", "16", "6,962", "6,961")
    return made


def shown(
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    *,
    chosen: Format | None = None,
    of: Grid | None = None,
) -> str:
    out = io.StringIO()
    terminal = Console(file=out, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(grid, "OUT", terminal)
    monkeypatch.setattr(grid, "chosen_format", lambda: chosen)
    grid.show(of or example())
    return out.getvalue()


@pytest.mark.parametrize("width", range(40, 161, 4))
def test_no_width_cuts_a_number_or_a_name(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    text = shown(monkeypatch, width)
    assert NAME in text
    assert NUMBER in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for word in TEXT.split():
        assert re.search(rf"\b{word}\b", text), word


@pytest.mark.parametrize("width", range(60, 161, 4))
def test_no_width_cuts_a_column_whose_heading_is_wide(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    text = shown(monkeypatch, width, of=figures())
    for one in ("2.6647", "exact", "1.781", "16", "6,962", "6,961", "tokens", "bytes", "documents"):
        assert re.search(rf"(?<![\w.,]){re.escape(one)}(?![\w.,])", text), one
    assert max(map(len, text.splitlines())) <= width


def test_what_matters_least_is_left_out_first_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "left out" not in shown(monkeypatch, 140)
    narrower = shown(monkeypatch, 95)
    assert "left out at this width: nats a token (" in narrower
    assert "3.9512" in narrower
    assert "bytes a token, nats a token" in shown(monkeypatch, 88)


def test_a_narrow_terminal_gets_a_list_with_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, 60)
    assert "│" not in text
    assert "2.6210" in text


def test_a_pipe_gets_a_row_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(grid, "OUT", Console(file=out, width=80, force_terminal=False))
    monkeypatch.setattr(grid, "chosen_format", lambda: None)
    grid.show(example())
    assert "│" not in out.getvalue()
    title, heading, first, second, caption = out.getvalue().splitlines()
    assert title == "Sizes"
    assert heading.split("\t") == [one.name for one in example().columns]
    assert first.split("\t") == [NAME, NUMBER, TEXT, "3.9512", "2.6210"]
    assert second.split("\t")[2] == "short; and on a second line"
    assert caption == "of the whole"


def test_csv_is_read_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch, 80, chosen=Format.CSV)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[0]["artifact"] == NAME
    assert rows[0]["what it is"] == TEXT


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("@SUM(1)", "'@SUM(1)"),
        ("+1+cmd", "'+1+cmd"),
        ("-1-cmd", "'-1-cmd"),
        ("-", "-"),
        ("-3.5", "-3.5"),
        ("-1,234.5 ms", "-1,234.5 ms"),
        ("+2 %", "+2 %"),
        ("a=b", "a=b"),
    ],
)
def test_no_spreadsheet_computes_what_a_stranger_wrote(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cell: str, written: str
) -> None:
    monkeypatch.setattr(grid, "chosen_format", lambda: Format.CSV)
    one = Grid("", [Column("a", Kind.NAME)])
    one.add(cell)
    grid.show(one)
    assert list(csv.reader(io.StringIO(capsys.readouterr().out)))[1] == [written]


def test_a_strangers_text_is_no_markup_of_markdown(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(grid, "OUT", Console(file=out, width=200))
    monkeypatch.setattr(grid, "chosen_format", lambda: Format.MD)
    one = Grid("", [Column("a", Kind.NAME)])
    one.add("<img src=x> [x](javascript:1) \\| [1 .. 2]")
    grid.show(one)
    told = "| &lt;img src=x> [x]\\(javascript:1) \\\\\\| [1 .. 2] |"
    assert out.getvalue().splitlines()[2] == told


def test_markdown_keeps_bars_and_lines_in_their_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(grid, "OUT", Console(file=out, width=80))
    monkeypatch.setattr(grid, "chosen_format", lambda: Format.MD)
    one = Grid("", [Column("a", Kind.NAME), Column("b")])
    one.add("x|y", "1\n2")
    grid.show(one)
    assert out.getvalue().splitlines()[:3] == ["| a | b |", "|---|--:|", "| x\\|y | 1<br>2 |"]


def test_a_row_has_a_cell_a_column() -> None:
    with pytest.raises(ValueError, match="2 cells for 5 columns"):
        example().add("one", "two")


def test_the_format_is_that_of_the_command_line() -> None:
    assert console.chosen_format() is None
    with console.printing(chosen=Format.CSV):
        assert console.chosen_format() is Format.CSV
        assert console.OUT.quiet
    assert console.chosen_format() is None
    assert not console.OUT.quiet
