"""Figures and their basis: exact if everything was scored, else estimated from a sample.

There are two questions. The default is what scoring all of these documents would give. The harder
one, which must be requested, is what similar documents would give, that is, the corpus behind
these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from services.common.statistics.interval import Interval, TooFewError
from services.common.statistics.samples import behind, levels
from services.common.statistics.samples.levels import Nats
from services.common.statistics.samples.sampling import Drawn, effective_documents
from services.common.statistics.samples.spans import NAT_UNITS
from services.corpus.bpb.exact_sum import ExactSum
from services.corpus.bpb.sampling import Unit

LEVEL = 0.95


class Scope(Enum):
    """The scope of a figure and its interval."""

    DOCUMENTS = "documents"
    CORPUS = "corpus"


class Standing(Enum):
    """How far a figure answers the question.

    EXACT: everything was scored. ESTIMATE: it has an interval. EXAMPLE: too little was scored for
    an interval, so it is not a measurement.
    """

    EXACT = "exact"
    ESTIMATE = "estimate"
    EXAMPLE = "example"


class Quantity(Enum):
    """The estimated quantity: the bits per byte of a model, or the difference of two models'."""

    LEVEL = "level"
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Basis:
    """The basis of a figure.

    `scored` counts the scored spans or documents (`unit`, None without a sample), of which
    `by_chance` were drawn by chance; `certain` is the share of bytes that was sure to be drawn. The
    figure is about `documents` with `text_bytes`, worth `effective_documents` of equal size. `kept`
    is the estimated share of their bytes that is not excluded, None without a sample;
    `no_interval` says why an EXAMPLE has no interval.
    """

    scope: Scope
    standing: Standing
    unit: Unit | None
    scored: int
    by_chance: int
    certain: float
    documents: int
    text_bytes: int
    effective_documents: float
    kept: float | None = None
    no_interval: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """Bits per byte, or a difference of them, with its basis.

    `weight` is the sum of the weights of the subsets with a figure. `detectable` is the smallest
    difference that an interval like this one separates from 0 in four of five samples, None if it
    is not estimated.
    """

    value: float
    interval: Interval | None
    basis: Basis
    weight: float = 1.0
    detectable: float | None = None


@dataclass
class _Part:
    """Sums over the documents of a subset."""

    nats: ExactSum = field(default_factory=ExactSum)
    tokens: int = 0
    documents: int = 0
    text_bytes: int = 0
    squares: int = 0
    sizes: behind.Scored = field(default_factory=behind.Scored)

    def merge(self, other: _Part) -> None:
        self.nats.merge(other.nats)
        self.tokens += other.tokens
        self.documents += other.documents
        self.text_bytes += other.text_bytes
        self.squares += other.squares
        self.sizes.merge(other.sizes)

    @property
    def bits_per_byte(self) -> float | None:
        """The figure; None if no token was scored."""
        if not (self.tokens and self.text_bytes):
            return None
        return self.nats.value / (math.log(2) * self.text_bytes)


