"""The methodology as frozen values, checked when they are made. Pure.

`parse` turns the mapping in a methodology file into a `Methodology`. Everything missing, unknown or
inconsistent is reported at once, each with its path in the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, StringConstraints

from services.common.statistics import outcomes, reliability
from services.common.statistics.ranking import family
from services.common.strict_documents import Document, validate
from services.errors import Violation
from services.ranker.claims.model import ArtifactType, SubjectRelation

LEAST, GREATEST = -0.5, 1.5
"""Limit of utilities: a value better than the end of its scale still gains."""

SHOWN = ("freshness", "outcomes", "adoption")
"""Parts that are shown for every artifact and are in no profile."""

_SUM_TOLERANCE = 1e-9

_Positive = Annotated[float, Field(gt=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Below = Annotated[float, Field(ge=0, lt=1)]
_String = Annotated[str, StringConstraints(min_length=1)]


class Reference(Document):
    """A figure of a named artifact that a scale is anchored at, with where it was published."""

    artifact: _String
    value: Annotated[float, Field(ge=0)]
    source: _String


class Scale(Document):
    """Maps a metric's value to a utility: 0 at the figure of one artifact, 1 at another's.

    Linear between and beyond the two, or linear in the logarithm; cut at -0.5 and 1.5. `zero` above
    `one` makes smaller values better.
    """

    zero: Reference
    one: Reference
    logarithmic: bool = False

    def problems(self) -> Iterator[Violation]:
        """Ends that are equal, or lack a logarithm that the scale needs."""
        if self.zero.value == self.one.value:
            yield (
                "one.value",
                f"is {self.one.value:g}, the same as that of `zero`: they must differ",
            )
        if self.logarithmic and not (self.zero.value and self.one.value):
            yield "logarithmic", "needs values above 0 at both ends"

    def utility(self, value: float) -> float:
        """Return the utility of a value in the metric's unit."""
        zero, one = self.zero.value, self.one.value
        if self.logarithmic:
            if value <= 0:
                return GREATEST if one < zero else LEAST
            value, zero, one = math.log(value), math.log(zero), math.log(one)
        return min(GREATEST, max(LEAST, (value - zero) / (one - zero)))


class Metric(Document):
    """What is read of an artifact, and from which evidence.

    `fact` is the fact whose claims' evidence is read; `relations` are the stand-ins that may
    represent the artifact. A number has a `unit` and a `scale`; for a truth value, `good` is the
    value worth 1. `same` names what must agree before two readings are compared: "hardware",
    "engine", or a part of the evidence's subject. `printed_to` is the last digit of published
    figures, which may be off by half of it. With `per_hardware`, only measurements on the requested
    hardware are read. `when_missing` says how to get a reading.
    """

    fact: _String
    relations: Annotated[
        tuple[Annotated[SubjectRelation, Field(strict=False)], ...], Field(min_length=1)
    ]
    unit: _String | None = None
    scale: Scale | None = None
    good: bool | None = None
    same: tuple[_String, ...] = ()
    printed_to: _Positive | None = None
    per_hardware: bool = False
    when_missing: _String = ""

    def problems(self) -> Iterator[Violation]:
        """A proxy decides nothing; a metric is of one kind."""
        for one in {SubjectRelation.PROXY, SubjectRelation.NAMED} & set(self.relations):
            yield "relations", f"{one.value!r} cannot speak for an artifact"
        number = (self.unit is not None, self.scale is not None)
        if number != ((True, True) if self.good is None else (False, False)):
            problem = "needs either unit and scale (a number) or good: true or false (a truth)"
            yield "good", problem


_Weight = _Share | Annotated[tuple[_Share, _Share], Field()]
_Weights = Annotated[Mapping[str, _Weight], Field(min_length=1)]


