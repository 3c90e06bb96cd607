"""The parts of a report that are no table. Every text that is not written here is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from assay_rpc.ranker.v1 import compare_pb2, evidence_pb2

from services.cli.output.messages import enum_name
from services.cli.output.report.drawing import bars
from services.cli.output.report.picture import Seen
from services.cli.output.report.text import words
from services.cli.output.verdicts import changes

_LEAST_SHARE = 0.005
"""Of a picture's pixels: what is less would be shown as 0 %."""


def changed(verdicts: Iterable[evidence_pb2.ClaimVerdict]) -> str:
    """What changed since the claims were verified last; empty when that is not known."""
    items = "".join(f"<li>{escape(line)}</li>" for line in changes(verdicts))
    return f"<h2>What changed since they were verified last</h2><ul>{items}</ul>" if items else ""


def contradictions(verdicts: Iterable[evidence_pb2.ClaimVerdict]) -> str:
    """Pairs of claims that cannot both hold; empty when there is none."""
    every = {
        f"{one.claim.page or one.claim.artifact}/{one.claim.id}": one.claim for one in verdicts
    }
    pairs = sorted(
        {
            tuple(sorted((name, other)))
            for name, claim in every.items()
            for other in claim.contradicts
            if other in every
        }
    )
    rows = "".join(
        f"<li>{escape(every[a].id)}: {escape(every[a].statement)}<br>"
        f"{escape(every[b].id)}: {escape(every[b].statement)}</li>"
        for a, b in pairs
    )
    return f"<h2>What the page contradicts itself in</h2><ul>{rows}</ul>" if rows else ""


def breakdowns(reply: compare_pb2.CompareResponse) -> str:
    """Values that were measured by part, drawn; empty when there is none."""
    sides = ((reply.left.claims, "left"), (reply.right.claims, "right"))
    drawn = "".join(
        _breakdown(one.claim.id, one.evidence, color)
        for claims, color in sides
        for one in claims
        if one.evidence.parts
    )
    return f"<h2>Bits per byte by subset</h2>{drawn}" if drawn else ""


def _breakdown(claim: str, evidence: evidence_pb2.Evidence, color: str) -> str:
    unit = evidence.value.unit
    parts = {one.name: one.value for one in sorted(evidence.parts, key=lambda one: one.name)}
    return (
        f"<figure><figcaption>{escape(claim)}: {escape(unit)} by part, "
        f"{words(enum_name(evidence, 'relation'))}. {escape(evidence.note)}</figcaption>"
        f"{bars(parts, unit, color)}</figure>"
    )


def picture(seen: Seen) -> str:
    """A picture beside what a model sees in it."""
    shown = [(name, share) for name, share in seen.classes[:8] if share >= _LEAST_SHARE]
    shares = ", ".join(f"{escape(name)} {share:.0%}" for name, share in shown)
    stand_in = f"<p>{escape(seen.remark)}</p>" if seen.remark else ""
    return (
        f"<h2>What {escape(seen.model)} sees</h2>{stand_in}"
        '<div class="pair">'
        f'<figure><img alt="a picture" src="{seen.picture}">'
        f"<figcaption>{escape(seen.source)}</figcaption></figure>"
        f'<figure><img alt="its classes, coloured" src="{seen.overlay}">'
        f"<figcaption>{shares}</figcaption></figure></div>"
    )
