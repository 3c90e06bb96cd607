"""Two records and a methodology -> a comparison. A function: no clock, no I/O, no chance.

It reads evidence and makes none, so its cache key (`cache_key`) cannot change while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from services.errors import InvalidArgument
from services.ranker.claims.findings import PageVerdicts
from services.ranker.comparing.cache_key import Pair
from services.ranker.methodology import published, separation
from services.ranker.methodology.definition import Methodology
from services.ranker.methodology.points import POINTS, passes
from services.ranker.methodology.profile import Profile
from services.ranker.methodology.reliability import PageReliability, reliability
from services.ranker.methodology.score import ArtifactRecord, Score, Standing, standing
from services.ranker.methodology.separation import Answer, Separation
from services.ranker.words import words


@dataclass(frozen=True)
class ComparedArtifact:
    """One side of a comparison.

    `score` is in the profile that decides, or else in the first of its type; `scores` in each.
    `reliability` is that of its own card, then of each page that makes claims about it. `feasible`
    and `remark` are about the score that a page published; None and empty without one.
    """

    record: ArtifactRecord
    score: Score
    scores: tuple[Score, ...]
    reliability: tuple[PageReliability, ...]
    feasible: published.Feasible | None
    remark: str


@dataclass(frozen=True)
class Comparison:
    """The answer, in the caller's order.

    `profile` is the profile of `overall`; empty if the two are complete in none.
    """

    left: ComparedArtifact
    right: ComparedArtifact
    components: tuple[Answer, ...]
    profiles: tuple[Answer, ...]
    profile: str
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
            components=_swapped(self.components),
            profiles=_swapped(self.profiles),
            overall=self.overall.swapped(),
        )


def _swapped(answers: Iterable[Answer]) -> tuple[Answer, ...]:
    return tuple(replace(one, separation=one.separation.swapped()) for one in answers)


def parse_day(text: str, today: date) -> date:
    """The day that `text` names as YYYY-MM-DD; `today` if it is empty.

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
    """The comparison of a pair, in the caller's order."""
    left, right = (
        standing(record, methodology, as_of, pair.hardware, methodology.pair_level)
        for record in (pair.first, pair.second)
    )
    components, profiles = separation.by_component(left, right), separation.by_profile(left, right)
    decisive = separation.decisive(left, right)
    overall = _overall(left, right, profiles, decisive)
    sides = tuple(_compared(one, decisive, pair.pages) for one in (left, right))
    result = Comparison(
        left=sides[0],
        right=sides[1],
        components=components,
        profiles=profiles,
        profile=decisive.name if decisive else "",
        overall=overall,
        summary=_summary(sides, components, decisive, overall)
        + _sureness((left, right), profiles, methodology),
        pages=pair.pages,
        methodology=methodology,
        as_of=as_of,
        hardware=pair.hardware,
    )
    return result.swapped() if pair.swapped else result


def _overall(
    left: Standing, right: Standing, profiles: Iterable[Answer], decisive: Profile | None
) -> Separation:
    if left.record.artifact.type is not right.record.artifact.type:
        return Separation.DIFFERENT_TYPES
    if decisive is None:
        return Separation.NOT_SEPARABLE
    return next(one.separation for one in profiles if one.name == decisive.name)


def _compared(
    side: Standing,
    decisive: Profile | None,
    pages: Iterable[PageVerdicts],
) -> ComparedArtifact:
    artifact = side.record.artifact
    printed = artifact.published
    of_pages = (
        reliability(said, one.page.id)
        for one in pages
        if (said := [claim for claim in one.claims if claim.claim.artifact == artifact.id])
    )
    return ComparedArtifact(
        record=side.record,
        score=side.score(decisive or side.profiles[0]),
        scores=tuple(side.score(one) for one in side.profiles),
        reliability=(reliability(side.record.verdicts), *of_pages),
        feasible=published.feasible(printed.printed_components) if printed else None,
        remark=published.remark(printed.value, printed.printed_components) if printed else "",
    )


def _summary(
    sides: tuple[ComparedArtifact, ...],
    components: Iterable[Answer],
    decisive: Profile | None,
    overall: Separation,
) -> str:
    """The verdict in sentences that follow from the figures, whichever side is left."""
    names = [side.record.artifact.id for side in sides]
    sentences = []
    if overall is Separation.DIFFERENT_TYPES:
        types = ", ".join(_readable(side.record.artifact.type) for side in sides)
        sentences.append(
            f"Neither is better overall: they are of different types ({types}), and only figures "
            "that both types have are compared."
        )
    elif decisive is None:
        sentences.append(
            "It is not decided which is better: no profile has all of its evidence for both."
        )
    elif overall is Separation.NOT_SEPARABLE:
        sentences.append(
            f"In {_named(decisive)}, the evidence cannot separate them under every weighting in "
            "its ranges."
        )
    else:
        winner = names[0] if overall is Separation.LEFT else names[1]
        sentences.append(
            f"In {_named(decisive)}, {winner} is better under every weighting in its ranges."
        )
    for name, ahead in zip(names, (Separation.LEFT, Separation.RIGHT), strict=True):
        parts = [words(one.name) for one in components if one.separation is ahead]
        if parts:
            sentences.append(f"{name} is ahead in {' and '.join(parts)}.")
    sentences += [f"{_score_line(side)}." for side in sides]
    if any(one.score.coverage and passes(one.score.low, one.score.high) for one in sides):
        sentences.append(f"{POINTS}.")
    return " ".join(sentences)


def _sureness(
    sides: Iterable[Standing], profiles: Iterable[Answer], methodology: Methodology
) -> str:
    """How sure the answers are, if any of them may be by chance."""
    complete = {one.name for one in profiles if one.complete}
    chance = any(
        reading.sampled and name in complete
        for side in sides
        for name, reading in side.readings.items()
    )
    level = f"{100 * methodology.pair_level:g} %"
    return f" Each answer is of this pair alone, at {level}." if chance else ""


def _named(profile: Profile) -> str:
    metrics = [words(name) for name in profile.ranges]
    count = f"{len(metrics)} metrics" if len(metrics) > 4 else ", ".join(metrics)
    name = words(profile.name)
    return f'"{name}"' if count == name else f'"{name}" ({count})'


def _score_line(side: ComparedArtifact) -> str:
    """A score for quoting: always with its ends, and none if evidence is missing."""
    name, score = side.record.artifact.id, side.score
    profile = f'"{words(score.profile)}"'
    if score.point is not None:
        point, low, high = (f"{one:z.1f}" for one in (score.point, score.low, score.high))
        ends = "" if low == high else f", between {low} and {high}"
        return f"{name} scores {point} points in {profile}{ends}"
    if score.coverage:
        lacks = _first([words(one) for one in score.lacks])
        return (
            f"{name} has no score in {profile} yet: it lacks evidence for {lacks} "
            f"(possible: {score.low:z.1f} to {score.high:z.1f} points)"
        )
    return f"{name} has no evidence in {profile} yet"


def _first(names: Sequence[str], most: int = 5) -> str:
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def _readable(name: str) -> str:
    return name.replace("_", " ").lower()