class TypeRules(Document):
    """What artifacts of one type are read and ranked by.

    `profiles` are in order of preference for comparing two artifacts that are complete in one. A
    weight is a number, or the least and the greatest that a reader may choose; their middles sum to
    1.
    """

    metrics: Annotated[Mapping[str, Metric], Field(min_length=1)]
    profiles: Annotated[Mapping[str, _Weights], Field(min_length=1)]

    def problems(self) -> Iterator[Violation]:
        """Profiles are of the metrics, have names of their own, and weights that sum to 1."""
        for name, weights in self.profiles.items():
            where = f"profiles.{name}"
            if unknown := sorted(set(weights) - set(self.metrics)):
                yield where, f"has no metric called {', '.join(unknown)}"
            if name in self.metrics and set(weights) != {name}:
                yield where, "is called as a metric; that is the profile of the metric alone"
            ends = [_ends(one) for one in weights.values()]
            if any(low > high for low, high in ends):
                yield where, "has a range whose least weight is above its greatest"
            total = math.fsum((low + high) / 2 for low, high in ends)
            if abs(total - 1) > _SUM_TOLERANCE:
                yield where, f"weights sum to {total:.12g}, they must sum to 1"

    def ranges(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Return the range of each metric's weight, by declared profile."""
        return {
            profile: {name: _ends(one) for name, one in weights.items()}
            for profile, weights in self.profiles.items()
        }


def _ends(weight: float | tuple[float, float]) -> tuple[float, float]:
    return weight if isinstance(weight, tuple) else (weight, weight)


class _Family(Document):
    artifacts: int
    level: float
    pair_level: _Below
    list_level: _Below

    def problems(self) -> Iterator[Violation]:
        yield from _as_computed(self, artifacts=family.ARTIFACTS, level=family.LEVEL)


class _Freshness(Document):
    half_life_days: _Positive


class _Reliability(Document):
    kappa: float
    trivial_above: float
    level: float

    def problems(self) -> Iterator[Violation]:
        yield from _as_computed(
            self,
            kappa=reliability.KAPPA,
            trivial_above=reliability.TRIVIAL_ABOVE,
            level=reliability.LEVEL,
        )


class _Outcomes(Document):
    operators_for_a_point: int
    colluders: float
    level: float

    def problems(self) -> Iterator[Violation]:
        yield from _as_computed(
            self,
            operators_for_a_point=outcomes.LEAST_OPERATORS,
            colluders=outcomes.COLLUDERS,
            level=outcomes.LEVEL,
        )


def _as_computed(document: Document, **constants: float) -> Iterator[Violation]:
    """Check that the file states the constants that the statistics use."""
    for name, value in constants.items():
        if getattr(document, name) != value:
            yield name, f"is {getattr(document, name):g}, and what is computed has {value:g}"


class _File(Document):
    version: _String
    family: _Family
    freshness: _Freshness
    reliability: _Reliability
    outcomes: _Outcomes
    types: Mapping[Annotated[ArtifactType, Field(strict=False)], TypeRules]

    def problems(self) -> Iterator[Violation]:
        for name in ArtifactType:
            if name not in self.types:
                yield f"types.{name.value}", "is missing"


@dataclass(frozen=True)
class Methodology:
    """Everything that a score depends on besides the evidence and the day.

    `digest` is "sha256:<hex>" of the file; `pair_level` the confidence that two artifacts are
    compared at, `list_level` that of the places of a list that a caller named, and `family_level`
    that of each interval of the registry's lists; `half_life_days` how old an artifact is when its
    freshness is one half.
    """

    version: str
    digest: str
    pair_level: float
    list_level: float
    family_level: float
    half_life_days: float
    types: Mapping[ArtifactType, TypeRules]

    def rules(self, artifact_type: ArtifactType) -> TypeRules:
        """The rules for artifacts of a type."""
        return self.types[artifact_type]


def parse(data: object, digest: str) -> Methodology:
    """Check the content of a methodology file and make it a `Methodology`.

    Raises InvalidArgument with the path and the problem of all that is wrong.
    """
    file = validate(_File, data)
    return Methodology(
        version=file.version,
        digest=digest,
        pair_level=file.family.pair_level,
        list_level=file.family.list_level,
        family_level=file.family.level,
        half_life_days=file.freshness.half_life_days,
        types=file.types,
    )