class Everything:
    """Figures of documents that were all scored.

    Sums are exact, so they do not depend on the order of the documents, and sums of parts merge
    into exactly the sums of the whole.
    """

    def __init__(self, quantity: Quantity, scope: Scope, level: float = LEVEL) -> None:
        """`level` is of the intervals."""
        self._quantity, self._scope, self._level = quantity, scope, level
        self._parts: dict[str, _Part] = {}

    def add(self, subset: str, document: str, text_bytes: int, tokens: int, *nats: float) -> None:
        """Count a document that is not excluded; `nats` are summed without rounding."""
        part = self._parts.setdefault(subset, _Part())
        for one in nats:
            part.nats.add(one)
        part.tokens += tokens
        part.documents += 1
        part.text_bytes += text_bytes
        part.squares += text_bytes**2
        if text_bytes and self._scope is Scope.CORPUS:
            part.sizes.add(document, text_bytes, round(math.fsum(nats) * NAT_UNITS))

    def merge(self, other: Everything) -> None:
        """Add everything that another instance counted."""
        for name, part in other._parts.items():
            self._parts.setdefault(name, _Part()).merge(part)

    @property
    def subsets(self) -> dict[str, Figure | None]:
        """By subset, by name."""
        return {name: self.weighted({name: 1.0}) for name in sorted(self._parts)}

    @property
    def overall(self) -> Figure | None:
        """Over all bytes; None when nothing was scored."""
        whole = _merged(self._parts.values())
        value = whole.bits_per_byte
        return None if value is None else self._figure(value, whole, 1.0, alone=True)

    @property
    def macro(self) -> Figure | None:
        """Mean over the subsets that have a figure."""
        return self.weighted(dict.fromkeys(self._parts, 1.0))

    def weighted(self, weights: Mapping[str, float]) -> Figure | None:
        """Average over the subsets with a figure and a weight; None when there are none."""
        parts = [
            (weight, value, part)
            for name, part in sorted(self._parts.items())
            if (weight := weights.get(name)) and (value := part.bits_per_byte) is not None
        ]
        present = math.fsum(weight for weight, _, _ in parts)
        if not present:
            return None
        value = math.fsum(weight * one for weight, one, _ in parts) / present
        if len(parts) == 1:
            value = parts[0][1]
        whole = _merged(part for _, _, part in parts)
        return self._figure(value, whole, present, alone=len(parts) == 1)

    def _figure(self, value: float, whole: _Part, weight: float, *, alone: bool) -> Figure:
        interval, reason = None, ""
        if self._scope is Scope.CORPUS:
            try:
                interval = self._behind(whole) if alone else None
                reason = "" if alone else _ONLY_THE_WHOLE
            except TooFewError as error:
                reason = _worth(whole.documents, error, self._quantity)
        basis = Basis(
            scope=self._scope,
            standing=_standing(interval, exact=self._scope is Scope.DOCUMENTS),
            unit=None,
            scored=whole.documents,
            by_chance=0,
            certain=1.0,
            documents=whole.documents,
            text_bytes=whole.text_bytes,
            effective_documents=whole.text_bytes**2 / whole.squares,
            no_interval=reason,
        )
        return Figure(value, interval, basis, weight)

    def _behind(self, whole: _Part) -> Interval:
        level = self._quantity is Quantity.LEVEL
        made = whole.sizes.level_interval if level else whole.sizes.difference_interval
        return made(self._level)


