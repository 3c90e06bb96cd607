"""Definition of a method's figure: aspect, kind, unit, subject; no manifest can change it.

Pure. A registry gets the definition of every method, and takes from it what a claim leaves to its
method: its aspect, its fact, and which stand-ins may decide it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from services.ranker.claims.bounds import Boolean, Bound, Equals, Text, ends
from services.ranker.claims.model import ArtifactType, Aspect, Claim


class Kind(StrEnum):
    """Kind of a method's values."""

    NUMBER = "a number"
    TEXT = "a text"
    BOOLEAN = "yes or no"
    ANY = "any"  # as the cited publication has it


class Part(StrEnum):
    """A part of a subject's configuration that a fact may depend on."""

    ARCHITECTURE = "architecture"
    CLASSES = "classes"
    INPUT = "input size"
    WEIGHTS = "weights"


ALL_BUT_WEIGHTS = frozenset({Part.ARCHITECTURE, Part.CLASSES, Part.INPUT})
EVERY_PART = frozenset(Part)
SEGMENTATION = frozenset({ArtifactType.SEGMENTATION_MODEL})
DATA = frozenset({ArtifactType.DATASET})
LANGUAGE = frozenset({ArtifactType.LANGUAGE_MODEL})


@dataclass(frozen=True)
class Plausible:
    """What somebody who knows only a thing's type would expect of a number.

    It is a judgement, in the method's unit. Between the ends all values are equally plausible, on a
    logarithmic scale if `logarithmic`. `least` and `most` are limits for any thing.
    """

    low: float
    high: float
    logarithmic: bool = False
    least: float = -math.inf
    most: float = math.inf

    def share(self, low: float, high: float) -> float:
        """Return the share of the range between two numbers, in [0, 1]."""
        first, last = (min(max(end, self.low), self.high) for end in (low, high))
        if first >= last:
            return 0.0
        scale: Callable[[float], float] = math.log if self.logarithmic else float
        return (scale(last) - scale(first)) / (scale(self.high) - scale(self.low))


_UNKNOWN_FACTOR = 10.0
"""A number without any information is guessed to within this factor of the true one."""

_LEAST = 1e-200


@dataclass(frozen=True)
class Against:
    """The fixed reference of a method's figure, whatever a claim names.

    `what` is its name for readers. A comparator means it if its name has one of `words`, in any
    case, and no word outside these, `what` and `also`: "gzip at level 9" is not gzip at its default
    level. `artifact` is its id if it is a registered artifact.
    """

    what: str
    words: tuple[str, ...]
    artifact: str = ""
    also: str = ""

    def is_named(self, comparator: str, artifact: str) -> bool:
        """Whether a claim's comparator, by name and by id if it has one, means this reference."""
        name = comparator.casefold()
        known = _words(" ".join((self.what, self.also, *self.words))) | _SAYS_NOTHING
        meant = any(word in name for word in self.words) and _words(name) <= known
        return artifact in ("", self.artifact) and meant


_SAYS_NOTHING = frozenset({"a", "an", "the", "its", "own", "of", "at", "in", "s", "that", "is"})


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W_]+", text.casefold()))


@dataclass(frozen=True)
class Row:
    """A text that is a row of numbers: an example, and their count, 0 for any count."""

    example: str
    count: int = 0


@dataclass(frozen=True)
class Definition:
    """Definition of a method's figure.

    `aspect` and `fact` are None and empty for citations, whose claims name their own. Claims on one
    `fact` of one subject are about the same thing and count once. `types` are the artifact types
    that can be measured; empty for all. `depends_on` are the parts of a configuration that must
    agree for a measurement of one subject to hold for another. `sample_decides` says whether a part
    of a corpus can decide a claim about the whole; `machine` whether the figure holds only for its
    hardware and engine. `chance` is the basis of a guess: the range of a number, the share of true
    answers, or one over the number of texts. `row` is the form of a text that is a row of numbers:
    other texts mean another thing, or the same in other words. `dataset` says that the figure is
    measured on a corpus, which a claim must name; `compares` that it is of two artifacts, of which
    a claim names the other as its comparator. `against` is the reference if it is the same for
    every claim. `other` are beginnings of words with which a statement means another figure of the
    same unit: the encoder's parameters are not the model's. `ceiling` says that the figure is a
    maximum, so a smaller claim is not observed.
    """

    aspect: Aspect | None
    kind: Kind
    unit: str = ""
    fact: str = ""
    types: frozenset[ArtifactType] = frozenset()
    depends_on: frozenset[Part] = frozenset()
    sample_decides: bool = False
    machine: bool = False
    chance: Plausible | float = field(default=0.5)
    dataset: bool = False
    compares: bool = False
    against: Against | None = None
    row: Row | None = None
    other: tuple[str, ...] = ()
    ceiling: bool = False


