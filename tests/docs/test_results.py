"""Committed benchmark results have the form that benchmarks/README.md describes."""

import pytest

from benchmarks import page

RESULTS = sorted(
    path.relative_to(page.RESULTS).with_suffix("").as_posix()
    for path in page.RESULTS.rglob("*.json")
)


def test_there_are_results() -> None:
    assert RESULTS


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_whole_and_lies_where_its_script_does(name: str) -> None:
    result = page.result(name)
    assert {"date", "hardware", "versions", "command", "rows"} <= set(result)
    assert page.script(name).exists()
    assert result["rows"]
    for row in result["rows"]:
        assert set(row) == {"what", "peer", "ours", "theirs", "unit", "ratio", "target"}


def test_the_page_of_benchmarks_is_that_of_the_committed_results() -> None:
    """`python -m benchmarks.page > benchmarks/README.md` writes it."""
    assert (page.HERE / "README.md").read_text("utf-8") == page.page()


def test_every_result_answers_a_question() -> None:
    asked = [name for names in page.QUESTIONS.values() for name in names]
    assert sorted(asked) == RESULTS


@pytest.mark.parametrize("name", RESULTS)
def test_a_missed_goal_is_said_in_one_line(name: str) -> None:
    """And none is said to be missed that was met."""
    lines = [one for one in page.missed() if one["file"] == name]
    rows = [row for row in page.result(name)["rows"] if page.met(name, row) is False]
    for row in rows:
        assert sum(page.speaks_of(one, name, row) for one in lines) == 1, row
    for one in lines:
        assert any(page.speaks_of(one, name, row) for row in rows), one
