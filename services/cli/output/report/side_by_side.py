"""Two artifacts side by side, as a table. Every text that is not written here is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from assay_rpc.ranker.v1 import artifact_pb2, compare_pb2, evidence_pb2, score_pb2

from services.cli.output import comparison, measured
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
    ]
    for heading, scores, answer in comparison.score_rows(reply):
        cells = [_score(one, color) for one, color in zip(scores, SIDES, strict=True)]
        rows.append(_row(escape(heading), cells, _better(reply, answer)))
    for name, components, answer in comparison.component_rows(reply):
        cells = [_component(one, color) for one, color in zip(components, SIDES, strict=True)]
        rows.append(_row(words(name), cells, _better(reply, answer)))
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
    said = "; ".join(comparison.reports(counts))
    return f"{counts.matched}<br><small>{escape(said)}</small>" if said else f"{counts.matched}"


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
        return f'<span class="quiet">{lines(comparison.score_text(score))}</span>'
    drawn = interval(
        score.low,
        score.point,
        score.high,
        100 * comparison.MOST,
        color,
        least=100 * comparison.LEAST,
    )
    return f"{score.point:.1f} of 100, from {score.low:.1f} to {score.high:.1f}{drawn}"


def _component(component: score_pb2.Component | None, color: str) -> str:
    if component is None:
        return ""
    why = f"<small>{escape(component.explanation)}</small>"
    if not component.HasField("point"):
        return f"nothing is known{why}"
    drawn = interval(
        component.low,
        component.point,
        component.high,
        comparison.MOST,
        color,
        least=comparison.LEAST,
    )
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
    page = f", as {escape(value.page)} states it" if value.page else ""
    counts = f"<small>{escape(comparison.facts(value))}{page}; no part of the score</small>"
    if not value.HasField("mean"):
        return f"unknown{counts}"
    low, high = value.interval.low, value.interval.high
    return (
        f"{value.mean:.2f}, from {low:.2f} to {high:.2f}"
        f"{interval(low, value.mean, high, 1, color)}{counts}"
    )


def _better(reply: compare_pb2.CompareResponse, answer: comparison.Answer | None) -> str:
    better = escape(comparison.better(reply, answer))
    if answer is None or not answer.missing:
        return better
    return f"{better}<br><small>missing to decide: {escape(missing(answer))}</small>"