class Sampled:
    """Figures of all documents, estimated from a sample of them."""

    def __init__(
        self,
        quantity: Quantity,
        scope: Scope,
        unit: Unit,
        drawn: Mapping[str, Drawn],
        nats: Nats,
        *,
        level: float = LEVEL,
        tokens: Mapping[str, int] | None = None,
    ) -> None:
        """`nats` are of every span that was drawn, or the differences of two models'.

        `level` is that of the intervals. `tokens` has the scored tokens by subset; without any
        there is no figure.
        """
        self._level = level
        self._empty = set() if tokens is None else {name for name in drawn if not tokens.get(name)}
        self._quantity, self._scope, self._unit = quantity, scope, unit
        self._drawn, self._nats = drawn, nats
        self._levels = {name: levels.subset_level(part, nats) for name, part in drawn.items()}

    @property
    def subsets(self) -> dict[str, Figure | None]:
        """By subset, by name."""
        return {name: self.weighted({name: 1.0}) for name in sorted(self._levels)}

    @property
    def overall(self) -> Figure | None:
        """Over all bytes; None if everything drawn is excluded or has no scored token."""
        if self._empty == self._levels.keys():
            return None
        sizes = {name: one.text_bytes for name, one in self._levels.items()}
        found = self._averaged(sizes, self._drawn, alone=True)
        return found and replace(found, weight=1.0)

    @property
    def macro(self) -> Figure | None:
        """Mean over the subsets that have a figure."""
        return self.weighted(dict.fromkeys(self._levels, 1.0))

    def weighted(self, weights: Mapping[str, float]) -> Figure | None:
        """Average over the subsets with a figure and a weight; None when there are none."""
        here = {
            name: weight
            for name, weight in weights.items()
            if weight
            and name in self._levels
            and name not in self._empty
            and self._levels[name].rate is not None
        }
        parts = {name: self._drawn[name] for name in here}
        return self._averaged(here, parts, alone=len(here) == 1)

    def _averaged(
        self, weights: Mapping[str, float], parts: Mapping[str, Drawn], *, alone: bool
    ) -> Figure | None:
        """The basis over `parts`; `alone`: as one part, not as a mean of several."""
        try:
            average = levels.average(self._levels, weights)
        except ValueError:
            return None
        interval, reason = None, ""
        try:
            interval = self._interval(average, parts, alone=alone)
        except TooFewError as error:
            corpus = self._scope is Scope.CORPUS and "equal size" in str(error)
            documents = sum(part.documents for part in parts.values())
            reason = _worth(documents, error, self._quantity) if corpus else str(error)
        exact = self._scope is Scope.DOCUMENTS and average.exact
        if interval is None and not exact and not reason:
            reason = _ONLY_THE_WHOLE
        text_bytes = sum(part.text_bytes for part in parts.values())
        kept = math.fsum(
            self._levels[name].kept.value * part.text_bytes for name, part in parts.items()
        )
        basis = Basis(
            scope=self._scope,
            standing=_standing(interval, exact=exact),
            unit=self._unit,
            scored=sum(1 for part in parts.values() for one in part.spans if self._counts(one.key)),
            by_chance=average.uncertain,
            certain=average.certain,
            documents=sum(part.documents for part in parts.values()),
            text_bytes=text_bytes,
            effective_documents=effective_documents(parts),
            kept=kept / text_bytes,
            no_interval=reason,
        )
        detectable = None
        if (
            interval is not None
            and self._quantity is Quantity.DIFFERENCE
            and self._scope is Scope.DOCUMENTS
        ):
            detectable = levels.smallest_detectable(average, self._level)
        present = math.fsum(weights.values())
        return Figure(average.estimate.value, interval, basis, present, detectable)

    def _interval(
        self, average: levels.Average, parts: Mapping[str, Drawn], *, alone: bool
    ) -> Interval | None:
        level = self._quantity is Quantity.LEVEL
        if self._scope is Scope.DOCUMENTS:
            made = levels.level_interval if level else levels.difference_interval
            return made(average, self._level, self._unit.value)
        if not alone:
            return None
        if not average.exact:  # too few for these documents is too few for the corpus
            least = levels.LEAST_FOR_LEVEL if level else levels.LEAST_FOR_DIFFERENCE
            if average.uncertain < least:
                raise TooFewError("documents drawn by chance", average.uncertain, least)
        found = behind.sample_level_interval if level else behind.sample_difference_interval
        return found(parts, self._nats, average, self._level)

    def _counts(self, key: tuple[str, int]) -> bool:
        return self._nats[key] is not None


_ONLY_THE_WHOLE = (
    "intervals about the corpus behind the documents exist only for the whole and for "
    "single subsets"
)


def _merged(parts: Iterable[_Part]) -> _Part:
    whole = _Part()
    for part in parts:
        whole.merge(part)
    return whole


def _standing(interval: Interval | None, *, exact: bool) -> Standing:
    if exact:
        return Standing.EXACT
    return Standing.EXAMPLE if interval is None else Standing.ESTIMATE


def _worth(documents: int, error: TooFewError, quantity: Quantity) -> str:
    return (
        f"too little to estimate the corpus behind them: these {documents:,} documents count as "
        f"{error.have:,} of equal size, and a {quantity.value} needs {error.need:,}"
    )
