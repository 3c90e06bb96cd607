"""The rights of the Pile's subsets: their licences, and the selections that leave them out."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from types import MappingProxyType

from services.corpus.stream.selection import COPYRIGHTED, WITHDRAWN

SOURCE = "the terms of each source; compare Biderman et al. 2022, Datasheet for the Pile"


class Availability(Enum):
    """Which selections a subset is part of."""

    ALWAYS = "always"
    NOT_UNCOPYRIGHTED = "not uncopyrighted"
    BY_NAME = "by name"


@dataclass(frozen=True)
class Rights:
    """The licence of a subset's texts, in words, and which selections have it."""

    license: str
    availability: Availability
    source: str = SOURCE


def _read() -> Mapping[str, Rights]:
    text = files(__package__).joinpath("rights.csv").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            row["name"]: Rights(row["license"], _availability(row["name"]))
            for row in csv.DictReader(text.splitlines())
        }
    )


def _availability(name: str) -> Availability:
    if name in WITHDRAWN:
        return Availability.BY_NAME
    return Availability.NOT_UNCOPYRIGHTED if name in COPYRIGHTED else Availability.ALWAYS


RIGHTS = _read()
