"""The parts of a report. Every text that is not written here is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from assay.ranker.v1 import ranker_pb2

from services.cli.messages import enum_name
from services.cli.report.drawing import bars, interval
from services.cli.verdicts import measured_text, number, value_text

SIDES = ("left", "right")
"""Names of the colours that the two artifacts are drawn in."""


def side_by_side(reply: ranker_pb2.CompareResponse) -> str:
    """Type, licence, pricing, counts, published and measured scores, and the components."""
    sides = (reply.left, reply.right)
    artifacts = [side.artifact for side in sides]
    rows = [
        _row("type", [_words(enum_name(one, "type")) for one in artifacts]),
        _row("licence", [escape(one.license.name) for one in artifacts]),
        _row("pricing", [escape(one.pricing) for one in artifacts]),
        _row("capabilities", [_capabilities(one) for one in artifacts]),
        _row("times matched", [_matches(side.matches) for side in sides]),
        _row("published score", [_published(one) for one in artifacts]),
        _row(
            f"score, by methodology {escape(reply.methodology.version)}",
            [_score(side.score, color) for side, color in zip(sides, SIDES, strict=True)],
        ),
    ]
    better = {one.component: one for one in reply.components}
    for left, right in zip(reply.left.score.components, reply.right.score.components, strict=True):
        cells = [_component(one, color) for one, color in zip((left, right), SIDES, strict=True)]
        heading = f"{_words(left.name)}<br><small>weights {left.weight:g}, {right.weight:g}</small>"
        rows.append(_row(heading, cells, _better(reply, better.get(left.name))))
    rows.append(
        _row(
            "page reliability",
            [_reliability(side, color) for side, color in zip(sides, SIDES, strict=True)],
        )
    )
    head = "".join(f"<th>{escape(one.id)}</th>" for one in artifacts)
    return (
        f'<div class="wide"><table><thead><tr><td></td>{head}<th>better</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def claims(title: str, verdicts: Sequence[ranker_pb2.ClaimVerdict]) -> str:
    """Claims with verdict, value, why, and the command that repeats each."""
    rows = "".join(_claim(one) for one in verdicts)
    return (
        f'<h2>{escape(title)}</h2><div class="wide"><table><thead><tr><th>claim</th>'
        "<th>published</th><th>verdict</th><th>found</th><th>why, and how to repeat it</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def contradictions(verdicts: Iterable[ranker_pb2.ClaimVerdict]) -> str:
    """Pairs of claims that cannot both hold; empty when there is none."""
    every = {one.claim.id: one.claim for one in verdicts}
    pairs = sorted(
        {
            tuple(sorted((claim.id, other)))
            for claim in every.values()
            for other in claim.contradicts
            if other in every
        }
    )
    rows = "".join(
        f"<li>{escape(a)}: {escape(every[a].statement)}<br>"
        f"{escape(b)}: {escape(every[b].statement)}</li>"
        for a, b in pairs
    )
    return f"<h2>What the page contradicts itself in</h2><ul>{rows}</ul>" if rows else ""


def breakdowns(verdicts: Iterable[ranker_pb2.ClaimVerdict]) -> str:
    """Values that were measured by part, drawn; empty when there is none."""
    found = [one for one in verdicts if one.evidence.breakdown]
    drawn = "".join(
        f"<figure><figcaption>{escape(one.claim.id)}: {escape(one.evidence.breakdown_unit)} by "
        f"part, {_words(enum_name(one.evidence, 'relation'))}. {escape(one.evidence.note)}"
        f"</figcaption>"
        f"{bars(dict(sorted(one.evidence.breakdown.items())), one.evidence.breakdown_unit, 'left')}"
        "</figure>"
        for one in found
    )
    return f"<h2>Bits per byte by subset</h2>{drawn}" if drawn else ""


def _row(heading: str, cells: Iterable[str], better: str = "") -> str:
    tds = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr><th>{heading}</th>{tds}<td>{better}</td></tr>"


def _capabilities(artifact: ranker_pb2.Artifact) -> str:
    items = "".join(
        f"<li>{escape(one.name)}: {escape(one.description)}</li>" for one in artifact.capabilities
    )
    count = len(artifact.capabilities)
    return f"<details><summary>{count}</summary><ul>{items}</ul></details>"


def _matches(counts: ranker_pb2.MatchCounts) -> str:
    told = f"<br><small>{counts.succeeded} of {counts.reported} reported went well</small>"
    return f"{counts.matched}{told if counts.reported else ''}"


def _published(artifact: ranker_pb2.Artifact) -> str:
    if not artifact.HasField("published"):
        return "none"
    published = artifact.published
    parts = ", ".join(
        f"{escape(name.replace('_', ' '))} {value:g}"
        for name, value in sorted(published.printed_components.items())
    )
    return (
        f"{published.value:g} of 100<br><small>printed parts: {parts}. "
        f"{escape(published.remark)}</small>"
    )


def _score(score: ranker_pb2.Score, color: str) -> str:
    return (
        f"{score.point:.1f} of 100, from {score.low:.1f} to {score.high:.1f}"
        f"{interval(score.low, score.point, score.high, 100, color)}"
        f"<small>evidence for {score.coverage:.0%} of the weight</small>"
    )


def _component(component: ranker_pb2.Component, color: str) -> str:
    why = f"<small>{escape(component.explanation)}</small>"
    if not component.coverage:
        return f"nothing is known: 0 to 1{interval(0, 0.5, 1, 1, color)}{why}"
    drawn = interval(component.low, component.point, component.high, 1, color)
    return f"{component.point:.2f}, from {component.low:.2f} to {component.high:.2f}{drawn}{why}"


def _reliability(side: ranker_pb2.ComparedArtifact, color: str) -> str:
    value = side.reliability
    low, high = value.interval.low, value.interval.high
    return (
        f"{value.mean:.2f}, from {low:.2f} to {high:.2f}"
        f"{interval(low, value.mean, high, 1, color)}"
        f"<small>{value.confirmed} groups of claims hold, {value.refuted} do not, "
        f"{value.undecided} are undecided; no part of the score</small>"
    )


def _better(reply: ranker_pb2.CompareResponse, row: ranker_pb2.ComponentComparison | None) -> str:
    if row is None:
        return ""
    names = {
        ranker_pb2.SEPARATION_LEFT: reply.left.artifact.id,
        ranker_pb2.SEPARATION_RIGHT: reply.right.artifact.id,
        ranker_pb2.SEPARATION_NOT_SEPARABLE: "not separable",
        ranker_pb2.SEPARATION_DIFFERENT_TYPES: "not compared",
    }
    told = escape(names.get(row.separation, ""))
    if not row.what_would_separate:
        return told
    return f"{told}<br><small>{escape(row.what_would_separate)}</small>"


def _claim(verdict: ranker_pb2.ClaimVerdict) -> str:
    evidence, name = verdict.evidence, enum_name(verdict, "verdict")
    basis = enum_name(verdict, "basis") if verdict.basis else ""
    found = escape(value_text(verdict.evidence)).replace("\n", "<br>")
    if verdict.HasField("evidence") and evidence.n > 1:
        found += f"<br><small>n = {number(evidence.n)}</small>"
    if verdict.HasField("sample"):
        sample = escape(measured_text(verdict.sample)).replace("\n", "<br>")
        found += f"<br>{sample}<br><small>{escape(verdict.sample.note)}</small>"
    more = [escape(verdict.reason)]
    if evidence.note:
        more.append(f"<small>{escape(evidence.note)}</small>")
    if evidence.sources:
        more.append(f"<small>{escape('; '.join(evidence.sources))}</small>")
    if evidence.command:
        more.append(f"<code>{escape(evidence.command)}</code>")
    if evidence.digest:
        more.append(f"<small>evidence {escape(evidence.digest)}</small>")
    if verdict.contradicts:
        more.append(f"<small>contradicts {escape(', '.join(verdict.contradicts))}</small>")
    return (
        f"<tr><td>{escape(verdict.claim.id)}</td><td>{escape(verdict.claim.statement)}</td>"
        f'<td><span class="verdict {name.lower().replace("_", "-")}">{_words(name)}</span>'
        f"<br><small>{_words(basis)}</small></td><td>{found}</td><td>{'<br>'.join(more)}</td></tr>"
    )


def _words(name: str) -> str:
    return escape(name.replace("_", " ").lower())
