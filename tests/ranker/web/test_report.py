"""The one-file page: whole, self-contained, and safe from what it quotes."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import compare_pb2, evidence_pb2
from assay_rpc.segment.v1 import models_pb2

from services.ranker.web.pictures import ClassSeen, Seen, chosen
from services.ranker.web.report import report
from tests.ranker.web.pages import HOSTILE, Checked, reply

DATA = "data:image/jpeg;base64,AA=="
SEEN = Seen("a-model", "photo.jpg", DATA, DATA, (ClassSeen("sky", "#87ceeb", "90.0 %"),))


def test_what_a_reader_wants_comes_first() -> None:
    page = Checked(report(reply(), SEEN))
    order = (
        "Of 3 claims, 3 are refuted.",
        "Refuted claims",
        "Side by side",
        "What a-model sees",
        "Measured by part",
        "Where the page contradicts itself",
        "Every claim, by verdict",
    )
    places = [page.text.index(part) for part in order]
    assert places == sorted(places)
    for part in (
        "50.0 points, from 20.0 to 70.0",
        "42 of 100",
        "1 of 2 reported went well",
        "7 observations",
        "on a sample of 5",
        "too close to call",
        "Missing to decide: text",
        "sky 90.0 %",
    ):
        assert part in page.text
    assert sum(tag == "svg" for tag, _ in page.tags) >= 6


def test_a_refuted_claim_has_its_true_value_beside_the_claimed() -> None:
    asked = reply()
    asked.left.claims[0].claim.bound.equals.value = 5
    asked.left.claims[0].claim.bound.equals.tolerance = 0.5
    asked.left.claims[0].claim.bound.unit = "layers"
    page = Checked(report(asked))
    assert "5 layers (± 0.5) 2 text [1 .. 3] measured" in page.text


def test_a_claim_can_be_linked_to_and_is_there_once() -> None:
    asked = reply()
    asked.pages[0].claims.append(asked.left.claims[0])
    page = Checked(report(asked))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert "claim-a-C1" in ids
    assert {one.removeprefix("#") for one in page.values("href") if one[0] == "#"} <= set(ids)
    assert page.text.startswith("a and a, compared")


def test_counts_are_of_each_side_and_of_the_page() -> None:
    asked = reply()
    asked.right.CopyFrom(asked.left)
    asked.right.artifact.id = "b"
    for verdict, found in zip(asked.right.claims, ("CONFIRMED", "INCONCLUSIVE"), strict=True):
        verdict.claim.artifact = "b"
        verdict.verdict = evidence_pb2.Verdict.Value(f"VERDICT_{found}")
    page = Checked(report(asked))
    assert "Of 5 claims, 1 is confirmed, 3 are refuted and 1 is inconclusive." in page.text
    spoken = page.values("aria-label")
    assert "Of 2 claims, 2 are refuted." in spoken
    assert "Of 2 claims, 1 is confirmed and 1 is inconclusive." in spoken
    assert "Of 1 claim, 1 is refuted." in spoken


def test_nothing_unknown_is_drawn() -> None:
    asked = reply()
    for side in (asked.left, asked.right):
        side.score.ClearField("point")
        side.score.coverage = 0
        side.score.components[0].ClearField("point")
        side.artifact.ClearField("published")
        side.ClearField("reliability")
        for verdict in side.claims:
            verdict.ClearField("evidence")
            verdict.ClearField("sample")
    page = Checked(report(asked))
    assert page.text.count("no evidence yet") == 4
    assert not any(one.startswith("interval") for one in page.values("class"))


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
    page = Checked(report(asked))
    assert "latency on a CPU measured" in page.text
    assert page.text.count("not measured: random weights <alone> are served") == 2
    spoken = page.values("aria-label")
    assert "1, from 0.5 to ∞, on a line from 0 to 4" in spoken
    assert "4, from 2 to ∞, on a line from 0 to 4" in spoken
    asked.right.claims[0].evidence.basis = evidence_pb2.BASIS_SOURCED
    assert not any("line from 0 to 4" in one for one in Checked(report(asked)).values("aria-label"))


def test_published_figures_stand_beside_the_measured_ones() -> None:
    asked = reply()
    card = asked.left.claims.add()
    card.claim.artifact, card.claim.id = "a", "C3"
    card.claim.group = "bits-per-byte-pile-cc"
    card.claim.bound.equals.value = 1.0878
    spoken = Checked(report(asked)).values("aria-label")
    assert any("Pile-CC 0.9, published 1.088" in one for one in spoken)


def test_throughput_is_drawn_against_batch_size() -> None:
    asked = reply()
    for verdict, size in zip(asked.left.claims, (1, 16), strict=True):
        verdict.evidence.basis = evidence_pb2.BASIS_MEASURED
        verdict.evidence.note = f"In batches of {size}. On a processor."
        verdict.evidence.value.number = 10 * size
        verdict.evidence.value.unit = "pictures/s"
    page = Checked(report(asked))
    assert "Throughput against batch size" in page.text
    assert (
        "pictures in a batch 1: 10 pictures/s; pictures in a batch 16: 160 pictures/s"
        in page.values("aria-label")
    )


def test_what_changed_is_told_where_a_verification_told_it() -> None:
    asked = reply()
    assert "Changes since" not in Checked(report(asked)).text
    asked.left.claims[0].change.differences.add(what="value", before="<1> s", after="2 s")
    asked.left.claims[1].change.verdict = evidence_pb2.VERDICT_REFUTED
    page = Checked(report(asked))
    assert "Changes since the last run" in page.text
    assert "C1: value: <1> s -> 2 s" in page.text
    assert "1 of 2 claims: same verdict and measurement" in page.text


def test_evidence_names_its_day_and_its_machine() -> None:
    asked = reply()
    evidence = asked.left.claims[0].evidence
    evidence.measure_time.FromJsonString("2026-01-15T12:00:00Z")
    evidence.environment.cpu, evidence.environment.cpu_count = "a processor", 2
    assert "2026-01-15 · 2 x a processor · evidence e" in Checked(report(asked)).text


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


def test_a_model_in_the_place_of_another_is_said_to_be() -> None:
    page = Checked(report(reply(), replace(SEEN, remark="It is shown in place of <b4>.")))
    assert "It is shown in place of <b4>." in page.text


def test_the_page_loads_nothing_and_runs_only_its_own_script() -> None:
    written = report(reply(), SEEN)
    page = Checked(written)
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "base", "form"}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", tag
            if name in ("src", "href"):
                assert (value or "").startswith(("data:image/jpeg;base64,", "#"))
    assert not re.search(r"url\(|@import|https?://", written)
    (policy,) = [str(a["content"]) for t, a in page.tags if a.get("http-equiv")]
    for kind in ("style", "script"):
        (inline,) = re.findall(rf"<{kind}>(.*?)</{kind}>", written, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; ")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_quoted_stays_text(text: str) -> None:
    page = Checked(report(reply(text)))
    assert text in page.shown
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in Checked(report(reply())).tags}
    assert not any(name.startswith("on") for _, found in page.tags for name in found)


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "//elsewhere.example",
        "https:",
        "https://[",
        "vbscript:x",
        "file:///etc/passwd",
        "https://user name.example/ x",
    ],
)
def test_only_addresses_of_the_web_are_links(address: str) -> None:
    asked = reply()
    asked.left.artifact.license.url = address
    asked.left.claims[0].evidence.sources[0].url = address
    asked.left.claims[0].claim.sources.add(title="a paper", url=address)
    assert all(one.startswith("#") for one in Checked(report(asked)).values("href"))


def test_a_source_is_a_link() -> None:
    asked = reply()
    asked.left.claims[0].evidence.sources[0].url = "https://example.org/paper?a=1&b=2"
    asked.left.artifact.license.url = "http://example.org/licence"
    links = set(Checked(report(asked)).values("href"))
    assert {"https://example.org/paper?a=1&b=2", "http://example.org/licence"} <= links


def test_nobody_turns_a_line_around() -> None:
    page = report(reply("\u202egnp.exe\u2066 \x1b[31m \x00"))
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", page)
    assert "\ufffdgnp.exe" in page


def test_a_line_never_ends_between_a_number_and_its_unit() -> None:
    page = report(reply("45.7 % of 3 GiB, 5.5 ms, 2 sides, 7 %x"))
    assert "45.7\N{NO-BREAK SPACE}% of 3\N{NO-BREAK SPACE}GiB, 5.5\N{NO-BREAK SPACE}ms" in page
    assert "2 sides, 7 %x" in page


def test_equal_comparisons_give_equal_pages() -> None:
    assert report(reply(), SEEN) == report(reply(), SEEN)


def test_without_what_was_not_measured_there_are_no_empty_sections() -> None:
    page = Checked(report(compare_pb2.CompareResponse(summary="nothing")))
    for part in ("contradicts itself", "Measured by part", "sees", "Refuted claims"):
        assert part not in page.text
    assert "Nothing is claimed." in page.text
