from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from assay_rpc.common.v1.common_pb2 import Interval
from assay_rpc.corpus.v1 import scoring_pb2
from rich.console import Console

from services.cli.output import score_output
from services.cli.output.console import ERR, OUT, printing
from services.cli.output.score_plot import Row, plot


def score(bits: float, low: float = 0, high: float = 0) -> scoring_pb2.BitsPerByte:
    made = scoring_pb2.BitsPerByte(
        nats=1, text_bytes=10, tokens=4, documents=12, bits_per_byte=bits
    )
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
    final = scoring_pb2.FinalScore(overall=score(1.2, 1.0, 1.4))
    final.subsets.add(subset="Github", score=score(1.0))
    final.published.add(model="gpt2", bits_per_byte=1.2, by_subset={"Github": 1.79})
    document = score_output.score_json(final)
    interval = document["overall"]["interval"]
    assert (interval["low"], interval["high"], interval["level"]) == (1.0, 1.4, 0.95)
    assert document["subsets"]["Github"]["bits_per_byte"] == 1.0
    assert document["published"][0]["by_subset"] == {"Github": 1.79}
    for absent in ("macro_bits_per_byte", "macro_interval", "definition"):
        assert document[absent] is None
    assert document["weighted"] == document["excluded"] == []


def test_what_is_left_out_is_told_by_reason() -> None:
    final = scoring_pb2.FinalScore(
        overall=scoring_pb2.BitsPerByte(nats=2, text_bytes=10, tokens=4, documents=1)
    )
    lost = scoring_pb2.BitsPerByte(nats=3, text_bytes=10, tokens=4, documents=1)
    unknown = scoring_pb2.BitsPerByte(text_bytes=99, documents=1)
    final.excluded.add(
        reason=scoring_pb2.EXCLUSION_REASON_NOT_ROUND_TRIPPING, score=lost, ids=["a:0"]
    )
    final.excluded.add(
        reason=scoring_pb2.EXCLUSION_REASON_TOKEN_OUT_OF_RANGE, score=unknown, ids=["b:1"]
    )
    shown = " ".join(printed(lambda: score_output.show_score(final)).split())
    assert "1 document (10 bytes) that the tokenizer cannot round-trip. First: a:0" in shown
    assert "1 document (99 bytes) with tokens that the model does not have. First: b:1" in shown
    document = score_output.score_json(final)
    assert [one["reason"] for one in document["excluded"]] == [
        "NOT_ROUND_TRIPPING",
        "TOKEN_OUT_OF_RANGE",
    ]
    assert document["excluded"][1]["bits_per_byte"] is None
    # What has no likelihood adds no bytes either.
    merged = document["including_excluded"]
    assert (merged["nats"], merged["text_bytes"], merged["documents"]) == (5, 20, 2)


def test_a_comparison_is_printed_with_signs(capsys: pytest.CaptureFixture[str]) -> None:
    difference = scoring_pb2.BPBDifference(
        bits_per_byte=-0.5,
        interval=Interval(low=-0.6, high=-0.4, level=0.95),
        model=score(1.0),
        against=score(1.5),
    )
    final = scoring_pb2.BPBComparison(overall=difference, documents_left_out=3)
    final.model.model.name, final.against.model.name = "ours", "theirs"
    score_output.show_comparison(final)
    printed = capsys.readouterr()
    assert "-0.5000" in printed.out
    assert "-0.6000 .. -0.4000" in printed.out
    assert "left out: 3 documents" in printed.err
    assert score_output.comparison_json(final)["overall"]["bits_per_byte"] == -0.5


def printed(show: Callable[[], None]) -> str:
    """What a function prints on both consoles, in columns wide enough for every table."""
    with OUT.capture() as out, ERR.capture() as err:
        show()
    return out.get() + err.get()


def test_nothing_scored_is_neither_drawn_nor_a_zero() -> None:
    final = scoring_pb2.FinalScore()
    left = scoring_pb2.BitsPerByte(nats=9, text_bytes=10, tokens=4, documents=5)
    final.excluded.add(
        reason=scoring_pb2.EXCLUSION_REASON_NOT_ROUND_TRIPPING, score=left, ids=["test.jsonl.zst:0"]
    )
    final.excluded.add(
        reason=scoring_pb2.EXCLUSION_REASON_EMPTY,
        score=scoring_pb2.BitsPerByte(documents=2),
        ids=["test.jsonl.zst:7"],
    )
    shown = printed(lambda: score_output.show_score(final))
    assert "nothing could be scored: the tokenizer reproduces none of 5 documents" in " ".join(
        shown.split()
    )
    assert "0.000" not in shown
    assert "\u25cf" not in shown
    assert not score_output.has_value(final.overall)


def test_a_document_without_scored_tokens_is_no_zero() -> None:
    final = scoring_pb2.FinalScore(overall=scoring_pb2.BitsPerByte(text_bytes=10, documents=1))
    assert "0.000" not in printed(lambda: score_output.show_score(final))
    assert score_output.score_json(final)["overall"]["bits_per_byte"] is None


def test_nothing_compared_is_neither_drawn_nor_a_zero() -> None:
    final = scoring_pb2.BPBComparison(documents_left_out=5)
    shown = printed(lambda: score_output.show_comparison(final))
    assert "nothing could be compared" in shown
    assert "0.000" not in shown
    assert "\u25cf" not in shown
    assert score_output.comparison_json(final)["overall"]["bits_per_byte"] is None


