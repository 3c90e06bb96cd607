"""The methodology as frozen values, checked when they are made.

Pure. `parse` turns the mapping that a methodology file holds into a `Methodology`; whatever is
missing, unknown or inconsistent is an `InvalidArgument` that names the place in the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from services.errors import InvalidArgument
from services.ranker.claims.model import ArtifactType, SubjectRelation

COMPONENTS = ("quality", "ecosystem", "match_graph", "freshness", "adoption")
"""The components of a score, in the order in which they are shown."""

_SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Reference:
    """A figure of a named artifact that a scale is anchored at, with where it was published."""

    artifact: str
    value: float
    source: str


@dataclass(frozen=True)
class Scale:
    """Maps a metric's value to [0, 1]: 0 at the figure of one artifact, 1 at another's.

    Linear between the two, or linear in the logarithm; flat outside. `zero` above `one` makes
    smaller values better.
    """

    zero: Reference
    one: Reference
    logarithmic: bool

    def place(self, value: float) -> float:
        """Where `value` (in the metric's unit) lies, in [0, 1]."""
        zero, one = self.zero.value, self.one.value
        if self.logarithmic:
            if value <= 0:
                return 1.0 if one < zero else 0.0
            value, zero, one = math.log(value), math.log(zero), math.log(one)
        return min(1.0, max(0.0, (value - zero) / (one - zero)))


@dataclass(frozen=True)
class Number:
    """How a number becomes a part of a component: its unit, and its place on a scale."""

    unit: str
    scale: Scale


@dataclass(frozen=True)
class Truth:
    """How a truth becomes a part of a component: 1 when it is the good one, else 0."""

    good: bool


@dataclass(frozen=True)
class Input:
    """Evidence that a metric may be read from.

    `fact` is the group of claims that the evidence bears on; `relations` are the stand-ins that may
    speak for the artifact here. A proxy never may.
    """

    fact: str
    relations: frozenset[SubjectRelation]
    kind: Number | Truth


@dataclass(frozen=True)
class Metric:
    """One predeclared part of a component, with its share of the component.

    The first input that has evidence is read. With `per_hardware`, only measurements made on the
    hardware that the score is for count. `when_missing` says what there is to say when none does.
    """

    name: str
    weight: float
    per_hardware: bool
    inputs: tuple[Input, ...]
    when_missing: str = ""


@dataclass(frozen=True)
class WeightRange:
    """Least and greatest weight that a reasonable reader may give a component."""

    low: float
    high: float


@dataclass(frozen=True)
class TypeRules:
    """How artifacts of one type are scored. `weights` sum to 1 and lie within `ranges`."""

    weights: Mapping[str, float]
    ranges: Mapping[str, WeightRange]
    quality: tuple[Metric, ...]
    ecosystem: tuple[Metric, ...]


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
    """Checks the content of a methodology file and makes it a `Methodology`.

    Raises InvalidArgument naming the place in the file: a key that is missing or unknown, a number
    out of range, weights that do not sum to 1 or leave their declared range.
    """
    root = _mapping(data, "methodology", required={"version", "posterior", "freshness", "types"})
    posterior = _mapping(
        root["posterior"], "posterior", required={"prior_alpha", "prior_beta", "level"}
    )
    freshness = _mapping(root["freshness"], "freshness", required={"half_life_days"})
    level = _number(posterior["level"], "posterior.level", above=0)
    if level >= 1:
        raise InvalidArgument("posterior.level", f"must be below 1, not {level:g}")
    names = {member.value for member in ArtifactType}
    types = _mapping(root["types"], "types", required=names)
    return Methodology(
        version=_text(root["version"], "version"),
        digest=digest,
        level=level,
        prior=Prior(
            _number(posterior["prior_alpha"], "posterior.prior_alpha", above=0),
            _number(posterior["prior_beta"], "posterior.prior_beta", above=0),
        ),
        half_life_days=_number(freshness["half_life_days"], "freshness.half_life_days", above=0),
        types={name: _rules(types[name.value], f"types.{name.value}") for name in ArtifactType},
    )


def _rules(data: object, at: str) -> TypeRules:
    fields = _mapping(data, at, required={"weights", "quality", "ecosystem"})
    rows = _mapping(fields["weights"], f"{at}.weights", required=set(COMPONENTS))
    weights: dict[str, float] = {}
    ranges: dict[str, WeightRange] = {}
    for name in COMPONENTS:
        here = f"{at}.weights.{name}"
        row = _mapping(rows[name], here, required={"weight", "low", "high"})
        weight, low, high = (
            _number(row[key], f"{here}.{key}") for key in ("weight", "low", "high")
        )
        if not low <= weight <= high <= 1:
            raise InvalidArgument(here, f"needs 0 <= low <= weight <= high <= 1: {dict(row)}")
        weights[name], ranges[name] = weight, WeightRange(low, high)
    _sums_to_one(weights.values(), f"{at}.weights")
    return TypeRules(
        weights=weights,
        ranges=ranges,
        quality=_metrics(fields["quality"], f"{at}.quality"),
        ecosystem=_metrics(fields["ecosystem"], f"{at}.ecosystem"),
    )


def _metrics(data: object, at: str) -> tuple[Metric, ...]:
    rows = cast("dict[str, object]", _mapping(data, at))
    metrics = tuple(_metric(name, row, f"{at}.{name}") for name, row in rows.items())
    _sums_to_one([metric.weight for metric in metrics], at)
    return metrics


def _metric(name: str, data: object, at: str) -> Metric:
    row = _mapping(
        data, at, required={"weight", "inputs"}, optional={"per_hardware", "when_missing"}
    )
    per_hardware = row.get("per_hardware", False)
    if not isinstance(per_hardware, bool):
        raise InvalidArgument(f"{at}.per_hardware", "must be true or false")
    inputs = _list(row["inputs"], f"{at}.inputs")
    return Metric(
        name=name,
        weight=_number(row["weight"], f"{at}.weight", above=0),
        per_hardware=per_hardware,
        inputs=tuple(_input(item, f"{at}.inputs[{i}]") for i, item in enumerate(inputs)),
        when_missing=_text(row["when_missing"], f"{at}.when_missing")
        if "when_missing" in row
        else "",
    )


def _input(data: object, at: str) -> Input:
    row = _mapping(data, at, required={"fact", "relations"}, optional={"unit", "scale", "good"})
    relations = set()
    for name in _list(row["relations"], f"{at}.relations"):
        if name not in set(SubjectRelation) - {SubjectRelation.PROXY}:
            raise InvalidArgument(f"{at}.relations", f"{name!r} cannot speak for an artifact")
        relations.add(SubjectRelation(str(name)))
    return Input(_text(row["fact"], f"{at}.fact"), frozenset(relations), _kind(row, at))


def _kind(row: Mapping[str, object], at: str) -> Number | Truth:
    if row.keys() >= {"unit", "scale"} and "good" not in row:
        return Number(_text(row["unit"], f"{at}.unit"), _scale(row["scale"], f"{at}.scale"))
    if not row.keys() & {"unit", "scale"} and isinstance(row.get("good"), bool):
        return Truth(bool(row["good"]))
    raise InvalidArgument(
        at, "needs either unit and scale (a number) or good: true or false (a truth)"
    )


def _scale(data: object, at: str) -> Scale:
    row = _mapping(data, at, required={"zero", "one"}, optional={"logarithmic"})
    logarithmic = row.get("logarithmic", False)
    if not isinstance(logarithmic, bool):
        raise InvalidArgument(f"{at}.logarithmic", "must be true or false")
    zero, one = (_reference(row[end], f"{at}.{end}", logarithmic) for end in ("zero", "one"))
    if zero.value == one.value:
        raise InvalidArgument(at, f"both ends are {one.value:g}: they must differ")
    return Scale(zero, one, logarithmic)


def _reference(data: object, at: str, logarithmic: bool) -> Reference:
    row = _mapping(data, at, required={"artifact", "value", "source"})
    value = _number(row["value"], f"{at}.value", above=0 if logarithmic else None)
    return Reference(
        _text(row["artifact"], f"{at}.artifact"), value, _text(row["source"], f"{at}.source")
    )


def _mapping(
    data: object, at: str, required: set[str] | None = None, optional: set[str] | None = None
) -> Mapping[str, object]:
    """`data` as a mapping with text keys: just these, or any (at least one) when none is named."""
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise InvalidArgument(at, f"must be a mapping with text keys, not {data!r}")
    if required is None:
        if not data:
            raise InvalidArgument(at, "must not be empty")
        return data
    if missing := required - data.keys():
        raise InvalidArgument(at, f"lacks {', '.join(sorted(missing))}")
    if unknown := data.keys() - required - (optional or set()):
        raise InvalidArgument(at, f"has unknown keys: {', '.join(sorted(unknown))}")
    return data


def _list(data: object, at: str) -> list[object]:
    if not isinstance(data, list) or not data:
        raise InvalidArgument(at, f"must be a list with at least one item, not {data!r}")
    return data


def _text(data: object, at: str) -> str:
    if not isinstance(data, str) or not data:
        raise InvalidArgument(at, f"must be a text that is not empty, not {data!r}")
    return data


def _number(data: object, at: str, above: float | None = None) -> float:
    """`data` as a finite number; above `above` when it is given, else at least 0."""
    if isinstance(data, bool) or not isinstance(data, int | float) or not math.isfinite(data):
        raise InvalidArgument(at, f"must be a finite number, not {data!r}")
    if above is not None and data <= above:
        raise InvalidArgument(at, f"must be above {above:g}, not {data!r}")
    if data < 0:
        raise InvalidArgument(at, f"must be at least 0, not {data!r}")
    return float(data)


def _sums_to_one(weights: object, at: str) -> None:
    total = math.fsum(cast("list[float]", weights))
    if abs(total - 1) > _SUM_TOLERANCE:
        raise InvalidArgument(at, f"weights sum to {total:.12g}, they must sum to 1")
