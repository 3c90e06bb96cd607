"""Two artifacts side by side, as a table. Every text that is not written here is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from assay_rpc.ranker.v1 import artifact_pb2, compare_pb2, evidence_pb2, score_pb2

from services.cli.output import measured
from services.cli.output.messages import ends, enum_name, missing
from services.cli.output.report.drawing import interval
from services.cli.output.report.text import lines, words
from services.cli.output.verdicts import measured_text

SIDES = ("left", "right")
"""Names of the colours that the two artifacts are drawn in."""


def side_by_side(reply: compare_pb2.CompareResponse) -> str:
    """Type, licence, pricing, counts, published and measured scores, and the components."""
    sides = (reply.left, reply.right)
    artifacts = [side.artifact for side in sides]
    rows = [
        _row("type", [words(enum_name(one, "type")) for one in artifacts]),
        _row("licence", [escape(one.license.name) for one in artifacts]),
        _row("pricing", [escape(one.pricing) for one in artifacts]),
        _row("capabilities registered", [_capabilities(one) for one in artifacts]),
        _row("times matched", [_matches(side.matches) for side in sides]),
        _row(
            "published score",
            [_published(one, color) for one, color in zip(artifacts, SIDES, strict=True)],
        ),
        _row(
            f"score, by methodology {escape(reply.methodology.version)}",
            [_score(side.score, color) for side, color in zip(sides, SIDES, strict=True)],
        ),
    ]
    better = {one.component: one for one in reply.components}
    for left, right in zip(reply.left.score.components, reply.right.score.components, strict=True):
        cells = [_component(one, color) for one, color in zip((left, right), SIDES, strict=True)]
        heading = f"{words(left.name)}<br><small>weights {left.weight:g}, {right.weight:g}</small>"
        rows.append(_row(heading, cells, _better(reply, better.get(left.name))))
    rows += [_row(f"measured: {escape(one.fact)}", _measured(one)) for one in measured.rows(reply)]
    rows.append(
        _row(
            "page reliability",
            [_reliability(side, color) for side, color in zip(sides, SIDES, strict=True)],
        )
    )
    head = "".join(f"<th>{escape(one.id)}</th>" for one in artifacts)
    return (
        f'<table class="sides"><thead><tr><td></td>{head}<th>better</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _row(heading: str, cells: Iterable[str], better: str = "") -> str:
    tds = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr><th>{heading}</th>{tds}<td>{better}</td></tr>"


def _capabilities(artifact: artifact_pb2.Artifact) -> str:
    items = "".join(
        f"<li>{escape(one.name)}: {escape(one.description)}</li>" for one in artifact.capabilities
    )
    count = len(artifact.capabilities)
    return f"<details><summary>{count}</summary><ul>{items}</ul></details>"


def _matches(counts: score_pb2.MatchCounts) -> str:
    reported = f"<br><small>{counts.succeeded} of {counts.reported} reported went well</small>"
    return f"{counts.matched}{reported if counts.reported else ''}"


def _published(artifact: artifact_pb2.Artifact, color: str) -> str:
    return "".join(_published_score(one, color) for one in artifact.published) or "none"


def _published_score(published: artifact_pb2.PublishedScore, color: str) -> str:
    feasible = published.feasible
    parts = ", ".join(
        f"{words(name)} {value:g}" for name, value in sorted(published.printed_components.items())
    )
    return (
        f"{published.value:g} of 100; its printed parts allow {feasible.low:g} to {feasible.high:g}"
        f"{interval(feasible.low, published.value, feasible.high, 100, color)}"
        f"<small>printed parts: {parts}. {escape(published.remark)}</small>"
    )


def _score(score: score_pb2.Score, color: str) -> str:
    if not score.HasField("point"):
        return "no evidence yet"
    return (
        f"{score.point:.1f} of 100, from {score.low:.1f} to {score.high:.1f}"
        f"{interval(score.low, score.point, score.high, 100, color)}"
        f"<small>evidence for {score.coverage:.0%} of the weight</small>"
    )


def _component(component: score_pb2.Component, color: str) -> str:
    why = f"<small>{escape(component.explanation)}</small>"
    if not component.HasField("point"):
        return f"nothing is known{why}"
    drawn = interval(component.low, component.point, component.high, 1, color)
    return f"{component.point:.2f}, from {component.low:.2f} to {component.high:.2f}{drawn}{why}"


def _measured(row: measured.Row) -> Iterable[str]:
    """Both cells; two numbers are drawn on one line from 0, for one alone has nothing beside it."""
    spans = [_span(cell.evidence) for cell in row.cells if cell.evidence]
    most = max((end for span in spans for end in span if math.isfinite(end)), default=0.0)
    comparable = len(spans) == len(row.cells) and most > 0
    for cell, color in zip(row.cells, SIDES, strict=True):
        if cell.evidence is None:
            yield f'<span class="quiet">{escape(cell.why)}</span>'
            continue
        low, point, high = _span(cell.evidence)
        drawn = interval(low, point, high, most, color) if comparable else ""
        yield f"{lines(measured_text(cell.evidence))}{drawn}"


def _span(evidence: evidence_pb2.Evidence) -> tuple[float, float, float]:
    point = evidence.value.number
    if not evidence.HasField("interval"):
        return point, point, point
    low, high = ends(evidence.interval)
    return low, point, high


def _reliability(side: compare_pb2.ComparedArtifact, color: str) -> str:
    return "".join(_page_reliability(one, color) for one in side.reliability)


def _page_reliability(value: compare_pb2.PageReliability, color: str) -> str:
    counts = (
        f"<small>{value.confirmed} confirmed, {value.refuted} refuted, "
        f"{value.undecided} undecided, by fact; no part of the score</small>"
    )
    if not value.HasField("mean"):
        return f"unknown{counts}"
    low, high = value.interval.low, value.interval.high
    return (
        f"{value.mean:.2f}, from {low:.2f} to {high:.2f}"
        f"{interval(low, value.mean, high, 1, color)}{counts}"
    )


def _better(reply: compare_pb2.CompareResponse, row: compare_pb2.ComponentComparison | None) -> str:
    if row is None:
        return ""
    names = {
        compare_pb2.SEPARATION_LEFT: reply.left.artifact.id,
        compare_pb2.SEPARATION_RIGHT: reply.right.artifact.id,
        compare_pb2.SEPARATION_NOT_SEPARABLE: "not separable",
        compare_pb2.SEPARATION_DIFFERENT_TYPES: "not compared",
    }
    better = escape(names.get(row.separation, ""))
    if not row.missing:
        return better
    return f"{better}<br><small>missing to decide: {escape(missing(row))}</small>"
