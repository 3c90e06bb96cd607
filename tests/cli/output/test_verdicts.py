"""How verdicts and comparisons read."""

import io
import math

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import artifact_pb2, claim_pb2, compare_pb2, evidence_pb2, score_pb2
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from services.cli.output import comparison, grid, verdicts
from services.cli.output.console import Format, printing
from services.ranker.web import values


@pytest.mark.parametrize(
    ("value", "text"),
    [(64108374, "64,108,374"), (0.25, "0.25"), (1.092, "1.092"), (5290.25, "5,290.2"), (-3, "-3")],
)
def test_numbers_read_well(value: float, text: str) -> None:
    assert values.number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value(value: float) -> None:
    read = float(values.number(value).replace(",", ""))
    assert read == pytest.approx(value, rel=1e-3, abs=0.06)


def test_what_lets_claims_be_measured_is_said_once_with_their_number() -> None:
    why = evidence_pb2.NotMeasured(message="nothing is served", remedy="serve it: --model DIR")
    unmeasured = evidence_pb2.ClaimVerdict(not_measured=why)
    silent = evidence_pb2.ClaimVerdict(not_measured=evidence_pb2.NotMeasured(message="no GPU"))
    found = verdicts.remedies([unmeasured, silent, unmeasured, evidence_pb2.ClaimVerdict()])
    assert found == ["2 claims: serve it: --model DIR"]


def measured(number: float, low: float, high: float) -> evidence_pb2.ClaimVerdict:
    return evidence_pb2.ClaimVerdict(
        claim=claim_pb2.Claim(id="B4.5", artifact="a", statement="2 to 3 s on a CPU"),
        verdict=evidence_pb2.VERDICT_REFUTED,
        basis=evidence_pb2.BASIS_MEASURED,
        evidence=evidence_pb2.Evidence(
            claim="B4.5",
            relation=evidence_pb2.SUBJECT_RELATION_SAME_ARCHITECTURE_RANDOM_WEIGHTS,
            basis=evidence_pb2.BASIS_MEASURED,
            value=evidence_pb2.Value(number=number, unit="s"),
            interval=common_pb2.Interval(low=low, high=high, level=0.99),
            command="assay claims a --claim B4.5",
        ),
        reason="the interval lies outside",
    )


@pytest.mark.parametrize(
    ("method", "not_measured", "word"),
    [
        ("segment.latency@1", False, "not verified yet"),
        ("segment.latency@1", True, "not testable here"),
        ("", False, "not testable here"),
    ],
)
def test_a_claim_that_nobody_verified_is_not_called_untestable(
    method: str, not_measured: bool, word: str
) -> None:
    """As on the pages: `compare --no-verify` says what has been done, not what can be."""
    verdict = evidence_pb2.ClaimVerdict(
        claim=claim_pb2.Claim(id="B4.5", artifact="a", method=method),
        verdict=evidence_pb2.VERDICT_NOT_TESTABLE_HERE,
    )
    if not_measured:
        verdict.not_measured.message = "its weights are not served"
    assert str(verdicts.styled(verdict)) == word


def test_a_comparison_ends_with_how_many_claims_have_which_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    for module in (comparison, verdicts, grid):
        monkeypatch.setattr(module, "OUT", Console(file=out, width=100))
    reply = compare_pb2.CompareResponse(summary="neither is ahead")
    reply.left.claims.append(measured(1.25, 1.2, 1.3))
    reply.right.claims.add(claim=claim_pb2.Claim(id="P1", artifact="b", method="corpus.count@1"))
    comparison.show(reply)
    assert (
        "Of 2 claims, 1 is refuted and 1 is not verified yet.\nneither is ahead" in out.getvalue()
    )


def test_a_comparison_lists_what_has_a_verdict_and_says_how_to_verify_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = io.StringIO()
    for module in (verdicts, grid):
        monkeypatch.setattr(module, "OUT", Console(file=out, width=100))
    waiting = evidence_pb2.ClaimVerdict(claim=claim_pb2.Claim(id="P1", artifact="b", method="m@1"))
    every = [measured(1.25, 1.2, 1.3), waiting]
    verdicts.show("Claims", every, verified_by="assay claims b")
    assert "P1" not in out.getvalue()
    assert "Not verified yet: 1 claim. To verify:\n  assay claims b\n" in out.getvalue()
    verdicts.show("Claims", [waiting], verified_by="assay claims b")
    assert out.getvalue().count("assay claims b\n") == 2
    for module in (verdicts, grid):
        monkeypatch.setattr(module, "chosen_format", lambda: Format.CSV)
    verdicts.show("Claims", every, verified_by="assay claims b")
    assert "P1" in capsys.readouterr().out


def test_a_value_with_its_interval() -> None:
    assert values.value_text(measured(1.25, 1.2, 1.3).evidence) == "1.25 s\n[1.2 .. 1.3]"
    open_end = measured(3.0, 2.5, math.inf).evidence
    assert values.value_text(open_end) == "3 s\n[2.5 .. ∞]"
    assert values.value_text(evidence_pb2.Evidence()) == ""


def test_what_is_refuted_is_followed_by_its_command_on_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(verdicts, "OUT", Console(file=out, width=40))
    refuted = measured(1.25, 1.2, 1.3)
    refuted.evidence.command = f"assay export --out {'m' * 60} && assay claims a --claim B4.5"
    confirmed = measured(2.5, 2.4, 2.6)
    confirmed.verdict = evidence_pb2.VERDICT_CONFIRMED
    confirmed.evidence.command = "assay claims a --claim B4.6"
    verdicts.show("claims", [refuted, confirmed])
    lines = out.getvalue().splitlines()
    assert f"  {refuted.evidence.command}" in lines
    assert not any(confirmed.evidence.command in line for line in lines)


