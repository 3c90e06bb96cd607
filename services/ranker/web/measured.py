"""What was measured of two artifacts of one type, fact by fact, and why where nothing was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay_rpc.ranker.v1 import compare_pb2, evidence_pb2


@dataclass(frozen=True)
class Cell:
    """One side's measured number, or None and `why`, in a few words."""

    evidence: evidence_pb2.Evidence | None
    why: str = ""


@dataclass(frozen=True)
class Row:
    """Facts that both sides have, by the group of their claims.

    A row has one fact, or all those that neither side measured, for the same reasons.
    """

    facts: tuple[str, ...]
    cells: tuple[Cell, Cell]

    @property
    def heading(self) -> str:
        """Whether any side was measured."""
        return "measured" if any(cell.evidence for cell in self.cells) else "not measured"


def rows(reply: compare_pb2.CompareResponse) -> list[Row]:
    """The facts that a method has measured, or tried to, on both sides; none across types.

    Numbers in different units, or of different hardware, are not set beside each other.
    """
    if reply.left.artifact.type != reply.right.artifact.type:
        return []
    left, right = _by_fact(reply.left.claims), _by_fact(reply.right.claims)
    found: dict[object, Row] = {}
    for fact in left:
        if fact not in right:
            continue
        sides = left[fact], right[fact]
        cells = _cell(sides[0]), _cell(sides[1])
        if any(one.evidence or one.why for one in cells):
            verified = [any(one.HasField("evidence") for one in side) for side in sides]
            cells = _alike(*cells, verified=(verified[0], verified[1]))
            alike = fact if any(one.evidence for one in cells) else cells
            known = found.get(alike)
            found[alike] = Row((*known.facts, fact) if known else (fact,), cells)
    return list(found.values())


def _by_fact(
    claims: Sequence[evidence_pb2.ClaimVerdict],
) -> dict[str, list[evidence_pb2.ClaimVerdict]]:
    """Claims about an artifact alone, by fact; a ratio to another artifact is about two."""
    found: dict[str, list[evidence_pb2.ClaimVerdict]] = {}
    for one in claims:
        if not one.claim.HasField("comparator"):
            found.setdefault(one.claim.group, []).append(one)
    return found


def _cell(verdicts: Sequence[evidence_pb2.ClaimVerdict]) -> Cell:
    for one in verdicts:
        evidence = one.sample if one.HasField("sample") else one.evidence
        measured = evidence.basis == evidence_pb2.BASIS_MEASURED
        if measured and evidence.value.WhichOneof("kind") == "number":
            if evidence.relation != evidence_pb2.SUBJECT_RELATION_PROXY:
                return Cell(evidence)
            return Cell(None, "not measured: only a substitute was")
    why = next((one.not_measured.message for one in verdicts if one.HasField("not_measured")), "")
    return Cell(None, why and f"not measured: {why}")


def _alike(left: Cell, right: Cell, *, verified: tuple[bool, bool]) -> tuple[Cell, Cell]:
    """Both cells, with the reason in an empty one; numbers that cannot be compared are left out."""
    if left.evidence is None or right.evidence is None:
        return _with_reason(left, verified[0]), _with_reason(right, verified[1])
    for of in (_unit, hardware):
        one, other = of(left.evidence), of(right.evidence)
        if one and other and one != other:
            return _apart(one), _apart(other)
    return left, right


def _apart(how: str) -> Cell:
    return Cell(None, f"not comparable: measured {how}")


def _with_reason(cell: Cell, verified: bool) -> Cell:
    if cell.evidence or cell.why:
        return cell
    return Cell(None, "not measured: no method" if verified else "not verified yet")


def _unit(evidence: evidence_pb2.Evidence) -> str:
    return f"in {evidence.value.unit or '1'}"


def hardware(evidence: evidence_pb2.Evidence) -> str:
    """The hardware that a number holds for; empty for one that holds anywhere."""
    if not evidence.HasField("environment"):
        return ""
    machine = evidence.environment
    processors = f"{machine.cpu_count} x {machine.cpu or 'an unknown processor'}"
    return f"on {', '.join([processors, *sorted(one.name for one in machine.accelerators)])}"
