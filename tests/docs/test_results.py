"""Committed benchmark results have the form that benchmarks/README.md describes."""

import json
from pathlib import Path

import pytest

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