def test_what_changed_is_told_by_claim_and_the_rest_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(verdicts, "OUT", Console(file=out, width=200))
    first, same, changed = (measured(1.25, 1.2, 1.3) for _ in range(3))
    same.change.verdict = evidence_pb2.VERDICT_REFUTED
    changed.change.differences.extend(
        [
            evidence_pb2.Difference(what="value", before="1 s", after="2 s"),
            evidence_pb2.Difference(what="python", before="3", after="4", of_sample=True),
        ]
    )
    verdicts.show("claims", [first])
    assert "verified last" not in out.getvalue()
    verdicts.show("claims", [first, same, changed])
    assert "B4.5: value: 1 s -> 2 s; python: 3 -> 4 (of a sample)" in out.getvalue()
    assert "1 of 2 claims: same verdict and measurement" in out.getvalue()
    assert verdicts.as_json(first)["changed"] is None
    assert verdicts.as_json(same)["changed"] == []


def test_json_has_what_a_script_needs() -> None:
    document = verdicts.as_json(measured(1.25, 1.2, 1.3))
    assert document["id"] == "B4.5"
    assert document["verdict"] == "REFUTED"
    assert document["basis"] == "MEASURED"
    assert document["relation"] == "SAME_ARCHITECTURE_RANDOM_WEIGHTS"
    assert (document["value"], document["unit"]) == (1.25, "s")
    assert {key: document["interval"][key] for key in ("low", "high", "level", "kind")} == {
        "low": 1.2,
        "high": 1.3,
        "level": 0.99,
        "kind": None,
    }
    bare = verdicts.as_json(evidence_pb2.ClaimVerdict(claim=claim_pb2.Claim(id="x")))
    assert bare["value"] is None
    assert bare["basis"] is None


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).map(sorted))
def test_a_bar_marks_its_point_inside_its_interval(ends: list[float]) -> None:
    bar = comparison.bar(*ends)
    assert len(bar) == len(comparison.bar(0, 0, 0))
    assert bar.count("●") == 1


def test_what_was_measured_of_both_of_one_type_stands_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    for module in (comparison, verdicts, grid):
        monkeypatch.setattr(module, "OUT", Console(file=out, width=160))

    def side(*claims: evidence_pb2.ClaimVerdict) -> compare_pb2.ComparedArtifact:
        return compare_pb2.ComparedArtifact(
            artifact=artifact_pb2.Artifact(
                id="a", type=artifact_pb2.ARTIFACT_TYPE_SEGMENTATION_MODEL
            ),
            claims=claims,
            score=score_pb2.Score(components=[score_pb2.Component(name="quality")]),
        )

    timed, other = measured(0.1, 0.1, 0.1), measured(1.1, 1.1, 1.1)
    accuracy, unknown = measured(37, 37, 37), measured(50.3, 50.3, 50.3)
    accuracy.evidence.n, accuracy.evidence.relation = 5, evidence_pb2.SUBJECT_RELATION_SAMPLE
    unknown.evidence.basis = evidence_pb2.BASIS_SOURCED
    unknown.not_measured.message = "random weights alone are served"
    timed.claim.group = other.claim.group = "cpu-latency"
    accuracy.claim.group = unknown.claim.group = "ade20k-miou"
    comparison.show(
        compare_pb2.CompareResponse(left=side(timed, accuracy), right=side(other, unknown))
    )
    table = out.getvalue().rpartition("Side by side")[2]
    for part in (
        "measured: latency on a CPU",
        "0.1 s",
        "1.1 s",
        "with random weights",
        "measured: ADE20K mean IoU",
        "on a sample of 5",
        "not measured: random weights alone are served",
    ):
        assert part in table
    assert "50.3" not in table


def test_a_comparison_prints_even_when_it_knows_little(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    for module in (comparison, verdicts, grid):
        monkeypatch.setattr(module, "OUT", Console(file=out, width=160))
    component = score_pb2.Component(name="quality", weight=1, low=0, point=0.5, high=1)
    side = compare_pb2.ComparedArtifact(
        artifact=artifact_pb2.Artifact(id="a"),
        score=score_pb2.Score(low=0, point=50, high=100, components=[component]),
        claims=[measured(1.25, 1.2, 1.3)],
    )
    comparison.show(compare_pb2.CompareResponse(left=side, right=side, summary="nothing is known"))
    assert "B4.5" in out.getvalue()
    assert "nothing is known" in out.getvalue()


def test_whether_a_claim_repeats_its_source_is_told_beside_its_verdict() -> None:
    verdict = measured(1.25, 1.2, 1.3)
    assert str(verdicts.styled(verdict)) == "refuted\nmeasured"
    assert verdicts.as_json(verdict)["sourcing"] is None
    verdict.sourcing = evidence_pb2.SOURCE_VERDICT_FAITHFUL
    assert str(verdicts.styled(verdict)) == "refuted\nmeasured\nrepeats its source as quoted"
    assert verdicts.as_json(verdict)["sourcing"] == "FAITHFUL"
    verdict.sourcing = evidence_pb2.SOURCE_VERDICT_MISQUOTED
    assert str(verdicts.styled(verdict)).endswith("not what its source is quoted to say")


@pytest.mark.parametrize(
    ("chosen", "drawn"),
    [(Format.TABLE, True), (Format.CSV, False), (Format.MD, False), (None, False)],
)
def test_a_score_has_a_bar_only_where_it_is_drawn(chosen: Format | None, drawn: bool) -> None:
    """Without a choice the tests' output is no terminal, as a pipe is none."""
    score = score_pb2.Score(point=50, low=40, high=60, coverage=1)
    with printing(chosen=chosen):
        text = comparison.score_text(score)
    assert ("●" in text) is drawn
    assert text.startswith("50")