def basis(standing: Any, **more: Any) -> scoring_pb2.Basis:
    return scoring_pb2.Basis(
        scope=scoring_pb2.INTERVAL_SCOPE_DOCUMENTS,
        standing=standing,
        documents=6507,
        effective_documents=341.2,
        **more,
    )


def test_which_question_is_answered_is_said() -> None:
    spans: dict[str, Any] = {
        "unit": scoring_pb2.SAMPLE_UNIT_SPANS,
        "scored": 200,
        "by_chance": 190,
        "certain_share": 0.031,
    }
    exact = scoring_pb2.FinalScore(overall=score(3.053))
    exact.overall.basis.CopyFrom(basis(scoring_pb2.STANDING_EXACT))
    sampled = scoring_pb2.FinalScore(overall=score(3.05, 2.96, 3.14))
    sampled.overall.basis.CopyFrom(basis(scoring_pb2.STANDING_ESTIMATE, **spans, kept_share=0.5))
    few = scoring_pb2.FinalScore(overall=score(3.05))
    few.overall.basis.CopyFrom(
        basis(scoring_pb2.STANDING_EXAMPLE, **spans, no_interval="10 are needed")
    )
    behind = scoring_pb2.FinalScore(overall=score(3.05, 2.0, 4.0))
    behind.overall.basis.CopyFrom(basis(scoring_pb2.STANDING_ESTIMATE))
    behind.overall.basis.scope = scoring_pb2.INTERVAL_SCOPE_CORPUS_BEHIND
    for final, *words in (
        (exact, "exact: over 6,507 documents, which count as 341.2 of equal size", "exact"),
        (
            sampled,
            "95 % intervals are of these 6,507 documents, which count as 341.2",
            "200 spans scored, 190 drawn by chance; 3.10 % of the bytes were certain to be drawn",
            "an estimated 50.0 % of the bytes is left out",
            "2.9600 .. 3.1400",
        ),
        (few, "the figure is an example, not a measurement: 10 are needed", "an example"),
        (behind, "intervals are of the corpus behind these 6,507 documents"),
    ):
        shown = " ".join(printed(partial(score_output.show_score, final)).split())
        for one in words:
            assert one in shown, shown


def test_the_difference_that_would_have_been_seen_is_said() -> None:
    final = scoring_pb2.BPBComparison(
        overall=scoring_pb2.BPBDifference(
            bits_per_byte=0.001,
            interval=Interval(low=-0.008, high=0.01, level=0.95),
            model=score(1.0),
            against=score(1.0),
            smallest_detectable=0.0131,
            basis=basis(scoring_pb2.STANDING_ESTIMATE),
        )
    )
    shown = " ".join(printed(lambda: score_output.show_comparison(final)).split())
    assert "no difference seen; 0.013 would have been" in shown
    final.overall.interval.low = 0.0005
    assert "would have been" not in printed(lambda: score_output.show_comparison(final))
    final.overall.identical = True
    assert "identical on all that was scored" in printed(
        lambda: score_output.show_comparison(final)
    )


def test_perplexities_are_shown_where_they_are_known() -> None:
    final = scoring_pb2.FinalScore(overall=score(1.0))
    assert "perplexity" not in printed(lambda: score_output.show_score(final))
    assert score_output.score_json(final)["overall"]["word_perplexity"] is None
    final.overall.byte_perplexity, final.overall.word_perplexity = 2.0, 1234.5
    shown = printed(lambda: score_output.show_score(final))
    assert "byte perplexity 2, word perplexity 1,234.5" in shown


def test_a_perplexity_that_no_float_holds_is_absent_with_the_reason() -> None:
    hard = scoring_pb2.BitsPerByte(bits_per_byte=1.8, nats=2e4, byte_perplexity=3.5)
    assert "word perplexity not shown, because it is above" in score_output.score_words(hard)[-1]
    hard.bits_per_byte = 1025.0
    hard.ClearField("byte_perplexity")
    assert "byte perplexity not shown, because it is above" in score_output.score_words(hard)[-1]
    hard.bits_per_byte = 2.0
    hard.basis.unit = scoring_pb2.SAMPLE_UNIT_SPANS
    assert score_output.score_words(hard)[-1] == ""


def test_a_sum_of_a_sample_is_no_figure() -> None:
    final = scoring_pb2.FinalScore(overall=score(1.0))
    final.overall.basis.unit = scoring_pb2.SAMPLE_UNIT_SPANS
    assert score_output.score_json(final)["including_excluded"]["bits_per_byte"] is None


def test_reasons_to_doubt_are_printed_and_in_json() -> None:
    final = scoring_pb2.FinalScore(overall=score(1.2), doubts=["it predicts by chance"])
    final.model.name = "m"
    against = scoring_pb2.FinalScore(overall=score(1.3))
    both = scoring_pb2.BPBComparison(model=final, against=against)
    shown = (
        partial(score_output.show_score, final),
        partial(score_output.show_comparison, both),
    )
    for show in shown:
        with printing(quiet=True), OUT.capture(), ERR.capture() as told:
            show()
        assert told.get().count("doubtful: m: it predicts by chance") == 1
    assert score_output.score_json(final)["doubts"] == ["it predicts by chance"]
    assert score_output.comparison_json(both)["against"]["doubts"] == []
