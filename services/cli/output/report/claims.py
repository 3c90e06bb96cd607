"""Claims as a table. Every text that is not written here is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from assay_rpc.ranker.v1 import evidence_pb2

from services.cli.output.measured import hardware
from services.cli.output.messages import enum_name, source
from services.cli.output.report.text import lines, words
from services.cli.output.verdicts import SOURCING, measured_text, number, value_text


def claims(title: str, verdicts: Sequence[evidence_pb2.ClaimVerdict]) -> str:
    """Claims with verdict, value, why, and the command that repeats each."""
    rows = "".join(_claim(one) for one in verdicts)
    return (
        f'<h2>{escape(title)}</h2><table class="claims"><thead><tr><th>claim</th>'
        "<th>published</th><th>verdict</th><th>found</th><th>why, and how to repeat it</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _claim(verdict: evidence_pb2.ClaimVerdict) -> str:
    name = enum_name(verdict, "verdict")
    basis = enum_name(verdict, "basis") if verdict.basis else ""
    sourcing = escape(SOURCING.get(verdict.sourcing, ""))
    small = "<br>".join(filter(None, [words(basis), sourcing]))
    return (
        f"<tr><th>{escape(verdict.claim.id)}</th><td>{escape(verdict.claim.statement)}</td>"
        f'<td><span class="verdict {name.lower().replace("_", "-")}">{words(name)}</span>'
        f"<br><small>{small}</small></td><td>{_found(verdict)}</td>"
        f"<td>{_why(verdict)}</td></tr>"
    )


def _found(verdict: evidence_pb2.ClaimVerdict) -> str:
    evidence = verdict.evidence
    parts = [lines(value_text(evidence))]
    if evidence.n > 1:
        parts.append(f"<small>n = {number(evidence.n)}</small>")
    if verdict.HasField("sample"):
        parts.append(lines(measured_text(verdict.sample)))
        parts.append(f"<small>{escape(verdict.sample.note)}</small>")
    return "<br>".join(part for part in parts if part)


def _why(verdict: evidence_pb2.ClaimVerdict) -> str:
    evidence = verdict.evidence
    quiet = [
        evidence.note,
        "; ".join(map(source, evidence.sources)),
        _kept(evidence),
        f"contradicts {', '.join(verdict.contradicts)}" if any(verdict.contradicts) else "",
    ]
    notes = "".join(f"<p><small>{escape(one)}</small></p>" for one in quiet if one)
    command = f"<p><code>{escape(evidence.command)}</code></p>" if evidence.command else ""
    return f"<p>{escape(verdict.reason)}</p>{command}{notes}"


def _kept(evidence: evidence_pb2.Evidence) -> str:
    """The day of a piece of evidence, the machine that was measured on if one was, its digest."""
    if not evidence.digest:
        return ""
    day = evidence.measure_time.ToJsonString()[:10]
    return f"{' '.join(filter(None, [day, hardware(evidence)]))}, evidence {evidence.digest}"
