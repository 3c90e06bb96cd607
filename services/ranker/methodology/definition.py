"""The methodology as frozen values, checked when they are made.

Pure. `parse` turns the mapping that a methodology file holds into a `Methodology`; whatever is
missing, unknown or inconsistent is told at once, each with its path in the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, StringConstraints

from services.common.documents import Document, validate
from services.errors import Violation
from services.ranker.claims.model import ArtifactType, SubjectRelation

COMPONENTS = ("quality", "ecosystem", "match_graph", "freshness", "adoption")
"""The components of a score, in the order in which they are shown."""

_SUM_TOLERANCE = 1e-9

_Positive = Annotated[float, Field(gt=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_String = Annotated[str, StringConstraints(min_length=1)]


class Reference(Document):
    """A figure of a named artifact that a scale is anchored at, with where it was published."""

    artifact: _String
    value: Annotated[float, Field(ge=0)]
    source: _String


class Scale(Document):
    """Maps a metric's value to [0, 1]: 0 at the figure of one artifact, 1 at another's.

    Linear between the two, or linear in the logarithm; flat outside. `zero` above `one` makes
    smaller values better.
    """

    zero: Reference
    one: Reference
    logarithmic: bool = False

    def problems(self) -> Iterator[Violation]:
        """The ends differ, and have logarithms where they are needed."""
        if self.zero.value == self.one.value:
            yield "one.value", f"is {self.one.value:g}, as is that of `zero`: they must differ"
        if self.logarithmic and not (self.zero.value and self.one.value):
            yield "logarithmic", "needs values above 0 at both ends"

    def position(self, value: float) -> float:
        """Where `value` (in the metric's unit) lies, in [0, 1]."""
        zero, one = self.zero.value, self.one.value
        if self.logarithmic:
            if value <= 0:
                return 1.0 if one < zero else 0.0
            value, zero, one = math.log(value), math.log(zero), math.log(one)
        return min(1.0, max(0.0, (value - zero) / (one - zero)))


class Input(Document):
    """Evidence that a metric may be read from: a number with a scale, or a truth.

    `fact` is the group of claims that the evidence bears on; `relations` are the stand-ins that may
    speak for the artifact here. A proxy never may. A number has a `unit` and a `scale`; of a truth,
    `good` says which value counts as 1.
    """

    fact: _String
    relations: Annotated[
        tuple[Annotated[SubjectRelation, Field(strict=False)], ...], Field(min_length=1)
    ]
    unit: _String | None = None
    scale: Scale | None = None
    good: bool | None = None

    def problems(self) -> Iterator[Violation]:
        """A proxy decides nothing; an input is of one kind."""
        if SubjectRelation.PROXY in self.relations:
            yield "relations", f"{SubjectRelation.PROXY.value!r} cannot speak for an artifact"
        number = (self.unit is not None, self.scale is not None)
        if number != ((True, True) if self.good is None else (False, False)):
            problem = "needs either unit and scale (a number) or good: true or false (a truth)"
            yield "good", problem


class Metric(Document):
    """One predeclared part of a component, with its share of the component.

    The first input that has evidence is read. With `per_hardware`, only measurements made on the
    hardware that the score is for count. `when_missing` says what there is to say when none does.
    """

    weight: _Positive
    inputs: Annotated[tuple[Input, ...], Field(min_length=1)]
    per_hardware: bool = False
    when_missing: _String = ""


class Weight(Document):
    """A component's weight, and the range that a reasonable reader may choose it from."""

    weight: _Share
    low: _Share
    high: _Share

    def problems(self) -> Iterator[Violation]:
        """The weight lies in its range."""
        if not self.low <= self.weight <= self.high:
            yield "weight", f"needs {self.low:g} (low) <= {self.weight:g} <= {self.high:g} (high)"


Metrics = Annotated[Mapping[str, Metric], Field(min_length=1)]


class TypeRules(Document):
    """How artifacts of one type are scored: weights by component, metrics by name."""

    weights: Mapping[str, Weight]
    quality: Metrics
    ecosystem: Metrics

    def problems(self) -> Iterator[Violation]:
        """Weights are of the components, and sum to 1."""
        if set(self.weights) != set(COMPONENTS):
            yield "weights", f"must be of {', '.join(COMPONENTS)}, not of {', '.join(self.weights)}"
        parts: tuple[tuple[str, Mapping[str, Weight | Metric]], ...] = (
            ("weights", self.weights),
            ("quality", self.quality),
            ("ecosystem", self.ecosystem),
        )
        for name, weighted in parts:
            total = math.fsum(one.weight for one in weighted.values())
            if abs(total - 1) > _SUM_TOLERANCE:
                yield name, f"weights sum to {total:.12g}, they must sum to 1"


class _Posterior(Document):
    prior_alpha: _Positive
    prior_beta: _Positive
    level: Annotated[float, Field(gt=0, lt=1)]


class _Freshness(Document):
    half_life_days: _Positive


class _File(Document):
    version: _String
    posterior: _Posterior
    freshness: _Freshness
    types: Mapping[Annotated[ArtifactType, Field(strict=False)], TypeRules]

    def problems(self) -> Iterator[Violation]:
        for name in ArtifactType:
            if name not in self.types:
                yield f"types.{name.value}", "is missing"


@dataclass(frozen=True)
class Prior:
    """A Beta distribution held before any evidence."""

    alpha: float
    beta: float


@dataclass(frozen=True)
class Methodology:
    """Everything that a score depends on besides the evidence and the day.

    `digest` is "sha256:<hex>" of the file; `level` the confidence of posterior intervals;
    `half_life_days` how old an artifact is when its freshness is one half.
    """

    version: str
    digest: str
    level: float
    prior: Prior
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
        level=file.posterior.level,
        prior=Prior(file.posterior.prior_alpha, file.posterior.prior_beta),
        half_life_days=file.freshness.half_life_days,
        types=file.types,
    )
