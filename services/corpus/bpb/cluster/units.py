"""The unit of work of a scoring on several machines: a range of frames of one shard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.common.shares import Share
from services.errors import InvalidArgument

_NAME = re.compile(r"(?P<shard>.+):(?P<first>\d+)-(?P<end>\d+)")


@dataclass(frozen=True)
class WorkUnit:
    """Frames `first` up to, but not including, `end` of the shard at this path.

    `number` counts the units of a job from 0.
    """

    number: int
    shard: str
    first: int
    end: int

    def __str__(self) -> str:
        return f"{self.shard}:{self.first}-{self.end}"


def cut_units(frames: Mapping[str, int], unit_frames: int) -> tuple[WorkUnit, ...]:
    """Cut shards, given with their numbers of frames, into units of `unit_frames` or fewer."""
    ranges = [
        (shard, first, min(first + unit_frames, count))
        for shard, count in frames.items()
        for first in range(0, count, unit_frames)
    ]
    return tuple(WorkUnit(number, *place) for number, place in enumerate(ranges))


def find_unit(units: tuple[WorkUnit, ...], name: str) -> WorkUnit:
    """Return the unit called `name`, such as "train/00.jsonl.zst:0-16".

    Raises InvalidArgument if there is none.
    """
    found = next((unit for unit in units if str(unit) == name), None)
    if found is None:
        problem = "is not a unit of this job" if _NAME.fullmatch(name) else "is not SHARD:FIRST-END"
        raise InvalidArgument("--unit", f"{name} {problem}; `assay units list` prints them")
    return found


def share_of(units: tuple[WorkUnit, ...], share: str) -> tuple[WorkUnit, ...]:
    """Return share I of N, given as "I/N" with 0 <= I < N: every N-th unit.

    Raises InvalidArgument for any other text.
    """
    found = Share.of(share)
    return units[found.number :: found.count]
