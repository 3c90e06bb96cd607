"""Tables that fit: on a terminal of any width, in a pipe, as CSV and as Markdown.

Numbers and names are never cut or broken. If a terminal is too narrow for all columns, the least
important are left out and named below; if that is not enough, each row becomes a list.
"""

from __future__ import annotations

import csv
import enum
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.markup import escape
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from services.cli.output.console import OUT, Format, chosen_format
from services.cli.output.safe_text import escaped, no_formula

_NARROWEST_TEXT = 22
"""Text cells are broken at words into lines of at least this many characters."""
_PADDING = 3  # a border and a blank on either side of each cell
_INDENT = 2

Cell = str | Text


class Kind(enum.Enum):
    """What a column contains, and therefore whether its cells may be broken."""

    NUMBER = enum.auto()
    NAME = enum.auto()
    TEXT = enum.auto()


@dataclass(frozen=True)
class Column:
    """A column. Columns with the highest `spare` are left out first; 0 is always shown."""

    name: str
    kind: Kind = Kind.NUMBER
    spare: int = 0


@dataclass
class Grid:
    """A table as data: each row has a cell for each column. A cell's lines are stacked."""

    title: str
    columns: Sequence[Column]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    caption: Sequence[str] = ()
    lines: bool = False
    """Whether lines separate the rows."""

    def add(self, *cells: Cell) -> None:
        """Append a row."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(cells)


def is_table() -> bool:
    """Whether grids are drawn for people rather than printed for programs."""
    chosen = chosen_format()
    return chosen is Format.TABLE or (chosen is None and OUT.is_terminal)


def show(grid: Grid) -> None:
    """Print the grid in the form of `--format`, or else one that fits the output."""
    chosen = chosen_format()
    if chosen is Format.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([_flat(one.name) for one in grid.columns])
        writer.writerows([no_formula(_flat(cell)) for cell in row] for row in grid.rows)
    elif chosen is Format.MD:
        _markdown(grid)
    elif is_table():
        _fitting(grid, OUT.width)
    else:
        _tabbed(grid)


def _tabbed(grid: Grid) -> None:
    """For pipes: tabs between cells, a line for each row."""
    _plain(grid.title)
    for row in ([one.name for one in grid.columns], *grid.rows):
        _plain("\t".join(_flat(cell) for cell in row))
    for line in grid.caption:
        _plain(line)


def _markdown(grid: Grid) -> None:
    if grid.title:
        _plain(f"**{grid.title.strip()}**\n")
    _plain("| " + " | ".join(_cell(one.name) for one in grid.columns) + " |")
    marks = ("--:" if one.kind is Kind.NUMBER else "---" for one in grid.columns)
    _plain("|" + "|".join(marks) + "|")
    for row in grid.rows:
        _plain("| " + " | ".join(map(_cell, row)) + " |")
    _plain("")
    for line in grid.caption:
        _plain(f"{line}\n")


def _cell(value: Cell) -> str:
    """A cell in Markdown, in which a stranger's text can be neither HTML nor a link."""
    text = str(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return text.replace("](", "]\\(").replace("\n", "<br>")


def _flat(value: Cell) -> str:
    """One line without tabs."""
    lines = (" ".join(line.split()) for line in str(value).splitlines())
    return escaped("; ".join(filter(None, lines)))


@dataclass(frozen=True)
class _Line:
    """A line printed unchanged: rich would turn its tabs into blanks."""

    text: str

    def __rich_console__(self, *_: object) -> Iterator[Segment]:
        yield Segment(f"{self.text}\n")


def _plain(text: str) -> None:
    OUT.print(_Line(text), soft_wrap=True, end="")


def table(grid: Grid, width: int) -> Table:
    """The columns that fit, for a screen that changes while figures come."""
    made = _table(grid, _fit(grid, width)[0], width)
    made.caption, made.caption_justify = Text("\n".join(grid.caption)), "left"
    return made


def _fit(grid: Grid, width: int) -> tuple[list[int], bool]:
    """The columns to show, and whether they fit: those always shown cannot be left out."""
    shown = [place for place in range(len(grid.columns)) if not grid.rows or _used(grid, place)]
    while _needed(grid, shown) > width:
        spare = max(shown, key=lambda place: (grid.columns[place].spare, place))
        if not grid.columns[spare].spare:
            return shown, False
        shown.remove(spare)
    return shown, True


def _used(grid: Grid, place: int) -> bool:
    """Whether any row has a value in the column."""
    return any(str(row[place]).strip() for row in grid.rows)


def _fitting(grid: Grid, width: int) -> None:
    shown, fits = _fit(grid, width)
    if not fits:
        _records(grid, width)
        return
    OUT.print(_table(grid, shown, width))
    left_out = [
        one.name
        for place, one in enumerate(grid.columns)
        if place not in shown and _used(grid, place)
    ]
    if left_out:
        OUT.print(
            f"left out at this width: {', '.join(left_out)} (--format csv has them)",
            style="dim",
            markup=False,
        )
    for line in grid.caption:
        OUT.print(line, style="dim", markup=False)


def _needed(grid: Grid, shown: Sequence[int]) -> int:
    """The width below which a number or name would be cut, or a text be one word a line."""
    return 1 + sum(_least(grid, place) + _PADDING for place in shown)


def _least(grid: Grid, place: int) -> int:
    column = grid.columns[place]
    widest = max((_width(row[place]) for row in grid.rows), default=0)
    if column.kind is Kind.TEXT:
        widest = min(widest, max(_NARROWEST_TEXT, _longest_word(grid, place)))
    return max(widest, max(map(len, column.name.split()), default=0))


def _longest_word(grid: Grid, place: int) -> int:
    return max((len(word) for row in grid.rows for word in str(row[place]).split()), default=0)


def _width(value: Cell) -> int:
    return max((Text(line).cell_len for line in str(value).splitlines()), default=0)


def _widths(grid: Grid, shown: Sequence[int], width: int) -> dict[int, int]:
    """Each column's width: the least, plus a share of the rest for columns that can use it.

    rich would narrow the widest columns first, widen them to their least again, and cut the excess
    at the right edge.
    """
    widths = {place: _least(grid, place) for place in shown}
    wishes = {place: max(0, _natural(grid, place) - widths[place]) for place in shown}
    room = max(0, width - _needed(grid, shown))
    smallest_first = sorted(shown, key=lambda place: wishes[place])
    for done, place in enumerate(smallest_first):
        more = min(wishes[place], room // (len(shown) - done))
        widths[place] += more
        room -= more
    return widths


def _natural(grid: Grid, place: int) -> int:
    """The width at which nothing in a column is broken."""
    cells = (_width(row[place]) for row in grid.rows)
    return max(len(grid.columns[place].name), max(cells, default=0))


def _table(grid: Grid, shown: Sequence[int], width: int) -> Table:
    table = Table(title=Text(grid.title) or None, title_justify="left", show_lines=grid.lines)
    for place, room in _widths(grid, shown, width).items():
        column = grid.columns[place]
        table.add_column(
            escape(column.name),
            justify="right" if column.kind is Kind.NUMBER else "left",
            width=room,
            overflow="fold",
        )
    for row in grid.rows:
        cells = (row[place] for place in shown)
        table.add_row(*(Text(one) if isinstance(one, str) else one for one in cells))
    return table


def _records(grid: Grid, width: int) -> None:
    """Each row as a list under its first cell; a name wider than the screen is not cut."""
    if grid.title:
        OUT.print(grid.title, style="italic", markup=False)
    indent = " " * _INDENT
    longest = max(len(one.name) for one in grid.columns[1:]) if grid.columns[1:] else 0
    label = longest if longest <= width // 2 else width // 3
    for row in grid.rows:
        OUT.print(Text(" ".join(str(row[0]).split()), style="bold"), soft_wrap=True)
        for column, cell in zip(grid.columns[1:], row[1:], strict=True):
            if not str(cell).strip():
                continue
            value = Text(cell) if isinstance(cell, str) else cell
            head = f"{indent}{column.name:{label}}  "
            room = width - len(head)
            if column.kind is Kind.TEXT and room >= _NARROWEST_TEXT:
                parts = list(value.wrap(OUT, room))
            else:
                parts = list(value.split("\n"))
            if max(part.cell_len for part in parts) > room:
                OUT.print(Text(head.rstrip(), style="dim"))
                head = indent * 2
            for number, part in enumerate(parts):
                start = head if not number else " " * len(head)
                OUT.print(Text.assemble((start, "dim"), part), soft_wrap=True)
    for line in grid.caption:
        OUT.print(line, style="dim", markup=False)
