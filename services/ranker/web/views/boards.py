"""Leaderboards: the artifacts of a type in the order that the evidence allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from assay_rpc.ranker.v1 import artifact_pb2, rank_pb2

from services.ranker.web.links import Links
from services.ranker.web.values import enum_name
from services.ranker.web.views import scores
from services.ranker.web.views.scores import Figure
from services.ranker.web.words import plural, words

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
    ties: str


@dataclass(frozen=True)
class Board:
    """The artifacts of a type."""

    type: str
    anchor: str
    count: str
    entries: tuple[Entry, ...]
    pairs: tuple[tuple[str, str, str], ...]
    hardware: str


def board(ranks: Sequence[rank_pb2.Rank], links: Links) -> Board | None:
    """The board of one type, in the order of `ranks`; None when there is no artifact of it.

    What has no evidence comes last and has no place.
    """
    if not ranks:
        return None
    ordered = sorted(ranks, key=lambda one: not one.HasField("best_place"))
    kind = words(enum_name(ranks[0], "type"))
    names = [one.artifact for one in ordered]
    return Board(
        type=kind,
        anchor=kind.replace(" ", "-"),
        count=plural(len(ranks), "artifact"),
        entries=tuple(
            _entry(one, ordered[at - 1] if at else None, links) for at, one in enumerate(ordered)
        ),
        pairs=tuple((a, b, links.comparison(a, b)) for a, b in pairwise(names)),
        hardware=next((one.hardware for one in ranks if one.hardware), ""),
    )


def _entry(rank: rank_pb2.Rank, above: rank_pb2.Rank | None, links: Links) -> Entry:
    placed = rank.HasField("best_place")
    tied = placed and above is not None and above.artifact in rank.not_separable_from
    return Entry(
        id=rank.artifact,
        address=links.artifact(rank.artifact),
        place=place(rank),
        score=scores.score(rank.score, "left"),
        tied=tied,
        ties=plural(len(rank.not_separable_from), "other") if rank.not_separable_from else "",
    )


def place(rank: rank_pb2.Rank) -> str:
    """The places that an artifact may have, in words."""
    if not rank.HasField("best_place"):
        return "no evidence yet"
    places = sorted({rank.best_place, rank.worst_place})
    return f"{' to '.join(map(str, places))} of {rank.ranked_count}"
