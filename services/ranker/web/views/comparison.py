"""A comparison, ready to be shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from assay_rpc.ranker.v1 import artifact_pb2, compare_pb2, evidence_pb2, score_pb2

from services.ranker.web import drawing, measured
from services.ranker.web.links import Links, outside
from services.ranker.web.sides import UNDECIDED, Answer, component_rows, known, score_rows
from services.ranker.web.values import changes, ends, enum_name, measured_text
from services.ranker.web.verdicts import KINDS, Kind, reference_of
from services.ranker.web.views import claims, scores
from services.ranker.web.views.charts import Drawing, drawings
from services.ranker.web.views.claims import ClaimView, Tally
from services.ranker.web.views.scores import Figure
from services.ranker.words import joined, words

SIDES = ("left", "right")
"""Names of the colours that the two artifacts are drawn in."""


@dataclass(frozen=True)
class Side:
    """One of the two, as far as it is words."""

    id: str
    name: str
    address: str
    type: str
    license: str
    license_address: str
    pricing: str
    capabilities: tuple[tuple[str, str], ...]
    digest: str


@dataclass(frozen=True)
class Row:
    """A heading, both cells, and which is better, where that is asked."""

    heading: str
    remark: str
    cells: tuple[Sequence[Figure], Sequence[Figure]]
    better: str = ""
    missing: str = ""


@dataclass(frozen=True)
class ComparisonView:
    """A comparison."""

    left: Side
    right: Side
    summary: str
    overall: Tally
    tallies: tuple[Tally, ...]
    refuted: tuple[ClaimView, ...]
    rows: tuple[Row, ...]
    groups: tuple[tuple[Kind, list[ClaimView]], ...]
    contradictions: tuple[tuple[ClaimView, ClaimView], ...]
    changes: tuple[str, ...]
    drawings: tuple[Drawing, ...]
    methodology: str
    methodology_digest: str
    as_of: str
    hardware: str


def view(reply: compare_pb2.CompareResponse, links: Links) -> ComparisonView:
    """What a page shows of a reply."""
    every = unique(
        [
            *reply.left.claims,
            *reply.right.claims,
            *(one for page in reply.pages for one in page.claims),
        ]
    )
    shown = claims.views(every, links)
    return ComparisonView(
        left=side(reply.left.artifact, links),
        right=side(reply.right.artifact, links),
        summary=reply.summary,
        overall=claims.tally("all", "", every),
        tallies=_tallies(reply, links),
        refuted=tuple(one for one in shown if one.kind == KINDS["REFUTED"]),
        rows=tuple(_rows(reply)),
        groups=tuple(claims.by_verdict(shown)),
        contradictions=tuple(claims.contradictions(every, links)),
        changes=tuple(changes(every)),
        drawings=tuple(
            one
            for compared, color in zip((reply.left, reply.right), SIDES, strict=True)
            for one in drawings(compared.claims, color)
        ),
        methodology=reply.methodology.version,
        methodology_digest=reply.methodology.digest,
        as_of=reply.as_of,
        hardware=reply.hardware,
    )


def unique(
    verdicts: Sequence[evidence_pb2.ClaimVerdict],
) -> list[evidence_pb2.ClaimVerdict]:
    """Each claim once, in the order in which they came first."""
    return list({reference_of(one.claim): one for one in reversed(verdicts)}.values())[::-1]


def side(artifact: artifact_pb2.Artifact, links: Links) -> Side:
    """An artifact in words."""
    return Side(
        id=artifact.id,
        name=artifact.name or artifact.id,
        address=links.artifact(artifact.id),
        type=words(enum_name(artifact, "type")),
        license=artifact.license.name or artifact.license.id or "not stated",
        license_address=outside(artifact.license.url),
        pricing=artifact.pricing or "not stated",
        capabilities=tuple((one.name, one.description) for one in artifact.capabilities),
        digest=artifact.digest,
    )


def _tallies(reply: compare_pb2.CompareResponse, links: Links) -> tuple[Tally, ...]:
    sides = tuple(
        claims.tally(one.artifact.id, links.artifact(one.artifact.id), one.claims)
        for one in (reply.left, reply.right)
    )
    pages = tuple(
        claims.tally(one.page.name, links.page(one.page.id), one.claims) for one in reply.pages
    )
    return sides + pages


def _rows(reply: compare_pb2.CompareResponse) -> list[Row]:
    compared = tuple(zip((reply.left, reply.right), SIDES, strict=True))
    rows = [
        _row(
            "published score",
            *(scores.published(one.artifact, color) or [Figure("none")] for one, color in compared),
        ),
        *(_score_row(reply, *row) for row in score_rows(reply)),
        *(_component_row(reply, *row) for row in component_rows(reply)),
    ]
    rows += [
        Row(", ".join(map(words, one.facts)), one.heading, _measured(one))
        for one in measured.rows(reply)
    ]
    rows += [
        _row("page reliability", *(scores.reliability(one, color) for one, color in compared)),
        _row("times matched", *([scores.matches(one.matches)] for one, _ in compared)),
    ]
    return rows


def _row(heading: str, left: Sequence[Figure], right: Sequence[Figure]) -> Row:
    return Row(heading, "", (left, right))


def _score_row(
    reply: compare_pb2.CompareResponse,
    heading: str,
    both: Sequence[score_pb2.Score],
    answer: Answer | None,
) -> Row:
    left, right = ([scores.score(one, color)] for one, color in zip(both, SIDES, strict=True))
    return Row(heading, "", (left, right), *_answered(reply, both, answer))


def _component_row(
    reply: compare_pb2.CompareResponse,
    name: str,
    both: Sequence[score_pb2.Component | None],
    answer: Answer | None,
) -> Row:
    left, right = (scores.component(one, color) for one, color in zip(both, SIDES, strict=True))
    weights = {one.weight for one in both if one is not None and one.weight}
    remark = joined([f"weight {one:g}" for one in sorted(weights)])
    return Row(words(name), remark, (left, right), *_answered(reply, both, answer))


def _answered(
    reply: compare_pb2.CompareResponse,
    both: Sequence[score_pb2.Score | score_pb2.Component | None],
    answer: Answer | None,
) -> tuple[str, str]:
    """Which is better, and what is missing to say so. Cells without a figure say what they lack."""
    said = better(reply, answer)
    if answer is None or known(both):
        return said, missing(answer)
    undecided = answer.separation == compare_pb2.SEPARATION_NOT_SEPARABLE
    return UNDECIDED if undecided else said, ""


def better(reply: compare_pb2.CompareResponse, answer: Answer | None) -> str:
    """Which is better, in words; empty where that is not asked."""
    return {
        int(compare_pb2.SEPARATION_LEFT): reply.left.artifact.id,
        int(compare_pb2.SEPARATION_RIGHT): reply.right.artifact.id,
        int(compare_pb2.SEPARATION_NOT_SEPARABLE): "too close to call",
        int(compare_pb2.SEPARATION_DIFFERENT_TYPES): "not compared: they are of different types",
    }.get(answer.separation if answer else 0, "")


def missing(answer: Answer | None) -> str:
    """What is missing to decide which is better; empty when nothing is."""
    return "; ".join(
        ": ".join(filter(None, (one.artifact, words(one.metric), one.what)))
        for one in (answer.missing if answer else ())
    )


def _measured(row: measured.Row) -> tuple[Sequence[Figure], Sequence[Figure]]:
    """Both cells; two numbers are drawn on one line from 0, for one alone has nothing beside it."""
    spans = [_span(cell.evidence) for cell in row.cells if cell.evidence]
    most = max((end for span in spans for end in span if math.isfinite(end)), default=0.0)
    comparable = len(spans) == len(row.cells) and most > 0
    left, right = (
        [_cell(cell, most if comparable else 0.0, color)]
        for cell, color in zip(row.cells, SIDES, strict=True)
    )
    return left, right


def _cell(cell: measured.Cell, most: float, color: str) -> Figure:
    if cell.evidence is None:
        return Figure(cell.why, known=False)
    low, point, high = _span(cell.evidence)
    drawn = drawing.interval(low, point, high, most, color) if most else scores.NOTHING
    return Figure(measured_text(cell.evidence), drawn)


def _span(evidence: evidence_pb2.Evidence) -> tuple[float, float, float]:
    point = evidence.value.number
    if not evidence.HasField("interval"):
        return point, point, point
    low, high = ends(evidence.interval)
    return low, point, high
