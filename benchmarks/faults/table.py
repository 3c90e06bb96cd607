"""Rows of a result, and the page that shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.report import HERE

RESULT = HERE / "results" / "faults.json"
PAGE = HERE.parent / "docs" / "faults.md"
_HEAD = """# Faults

`make faults` attacks running services and makes them fail ({date}; {hardware}).
It writes this page; `benchmarks/results/faults.json` has the versions and the command.
{note}
## Measured

"At most" is the bound from the project's goals or from the manifest.

| fault | what was measured | value | at most | held |
|---|---|---|---|---|
"""
_TESTS = """
## Tested

Tests cover these rows of the fault matrix; the same run ran them:

| fault | tests | result |
|---|---|---|
"""
_LEFT = """
## Not run

| fault | why |
|---|---|
"""
Row = dict[str, Any]


def row(  # noqa: PLR0917  # read as the columns of the table
    what: str, measured: str, value: float, at_most: float, unit: str, says: str = ""
) -> Row:
    """A value with its upper bound, in the form of every benchmark's rows."""
    print(f"{what}: {measured}: {value:.4g} {unit} (at most {at_most:.4g}) {says}", flush=True)
    ratio = 1.0 if value <= at_most == 0 else at_most / value if value else 1.0
    return {
        "what": f"{what}; {measured}" + (f" ({says})" if says else ""),
        "peer": "at most",
        "ours": round(value, 4),
        "theirs": round(at_most, 4),
        "unit": unit,
        "ratio": round(ratio, 3),
        "target": 1.0,
    }


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def page(result: dict[str, Any]) -> str:
    """Return the page of a result."""
    measured = [
        _line(
            *one["what"].split("; ", 1),
            f"{one['ours']:,g} {one['unit']}".strip(),
            f"{one['theirs']:,g} {one['unit']}".strip(),
            "yes" if one["ours"] <= one["theirs"] else "**no**",
        )
        for one in result["rows"]
    ]
    note = f"\n{result['note']}\n" if "note" in result else ""
    lines = [_HEAD.format(**(result | {"note": note})), *measured, _TESTS]
    lines += [_line(one["fault"], one["tests"], one["result"]) for one in result["tests"]]
    lines += [_LEFT, *(_line(one["fault"], one["why"]) for one in result["not_run"])]
    return "".join(lines)


def merged(before: list[Row], now: list[Row], key: str) -> list[Row]:
    """Rows of an earlier run without the faults that were run again, and rows of this run."""
    again = {one[key].split("; ")[0] for one in now}
    return [one for one in before if one[key].split("; ")[0] not in again] + now


def write_page(result: Path = RESULT, to: Path = PAGE) -> None:
    """Write the page of the committed result."""
    to.write_text(page(json.loads(result.read_text("utf-8"))), encoding="utf-8")
