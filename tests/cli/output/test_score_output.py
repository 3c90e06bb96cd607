from __future__ import annotations

import io

import pytest
from assay.common.v1.common_pb2 import Interval
from assay.corpus.v1 import corpus_pb2 as pb
from rich.console import Console

from services.cli.output import score_output
from services.cli.output.score_plot import Row, plot


def score(bits: float, low: float = 0, high: float = 0) -> pb.Score:
    made = pb.Score(nats=1, text_bytes=10, tokens=4, documents=12, bits_per_byte=bits)
    if high:
        made.interval.CopyFrom(Interval(low=low, high=high, level=0.95))
    return made


def drawn(rows: list[Row], **names: str) -> list[str]:
    console = Console(width=120, file=io.StringIO())
    with console.capture() as printed:
        console.print(plot(rows, "m", **names))
    return printed.get().splitlines()


def test_marks_stand_where_the_figures_are() -> None:
    lines = drawn(
        [
            Row("Github", score(1.0, 0.5, 1.5), published=1.79),
            Row("overall", score(2.0), against=score(0.25)),
        ],
        published="Table 2",
        against="other",
    )
    line = next(line for line in lines if line.startswith("Github"))
    start = line.index("\u00b7")
    marks = {mark: line.index(mark) - start for mark in "\u2500\u25cf\u25c6"}
    assert marks == {"\u2500": 14, "\u25cf": 28, "\u25c6": 50}
    assert line.rindex("\u2500") - start == 42
    assert lines[1].split() == ["0", "2"]
    other = next(line for line in lines if line.startswith("overall"))
    assert other.count("\u25cf") == other.count("\u25cb") == 1
    assert "\u25cb other" in lines[-1]
    assert "\u25c6 Table 2" in lines[-1]


@pytest.mark.parametrize("bits", [0.0, 1e-9, 0.25, 7.99, 60.0])
def test_any_figure_is_drawn(bits: float) -> None:
    assert sum(line.count("\u25cf") for line in drawn([Row("x", score(bits))])) == 2


def test_what_is_not_there_is_null_in_json() -> None:
    final = pb.FinalScore(overall=score(1.2, 1.0, 1.4))
    final.subsets.add(subset="Github", score=score(1.0), published_bits_per_byte=1.79)
    document = score_output.score_json(final)
    assert document["overall"]["interval"] == {"low": 1.0, "high": 1.4, "level": 0.95}
    assert document["subsets"]["Github"]["published_bits_per_byte"] == 1.79
    for absent in ("macro_interval", "pile_weighted", "published", "definition"):
        assert document[absent] is None


def test_a_comparison_is_printed_with_signs(capsys: pytest.CaptureFixture[str]) -> None:
    difference = pb.BPBDifference(
        bits_per_byte=-0.5,
        interval=Interval(low=-0.6, high=-0.4, level=0.95),
        model=score(1.0),
        against=score(1.5),
    )
    final = pb.BPBComparison(overall=difference, documents_left_out=3)
    final.model.model.name, final.against.model.name = "ours", "theirs"
    score_output.show_comparison(final)
    printed = capsys.readouterr()
    assert "-0.5000" in printed.out
    assert "-0.6000 .. -0.4000" in printed.out
    assert "3 documents are left out" in printed.err
    assert score_output.comparison_json(final)["overall"]["bits_per_byte"] == -0.5
