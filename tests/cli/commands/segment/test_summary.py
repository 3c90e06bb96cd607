"""The table of a folder's pictures: what is written is what a later run reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.commands.segment import segment_many


@pytest.mark.parametrize("name", ["a.jpg", "=cmd.jpg", "-1 b.jpg", "'a.jpg", "-3.jpg", "@x/y.png"])
def test_names_that_are_formulas_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    path = tmp_path / segment_many.SUMMARY
    row = {"picture": name, "class": "=1+1", "pixels": 7, "share": 0.5}
    segment_many._write_summary(path, {name: [row]})
    for _ in range(2):  # a later run writes what it has read
        text = path.read_text()
        assert "\n=" not in text
        assert ",=" not in text
        rows = segment_many._rows(path)
        assert list(rows) == [name]
        assert rows[name][0]["picture"] == name
        assert rows[name][0]["pixels"] == "7"
        segment_many._write_summary(path, rows)
