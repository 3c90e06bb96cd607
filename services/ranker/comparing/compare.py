"""Two records and a methodology -> a comparison. A function: no clock, no I/O, no chance.

It reads evidence and makes none, so the key of its cache (`cache_key`) cannot change while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from services.errors import InvalidArgument
from services.ranker.claims.model import PageVerdicts
from services.ranker.comparing.cache_key import Pair
from services.ranker.methodology import published, separation
from services.ranker.methodology.definition import Methodology
from services.ranker.methodology.reliability import PageReliability, reliability
from services.ranker.methodology.score import ArtifactRecord, Score, score
from services.ranker.methodology.separation import ComponentComparison, Separation, Side


@dataclass(frozen=True)
class ComparedArtifact:
    """One side of a comparison.

    `feasible` and `remark` are of the score that a page published; None and empty without one.
    """

    record: ArtifactRecord
    score: Score
    reliability: PageReliability
    feasible: published.Feasible | None
    remark: str

    @property
    def side(self) -> Side:
        """What the separation of two artifacts needs to know of this one."""
        artifact = self.record.artifact
        return Side(artifact.id, artifact.type, self.score)


@dataclass(frozen=True)
class Comparison:
    """The answer, in the caller's order."""

    left: ComparedArtifact
    right: ComparedArtifact
    components: tuple[ComponentComparison, ...]
    overall: Separation
    summary: str
    pages: tuple[PageVerdicts, ...]
    methodology: Methodology
    as_of: date
    hardware: str

    def swapped(self) -> Comparison:
        """The same comparison with the sides exchanged."""
        return replace(
            self,
            left=self.right,
            right=self.left,
            components=tuple(
                replace(row, separation=row.separation.swapped()) for row in self.components
            ),
            overall=self.overall.swapped(),
        )


def parse_day(text: str, today: date) -> date:
    """The day that `text` names as YYYY-MM-DD; `today` when it is empty.

    Raises InvalidArgument for anything else.
    """
    if not text:
        return today
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument("as_of", f"{text!r} is not a day: {error}") from error
    if day.isoformat() != text:
        raise InvalidArgument("as_of", f"{text!r} is not written as YYYY-MM-DD")
    return day


def compare(pair: Pair, methodology: Methodology, as_of: date) -> Comparison:
    """The comparison of a pair, in the order that the caller had it in."""
    hardware = pair.hardware
    left, right = (
        _compared(record, methodology, as_of, hardware) for record in (pair.first, pair.second)
    )
    first, second = left.side, right.side
    ranges = methodology.rules(pair.first.artifact.type).weights
    rows = separation.by_component(first, second)
    overall = separation.overall(first, second, ranges)
    result = Comparison(
        left=left,
        right=right,
        components=rows,
        overall=overall,
        summary=_summary(first, second, rows, overall),
        pages=pair.pages,
        methodology=methodology,
        as_of=as_of,
        hardware=hardware,
    )
    return result.swapped() if pair.swapped else result


def _compared(
    record: ArtifactRecord, methodology: Methodology, as_of: date, hardware: str
) -> ComparedArtifact:
    printed = record.artifact.published
    return ComparedArtifact(
        record=record,
        score=score(record, methodology, as_of, hardware),
        reliability=reliability(record.verdicts, methodology),
        feasible=published.feasible(printed.printed_components) if printed else None,
        remark=published.remark(printed.value, printed.printed_components) if printed else "",
    )


def _summary(
    left: Side, right: Side, rows: Iterable[ComponentComparison], overall: Separation
) -> str:
    """The verdict in a sentence or two that follows from the figures, whichever side is left."""
    sentences = [f"{_score_line(left)}; {_score_line(right)}."]
    if overall is Separation.DIFFERENT_TYPES:
        sentences.append(
            f"They are of different types ({_readable(left.type)}, {_readable(right.type)}), so "
            "neither is better overall; only components on a common scale are compared."
        )
    elif overall is Separation.NOT_SEPARABLE:
        sentences.append(
            "The evidence cannot separate them; what would most help: "
            f"{separation.what_would_separate(left, right)}."
        )
    else:
        winner = left if overall is Separation.LEFT else right
        sentences.append(f"{winner.id} is better under every declared weighting.")
    for side, ahead in ((left, Separation.LEFT), (right, Separation.RIGHT)):
        names = [_readable(row.component) for row in rows if row.separation is ahead]
        if names:
            sentences.append(f"{side.id} is ahead in {' and '.join(names)}.")
    return " ".join(sentences)


def _score_line(side: Side) -> str:
    """A score as it may be quoted: never the point without its interval and coverage."""
    score_ = side.score
    if not score_.coverage:
        return (
            f"nothing is known of {side.id} yet, so that it may score anything from "
            f"{score_.low:.1f} to {score_.high:.1f} of 100"
        )
    return (
        f"{side.id} scores {score_.point:.1f} of 100, between {score_.low:.1f} and "
        f"{score_.high:.1f}, with evidence for {100 * score_.coverage:.0f} % of the weight"
    )


def _readable(name: str) -> str:
    return name.replace("_", " ").lower()
