"""Claims and verdicts as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from assay.ranker.v1 import ranker_pb2
from rich.table import Table
from rich.text import Text

from services.cli.messages import enum_name, plain

_STYLES = {
    "CONFIRMED": "green",
    "REFUTED": "red",
    "INCONCLUSIVE": "yellow",
    "NOT_TESTABLE_HERE": "dim",
    "UNDERSPECIFIED": "magenta",
}


def table(title: str, verdicts: Iterable[ranker_pb2.ClaimVerdict]) -> Table:
    """Claims with verdict, basis and value, a row each."""
    rows = Table(title=title, title_justify="left", show_lines=False, expand=True)
    rows.add_column("claim", no_wrap=True)
    rows.add_column("what is claimed", ratio=3)
    rows.add_column("verdict", no_wrap=True)
    rows.add_column("value", ratio=2)
    rows.add_column("why", ratio=4)
    for verdict in verdicts:
        rows.add_row(
            verdict.claim.id,
            Text(verdict.claim.statement),
            styled(verdict),
            Text(value_text(verdict)),
            Text(verdict.reason),
        )
    return rows


def styled(verdict: ranker_pb2.ClaimVerdict) -> Text:
    """The verdict in its colour, its basis under it."""
    name = enum_name(verdict, "verdict")
    basis = enum_name(verdict, "basis")
    words = Text(name.replace("_", " ").lower(), style=_STYLES.get(name, ""))
    if basis != "UNSPECIFIED":
        words.append(f"\n{basis.lower()}", style="dim")
    return words


def value_text(verdict: ranker_pb2.ClaimVerdict) -> str:
    """The evidence's value with unit and interval, "" without evidence."""
    evidence = verdict.evidence
    kind = evidence.value.WhichOneof("kind")
    if kind is None:
        return ""
    if kind == "boolean":
        return "yes" if evidence.value.boolean else "no"
    if kind == "text":
        return evidence.value.text
    unit = "" if evidence.value.unit in {"", "1"} else f" {evidence.value.unit}"
    text = f"{number(evidence.value.number)}{unit}"
    interval = evidence.interval
    if evidence.HasField("interval") and interval.high > interval.low:
        text += f"\n[{number(interval.low)} .. {number(interval.high)}]"
    return text


def number(value: float) -> str:
    """Four significant digits, thousands separated, no exponent where none is needed."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def as_json(verdict: ranker_pb2.ClaimVerdict) -> dict[str, Any]:
    """One verdict as the JSON that `--json` prints."""
    evidence = verdict.evidence
    kind = evidence.value.WhichOneof("kind")
    found = verdict.HasField("evidence")
    return {
        "id": verdict.claim.id,
        "artifact": verdict.claim.artifact,
        "statement": verdict.claim.statement,
        "verdict": enum_name(verdict, "verdict"),
        "basis": enum_name(verdict, "basis") if verdict.basis else None,
        "relation": enum_name(evidence, "relation") if found else None,
        "value": getattr(evidence.value, kind) if kind else None,
        "unit": evidence.value.unit or None,
        "interval": plain(evidence.interval) if evidence.HasField("interval") else None,
        "n": evidence.n if found else None,
        "reason": verdict.reason,
        "contradicts": list(verdict.contradicts),
        "bound": plain(verdict.claim.bound) if verdict.claim.HasField("bound") else None,
        "scope": verdict.claim.scope or None,
        "comparator": verdict.claim.comparator or None,
        "method": evidence.method or verdict.claim.method or None,
        "sources": list(evidence.sources),
        "note": evidence.note or None,
        "command": evidence.command or None,
        "environment": plain(evidence.environment) if evidence.HasField("environment") else None,
        "time": evidence.time.ToJsonString() if evidence.HasField("time") else None,
        "evidence": evidence.digest or None,
    }
