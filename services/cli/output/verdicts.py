"""Claims and verdicts as tables and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from assay_rpc.ranker.v1 import evidence_pb2
from rich.text import Text

from services.cli.output import grid
from services.cli.output.console import OUT, Format, chosen_format
from services.cli.output.grid import Column, Grid, Kind
from services.cli.output.messages import plain
from services.common.counts import plural
from services.ranker.web.values import (
    BASES,
    SOURCING,
    changes,
    enum_name,
    measured_text,
    value_text,
)
from services.ranker.web.verdicts import KINDS, UNVERIFIED, kind

_DIGITS = 8
_STYLES = {
    "confirmed": "green",
    "refuted": "red",
    "inconclusive": "yellow",
    "untestable": "dim",
    "unverified": "dim",
    "underspecified": "magenta",
}


def table(title: str, verdicts: Iterable[evidence_pb2.ClaimVerdict]) -> Grid:
    """Claims with verdict, basis and measured value, a row each."""
    rows = Grid(
        title,
        [
            Column("id", Kind.NAME),
            Column("claim", Kind.TEXT),
            Column("verdict", Kind.TEXT),
            Column("measured", Kind.TEXT),
            Column("explanation", Kind.TEXT),
        ],
    )
    for verdict in verdicts:
        rows.add(
            verdict.claim.id,
            verdict.claim.statement,
            styled(verdict),
            _value(verdict),
            verdict.reason,
        )
    return rows


_CLAIM = " --claim "


def remedies(verdicts: Iterable[evidence_pb2.ClaimVerdict]) -> list[str]:
    """What would allow unmeasured claims to be measured, with the number of claims for each."""
    said = (one.not_measured.remedy for one in verdicts if one.HasField("not_measured"))
    counts = Counter(filter(None, said))
    return [f"{plural(count, 'claim')}: {remedy}" for remedy, count in counts.items()]


def commands(verdicts: Iterable[evidence_pb2.ClaimVerdict]) -> list[str]:
    """The commands that repeat the claims that are refuted."""
    return grouped(
        verdict.evidence.command
        for verdict in verdicts
        if verdict.verdict == evidence_pb2.VERDICT_REFUTED and verdict.evidence.command
    )


def grouped(commands: Iterable[str]) -> list[str]:
    """Commands for single claims, joined if they differ only in the claim."""
    claims: dict[tuple[str, str], list[str]] = {}
    for command in commands:
        before, flag, after = command.partition(_CLAIM)
        claim, space, rest = after.partition(" ")
        claims.setdefault((before, space + rest), []).append(flag + claim)
    return [f"{before}{''.join(of)}{rest}" for (before, rest), of in claims.items()]


def show(
    title: str, verdicts: Sequence[evidence_pb2.ClaimVerdict], *, verified_by: str = ""
) -> None:
    """Prints the claims; below them the commands that repeat refuted ones, and what changed.

    The commands are separate lines rather than cells: a broken cell cannot be pasted. With
    `verified_by`, a command, the screen shows only claims with a verdict, and the number of the
    others with the command.
    """
    listed = verdicts
    if verified_by and chosen_format() not in {Format.CSV, Format.MD}:
        listed = [one for one in verdicts if kind(one) is not KINDS[UNVERIFIED]]
    if listed or not verdicts:
        grid.show(table(title, listed))
    else:
        OUT.print(title, style="italic", markup=False)
    if waiting := len(verdicts) - len(listed):
        _lines(f"Not verified yet: {plural(waiting, 'claim')}. To verify:", [verified_by])
    _lines("Not measured here. To measure:", remedies(verdicts))
    _lines("Re-run the refuted claims:", commands(verdicts))
    _lines("Changes since the last run:", changes(verdicts))


def _lines(heading: str, lines: Iterable[str]) -> None:
    for number, line in enumerate(lines):
        if not number:
            OUT.print(heading, style="dim")
        OUT.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def styled(verdict: evidence_pb2.ClaimVerdict) -> Text:
    """The verdict in its colour, its basis under it."""
    found = kind(verdict)
    words = Text(found.name, style=_STYLES.get(found.css, ""))
    if basis := BASES.get(verdict.basis):
        words.append(f"\n{basis}", style="dim")
    if sourcing := SOURCING.get(verdict.sourcing):
        words.append(f"\n{sourcing}", style="dim")
    return words


def _value(verdict: evidence_pb2.ClaimVerdict) -> Text:
    """The value, and under it the start of its evidence's digest."""
    words = Text(value_text(verdict.evidence))
    words.append(_digits(verdict.evidence).lstrip("" if words else "\n"), style="dim")
    if verdict.HasField("sample"):
        words.append(f"\n{measured_text(verdict.sample)}")
        words.append(_digits(verdict.sample), style="dim")
    return words


def _digits(evidence: evidence_pb2.Evidence) -> str:
    digits = evidence.digest.removeprefix("sha256:")[:_DIGITS]
    return f"\nevidence {digits}" if digits else ""


def as_json(verdict: evidence_pb2.ClaimVerdict) -> dict[str, Any]:
    """One verdict as the JSON that `--json` prints."""
    evidence = verdict.evidence
    held = evidence.value.WhichOneof("kind")
    found = verdict.HasField("evidence")
    return {
        "id": verdict.claim.id,
        "artifact": verdict.claim.artifact,
        "statement": verdict.claim.statement,
        "verdict": enum_name(verdict, "verdict"),
        "basis": enum_name(verdict, "basis") if verdict.basis else None,
        "relation": enum_name(evidence, "relation") if found else None,
        "value": getattr(evidence.value, held) if held else None,
        "unit": evidence.value.unit or None,
        "interval": plain(evidence.interval) if evidence.HasField("interval") else None,
        "n": evidence.n if found else None,
        "sourcing": enum_name(verdict, "sourcing") if verdict.sourcing else None,
        "reason": verdict.reason,
        "contradicts": list(verdict.contradicts),
        "bound": plain(verdict.claim.bound) if verdict.claim.HasField("bound") else None,
        "scope": plain(verdict.claim.scope) if verdict.claim.HasField("scope") else None,
        "comparator": plain(verdict.claim.comparator)
        if verdict.claim.HasField("comparator")
        else None,
        "method": evidence.method or verdict.claim.method or None,
        "sources": [plain(one) for one in evidence.sources],
        "note": evidence.note or None,
        "command": evidence.command or None,
        "environment": plain(evidence.environment) if evidence.HasField("environment") else None,
        "measure_time": evidence.measure_time.ToJsonString()
        if evidence.HasField("measure_time")
        else None,
        "evidence": evidence.digest or None,
        "not_measured": plain(verdict.not_measured) if verdict.HasField("not_measured") else None,
        "sample": _sample(verdict.sample) if verdict.HasField("sample") else None,
        "changed": [plain(one) for one in verdict.change.differences]
        if verdict.HasField("change")
        else None,
    }


def _sample(evidence: evidence_pb2.Evidence) -> dict[str, Any]:
    return {
        "value": evidence.value.number,
        "unit": evidence.value.unit,
        "n": evidence.n,
        "method": evidence.method,
        "note": evidence.note,
        "evidence": evidence.digest,
    }
