"""Committed benchmark results have the form that benchmarks/README.md describes."""

import json
from pathlib import Path

import pytest

from benchmarks import page

RESULTS = sorted((Path(__file__).resolve().parents[2] / "benchmarks" / "results").glob("*.json"))


def test_there_are_results() -> None:
    assert RESULTS


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_is_whole(path: Path) -> None:
    result = json.loads(path.read_text("utf-8"))
    assert {"date", "hardware", "versions", "command", "rows"} <= set(result)
    assert path.stem.split("-")[0] in {
        "segment",
        "corpus",
        "ranker",
        "interval",
        "walks",
        "faults",
        "soak",
    }
    assert result["rows"]
    for row in result["rows"]:
        assert set(row) == {"what", "peer", "ours", "theirs", "unit", "ratio", "target"}


def test_the_page_of_benchmarks_is_that_of_the_committed_results() -> None:
    """`python -m benchmarks.page > benchmarks/README.md` writes it."""
    assert (page.HERE / "README.md").read_text("utf-8") == page.page()


def test_every_result_answers_a_question() -> None:
    asked = [name for names in page.QUESTIONS.values() for name in names]
    assert sorted(asked) == sorted(path.stem for path in RESULTS)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_missed_goal_is_said_in_one_line(path: Path) -> None:
    """And none is said to be missed that was met."""
    lines = [one for one in page.missed() if one["file"] == path.stem]
    rows = [row for row in page.result(path.stem)["rows"] if page.met(path.stem, row) is False]
    for row in rows:
        assert sum(page.speaks_of(one, path.stem, row) for one in lines) == 1, row
    for one in lines:
        assert any(page.speaks_of(one, path.stem, row) for row in rows), one
