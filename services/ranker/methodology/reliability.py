"""Verdicts -> how far a page's statements about an artifact can be believed.

Pure. Claims about one fact are one group and count once: a page that repeats itself
is neither better nor worse for it. It judges the page, so it is shown beside the score and is no
part of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.ranker.claims.model import ClaimVerdict, Interval, Verdict
from services.ranker.methodology import beta
from services.ranker.methodology.definition import Methodology


@dataclass(frozen=True)
class PageReliability:
    """A Beta posterior of the share of claim groups that hold.

    `mean` and `interval` rest on the groups that were decided; `bounds` are the means if every
    undecided group did not hold, and if every one did. Without a decided group the former are None.
    """

    mean: float | None
    interval: Interval | None
    confirmed: int
    refuted: int
    undecided: int
    bounds: Interval


def reliability(verdicts: Iterable[ClaimVerdict], methodology: Methodology) -> PageReliability:
    """How far the page can be believed.

    A group is refuted when any of its claims is, confirmed when one is and none is refuted, and
    undecided otherwise.
    """
    groups: dict[str, set[Verdict]] = {}
    for verdict in verdicts:
        group = verdict.claim.group or verdict.claim.id
        groups.setdefault(group, set()).add(verdict.verdict)
    refuted = sum(Verdict.REFUTED in group for group in groups.values())
    confirmed = sum(
        Verdict.CONFIRMED in group and Verdict.REFUTED not in group for group in groups.values()
    )
    undecided = len(groups) - confirmed - refuted
    prior = methodology.prior
    decided = confirmed + refuted > 0
    return PageReliability(
        mean=beta.mean(confirmed, refuted, prior) if decided else None,
        interval=beta.interval(confirmed, refuted, prior, methodology.level) if decided else None,
        confirmed=confirmed,
        refuted=refuted,
        undecided=undecided,
        bounds=Interval(
            beta.mean(confirmed, refuted + undecided, prior),
            beta.mean(confirmed + undecided, refuted, prior),
        ),
    )