USUAL_DATASET = "the-pile"
"""The corpus whose facts have no name of their own: methodologies read those facts."""


_PRINTED = {"StackExchange": "Stack Exchange", "Wikipedia (en)": "Wikipedia"}
"""Subsets whose facts are named as The Pile's paper prints them, not as its documents do."""


PARTS = (
    *("encoder", "decoder", "decode", "backbone", "head", "neck", "embedding", "trainable"),
    *("active", "activated", "without", "excluding", "except", "adapter", "lora"),
)
"""Beginnings of words in statements about only some of a model's parameters."""


def fact_of(claim: Claim, definition: Definition) -> str:
    """Return the claim's fact: that of its method, for the corpus and subset that it names.

    Empty if the method leaves the fact to the claim.
    """
    parts = [definition.fact]
    if definition.dataset and claim.dataset_digest:
        # A stated digest may identify any corpus of that name, not necessarily the usual one.
        parts.append(f"on {claim.dataset} {claim.dataset_digest.removeprefix('sha256:')[:12]}")
    elif definition.dataset and claim.dataset not in {"", USUAL_DATASET}:
        parts.append(f"on {claim.dataset}")
    if definition.dataset and claim.subset:
        parts.append(_PRINTED.get(claim.subset, claim.subset))
    if definition.compares and claim.rival:
        parts.append(f"against {claim.rival}")
    return "-".join(re.sub(r"[^a-z0-9]+", "-", one.lower()).strip("-") for one in parts)


def guess(claim: Claim, definition: Definition) -> float:
    """Return the chance, in [0, 1), that a guess would state a bound that holds."""
    if claim.bound is None:
        return 0.0
    return min(_guess(claim.bound, definition.chance), math.nextafter(1.0, 0.0))


def _guess(bound: Bound, chance: Plausible | float) -> float:
    if isinstance(bound, Boolean):
        share = chance if isinstance(chance, float) else 0.5
        return share if bound.value else 1 - share
    if isinstance(bound, Text):
        return chance if isinstance(chance, float) else 0.0
    low, high = ends(bound)
    if isinstance(chance, Plausible):
        return chance.share(low, high)
    stated = bound.value if isinstance(bound, Equals) else (bound.low or bound.high or 0.0)
    if not _LEAST < stated < 1 / _LEAST:  # its logarithm is unusable
        return 0.5 if math.isinf(low) or math.isinf(high) else 0.0
    around = Plausible(stated / _UNKNOWN_FACTOR, stated * _UNKNOWN_FACTOR, logarithmic=True)
    return around.share(low, high)


def cannot_fail(bound: Bound, definition: Definition) -> bool:
    """Return whether every value that the method can give would be within the bound."""
    if isinstance(bound, Text | Boolean) or not isinstance(definition.chance, Plausible):
        return False
    low, high = ends(bound)
    plausible = definition.chance
    widest = low <= plausible.low and high >= plausible.high
    return widest or (low <= plausible.least and high >= plausible.most)


def cannot_hold(bound: Bound, definition: Definition) -> bool:
    """Return whether no value that the method can give would be within the bound."""
    if isinstance(bound, Text | Boolean) or not isinstance(definition.chance, Plausible):
        return False
    low, high = ends(bound)
    return high < definition.chance.least or low > definition.chance.most


def implausible(bound: Bound, definition: Definition) -> bool:
    """Return whether a bound allows no plausible value for the method's types."""
    if isinstance(bound, Text | Boolean) or not isinstance(definition.chance, Plausible):
        return False
    low, high = ends(bound)
    return high < definition.chance.low or low > definition.chance.high
