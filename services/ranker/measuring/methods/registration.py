"""How a function becomes a method that a manifest can name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Claim
from services.ranker.measuring.measurements import Measurements

Observe = Callable[[Claim, Measurements], Awaitable[Observation]]


class Measurement(StrEnum):
    """What a method has measured; methods of one measurement share its result within a run."""

    NONE = "none"
    MODEL_FACTS = "the model's recorded facts"
    SINGLE_STREAM = "latency, one picture at a time"
    OFFLINE = "throughput by batch"
    ACCURACY = "labels against masks"
    CORPUS_FACTS = "what the corpus holds"
    STORAGE = "compression and reading of the corpus"
    BITS_PER_BYTE = "bits per byte of held-out documents"


@dataclass(frozen=True)
class Method:
    """A registered method. `name` is "module.function@version"."""

    name: str
    measurement: Measurement
    observe: Observe


_METHODS: dict[str, Method] = {}


def method(version: int, measurement: Measurement) -> Callable[[Observe], Observe]:
    """Register a function as "module.function@version"."""

    def register(function: Observe) -> Observe:
        module = function.__module__.rpartition(".")[2]
        name = f"{module}.{getattr(function, '__name__', '')}@{version}"
        if name in _METHODS:
            raise ValueError(f"two methods are called {name}")
        _METHODS[name] = Method(name, measurement, function)
        return function

    return register


def known() -> frozenset[str]:
    """Names of every registered method."""
    return frozenset(_METHODS)


def method_named(name: str) -> Method:
    """Return the method; the registry has checked that it exists."""
    return _METHODS[name]
