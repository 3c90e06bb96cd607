"""Registers functions as methods that a manifest can name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from services.ranker.claims.definition import Definition, Part
from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Claim
from services.ranker.measuring.measurements import Measurement, Measurements

__all__ = ["Measurement", "Method", "depends_on", "known", "method", "method_named"]

Observe = Callable[[Claim, Measurements], Awaitable[Observation]]


@dataclass(frozen=True)
class Method:
    """A registered method. `name` is "module.function@version"."""

    name: str
    measurement: Measurement
    definition: Definition
    observe: Observe


_METHODS: dict[str, Method] = {}


def method(
    version: int, measurement: Measurement, definition: Definition
) -> Callable[[Observe], Observe]:
    """Register a function as "module.function@version", with its figure's definition."""

    def register(function: Observe) -> Observe:
        module = function.__module__.rpartition(".")[2]
        name = f"{module}.{getattr(function, '__name__', '')}@{version}"
        if name in _METHODS:
            raise ValueError(f"two methods are called {name}")
        _METHODS[name] = Method(name, measurement, definition, function)
        return function

    return register


def known() -> Mapping[str, Definition]:
    """The figure's definition of every registered method, by the method's name."""
    return {name: one.definition for name, one in _METHODS.items()}


def method_named(name: str) -> Method:
    """Return the method; the registry has checked that it exists."""
    return _METHODS[name]


def depends_on(claim: Claim) -> frozenset[Part]:
    """Return the parts of a configuration that the fact of a claim depends on."""
    return method_named(claim.method).definition.depends_on
