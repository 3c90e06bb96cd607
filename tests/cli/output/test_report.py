"""The HTML report: whole, self-contained, and safe from what it quotes."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import artifact_pb2, claim_pb2, compare_pb2, evidence_pb2, score_pb2
from assay_rpc.segment.v1 import models_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.cli.output.report.drawing import bars, interval
from services.cli.output.report.page import render
from services.cli.output.report.picture import Seen, chosen

VOID = {"meta", "br", "img", "line", "path", "rect", "circle"}
DATA = "data:image/jpeg;base64,AA=="
SEEN = Seen("a-model", "photo.jpg", DATA, DATA, ())


class Checked(HTMLParser):
    """Fails on tags that are not closed in order; keeps every tag and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def reply(text: str = "text") -> compare_pb2.CompareResponse:
    """A comparison with one of everything, every text the given one."""
    evidence = evidence_pb2.Evidence(
        digest="sha256:e",
        claim="C1",
        value=evidence_pb2.Value(number=2, unit=text),
        interval=common_pb2.Interval(low=1, high=3, level=0.99),
        n=7,
        sources=[claim_pb2.Source(title=text)],
        command=text,
        note=text,
        parts=[
            evidence_pb2.Part(name=text, value=1.5),
            evidence_pb2.Part(name="Pile-CC", value=0.9),
        ],
    )

    def claim(name: str, other: str) -> evidence_pb2.ClaimVerdict:
        return evidence_pb2.ClaimVerdict(
            claim=claim_pb2.Claim(
                id=name, artifact="a", statement=text, contradicts=[f"a/{other}"]
            ),
            verdict=evidence_pb2.VERDICT_REFUTED,
            basis=evidence_pb2.BASIS_MEASURED,
            evidence=evidence,
            sample=evidence_pb2.Evidence(
                value=evidence_pb2.Value(number=45, unit=text),
                relation=evidence_pb2.SUBJECT_RELATION_SAMPLE,
                n=5,
                note=text,
            ),
            reason=text,
            contradicts=[f"a/{other}"],
        )

    component = score_pb2.Component(
        name="quality", weight=1, low=0.2, point=0.5, high=0.7, coverage=0.5, explanation=text
    )
    score = score_pb2.Score(low=20, point=50, high=70, coverage=0.5, components=[component])
    side = compare_pb2.ComparedArtifact(
        artifact=artifact_pb2.Artifact(
            id="a",
            type=artifact_pb2.ARTIFACT_TYPE_DATASET,
            license=common_pb2.License(name=text),
            pricing=text,
            capabilities=[artifact_pb2.Capability(id="c", name=text, description=text)],
            published=[
                artifact_pb2.PublishedScore(value=42, printed_components={text: 1}, remark=text)
            ],
        ),
        score=score,
        claims=[claim("C1", "C2"), claim("C2", "C1")],
        matches=score_pb2.MatchCounts(matched=3, reported=2, succeeded=1),
    )
    return compare_pb2.CompareResponse(
        left=side,
        right=side,
        components=[
            compare_pb2.ComponentComparison(
                component="quality",
                separation=compare_pb2.SEPARATION_NOT_SEPARABLE,
                missing=[compare_pb2.MissingEvidence(what=text)],
            )
        ],
        summary=text,
        pages=[
            compare_pb2.PageVerdicts(
                page=artifact_pb2.Page(id="p", name=text), claims=[claim("R1", "")]
            )
        ],
        methodology=score_pb2.MethodologyRef(version="v1", digest="sha256:m"),
        as_of="2026-01-15",
    )


def test_the_page_shows_every_part() -> None:
    page = Checked(render(reply(), SEEN))
    for part in (
        "50.0 of 100, from 20.0 to 70.0",
        "42 of 100",
        "contradicts itself",
        "Claims about a",
        "Claims of text",
        "Bits per byte by subset",
        "What a-model sees",
        "1 of 2 reported went well",
        "n = 7",
        "evidence sha256:e",
        "on a sample of 5",
        "not separable",
    ):
        assert part in page.text
    assert sum(tag == "svg" for tag, _ in page.tags) >= 6


def test_numbers_that_were_measured_of_both_are_drawn_on_one_line() -> None:
    asked = reply()
    for side, number in ((asked.left, 1.0), (asked.right, 4.0)):
        evidence = side.claims[0].evidence
        side.claims[0].claim.group = "cpu-latency"
        side.claims[0].ClearField("sample")
        evidence.basis = evidence_pb2.BASIS_MEASURED
        evidence.value.number = number
        evidence.interval.low = number / 2
        evidence.interval.ClearField("high")
        side.claims[1].claim.group = "accuracy"
        side.claims[1].ClearField("sample")
        side.claims[1].not_measured.message = "random weights <alone> are served"
    page = Checked(render(asked))
    assert "measured: cpu-latency" in page.text
    assert "measured: accuracy" in page.text
    assert page.text.count("not measured: random weights <alone> are served") == 2
    spoken = [attributes.get("aria-label") or "" for _, attributes in page.tags]
    assert "1, from 0.5 to inf, on a line from 0 to 4" in spoken
    assert "4, from 2 to inf, on a line from 0 to 4" in spoken
    asked.right.claims[0].evidence.basis = evidence_pb2.BASIS_SOURCED
    page = Checked(render(asked))
    assert "1 text" in page.text
    assert not any("on a line from 0 to 4" in (a.get("aria-label") or "") for _, a in page.tags)


