"""Leaderboards: the artifacts of a type by place, profile by profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from assay_rpc.ranker.v1 import artifact_pb2, rank_pb2

from services.ranker.web.links import Links
from services.ranker.web.values import enum_name
from services.ranker.web.views import scores
from services.ranker.web.views.scores import Figure
from services.ranker.words import joined, words

TYPES = tuple(one for one in artifact_pb2.ArtifactType.values() if one)
"""Every type of artifact."""


@dataclass(frozen=True)
class Entry:
    """An artifact's place. `tied`: it cannot be told apart from the one above it."""

    id: str
    address: str
    place: str
    score: Figure
    tied: bool
    beats: str


@dataclass(frozen=True)
class Profile:
    """The artifacts of a type that have all evidence of a profile, and who lacks what."""

    name: str
    entries: tuple[Entry, ...]
    unranked: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    measured_on: str

    @property
    def unranked_count(self) -> int:
        """How many artifacts have no place, for want of evidence."""
        return sum(len(artifacts) for _, artifacts in self.unranked)


@dataclass(frozen=True)
class Board:
    """The artifacts of a type: the first profile, then the others that rank anybody."""

    type: str
    anchor: str
    first: Profile
    others: tuple[Profile, ...]
    pairs: tuple[tuple[str, str, str], ...]


def board(ranks: Sequence[rank_pb2.Rank], links: Links) -> Board | None:
    """The board of one type, in the order of `ranks`; None when there is no artifact of it."""
    if not ranks:
        return None
    by_profile: dict[str, list[rank_pb2.Rank]] = {}
    for one in ranks:
        by_profile.setdefault(one.profile, []).append(one)
    first, *others = (_profile(name, listed, links) for name, listed in by_profile.items())
    kind = words(enum_name(ranks[0], "type"))
    names = list(dict.fromkeys(one.artifact for one in ranks))
    return Board(
        type=kind,
        anchor=kind.replace(" ", "-"),
        first=first,
        others=tuple(one for one in others if one.entries),
        pairs=tuple((a, b, links.comparison(a, b)) for a, b in pairwise(names)),
    )


def _profile(name: str, ranks: Sequence[rank_pb2.Rank], links: Links) -> Profile:
    placed = [one for one in ranks if one.HasField("best_place")]
    unranked: dict[str, list[tuple[str, str]]] = {}
    for one in ranks:
        if not one.HasField("best_place"):
            artifact = one.artifact, links.artifact(one.artifact)
            unranked.setdefault(scores.lacks(one.score), []).append(artifact)
    return Profile(
        name=words(name),
        entries=tuple(
            _entry(one, placed[at - 1] if at else None, links) for at, one in enumerate(placed)
        ),
        unranked=tuple((lacks, tuple(artifacts)) for lacks, artifacts in unranked.items()),
        measured_on=next((one.measured_on for one in placed if one.measured_on), ""),
    )


def _entry(rank: rank_pb2.Rank, above: rank_pb2.Rank | None, links: Links) -> Entry:
    return Entry(
        id=rank.artifact,
        address=links.artifact(rank.artifact),
        place=place(rank),
        score=scores.score(rank.score, "left"),
        tied=above is not None and above.artifact in rank.not_separable_from,
        beats=joined(list(rank.beats)),
    )


def place(rank: rank_pb2.Rank) -> str:
    """The places that an artifact may have, in words."""
    if not rank.HasField("best_place"):
        return f"not ranked: no evidence for {scores.lacks(rank.score)}"
    places = sorted({rank.best_place, rank.worst_place})
    return f"{' to '.join(map(str, places))} of {rank.ranked_count}"