def test_what_changed_is_told_where_a_verification_told_it() -> None:
    asked = reply()
    assert "What changed" not in Checked(render(asked)).text
    asked.left.claims[0].change.differences.add(what="value", before="<1> s", after="2 s")
    asked.left.claims[1].change.verdict = evidence_pb2.VERDICT_REFUTED
    page = Checked(render(asked))
    assert "What changed since they were verified last" in page.text
    assert "C1: value: <1> s -> 2 s" in page.text
    assert "1 of 2 claims: nothing changed" in page.text


def test_the_score_that_was_published_is_drawn_in_what_its_parts_allow() -> None:
    asked = reply()
    feasible = asked.left.artifact.published[0].feasible
    feasible.low, feasible.high = 5, 62
    page = Checked(render(asked))
    assert "42 of 100; its printed parts allow 5 to 62" in page.text
    spoken = [attributes.get("aria-label") for _, attributes in page.tags]
    assert "42, from 5 to 62, on a line from 0 to 100" in spoken


def test_evidence_names_its_day_and_its_machine() -> None:
    asked = reply()
    evidence = asked.left.claims[0].evidence
    evidence.measure_time.FromJsonString("2026-01-15T12:00:00Z")
    evidence.environment.cpu, evidence.environment.cpu_count = "a processor", 2
    assert "2026-01-15 on 2 x a processor, evidence sha256:e" in Checked(render(asked)).text


def test_shares_that_would_be_shown_as_none_are_left_out() -> None:
    seen = replace(SEEN, classes=(("sky", 0.9), ("pole", 0.004)))
    page = Checked(render(reply(), seen))
    assert "sky 90%" in page.text
    assert "pole" not in page.text


def summary(name: str, weights: common_pb2.WeightsKind.ValueType) -> models_pb2.ModelSummary:
    return models_pb2.ModelSummary(ref=common_pb2.ModelRef(name=name), weights=weights)


REFERENCE = summary("a-reference", common_pb2.WEIGHTS_KIND_REFERENCE)
PUBLISHED = summary("published", common_pb2.WEIGHTS_KIND_TRAINED)
RANDOM = summary("b4-random", common_pb2.WEIGHTS_KIND_RANDOM)


@pytest.mark.parametrize(
    ("served", "name"),
    [
        ([REFERENCE, RANDOM, PUBLISHED, summary("b4", PUBLISHED.weights)], "b4"),
        ([REFERENCE, RANDOM, PUBLISHED], "published"),
        ([REFERENCE, RANDOM], "a-reference"),
        ([RANDOM, summary("b4", RANDOM.weights)], None),
        ([], None),
    ],
)
def test_random_weights_never_show_what_a_model_sees(
    served: list[models_pb2.ModelSummary], name: str | None
) -> None:
    assert chosen(served, ["b4"]) == name


def test_a_model_that_stands_in_is_said_to() -> None:
    page = Checked(render(reply(), replace(SEEN, remark="It stands in for <b4>.")))
    assert "It stands in for <b4>." in page.text


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = Checked(render(reply(), SEEN))
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base", "a"}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href"):
                assert (value or "").startswith("data:image/jpeg;base64,")
    assert not re.search(r"url\(|@import|https?://", render(reply(), SEEN))
    policy = [a["content"] for t, a in page.tags if a.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style></td>&amp;"]
)
def test_what_is_quoted_stays_text(text: str) -> None:
    page = Checked(render(reply(text)))
    assert text in page.text
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in Checked(render(reply())).tags}


def test_without_what_was_not_measured_there_are_no_empty_sections() -> None:
    bare = compare_pb2.CompareResponse(summary="nothing")
    page = Checked(render(bare))
    for part in ("contradicts itself", "Bits per byte", "sees", "Claims of the page"):
        assert part not in page.text


FINITE = st.floats(0, 100)


@given(FINITE, FINITE, FINITE)
def test_an_interval_is_drawn_in_order_inside_its_line(a: float, b: float, c: float) -> None:
    low, point, high = sorted((a, b, c))
    drawn = Checked(interval(low, point, high, 100, "left"))
    (_, line), _, (_, span), (_, dot) = drawn.tags[1:]
    ends = [float(str(one)) for one in (line["x1"], span["x1"], dot["cx"], span["x2"], line["x2"])]
    assert ends == sorted(ends)


@given(st.dictionaries(st.text(max_size=20), st.floats(0, 1e6), max_size=5))
def test_bars_are_drawn_for_any_values(values: dict[str, float]) -> None:
    drawn = Checked(bars(values, "unit", "left"))
    assert sum(tag == "rect" for tag, _ in drawn.tags) == len(values)
