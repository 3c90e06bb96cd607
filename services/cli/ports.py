"""Ports that a service listens on by its settings, and which of them are unavailable."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from services.rpc.settings import ServerSettings

_IN_USE = "is in use"
_FIELDS = ("port", "health_port", "metrics_port", "admin_port", "http_port")


@dataclass(frozen=True)
class Port:
    """A port, the variable that sets it, and why nothing can listen there; "" if it can."""

    number: int
    variable: str
    reason: str = ""

    @property
    def in_use(self) -> bool:
        """Whether another program listens there."""
        return self.reason == _IN_USE

    def __str__(self) -> str:
        return f"{self.number} ({self.variable}) {self.reason}".rstrip()


def listening_ports(
    settings: ServerSettings, otherwise: Mapping[str, int] | None = None
) -> Iterator[Port]:
    """The ports in the settings. `otherwise` replaces settings that are 0, by field."""
    for field in _FIELDS:
        number = getattr(settings, field, None) or (otherwise or {}).get(field)
        if number:
            yield Port(number, settings.variable(field))


def unavailable(settings: ServerSettings, otherwise: Mapping[str, int] | None = None) -> list[Port]:
    """The ports of `listening_ports` on which nothing can listen, with the reasons."""
    return [
        Port(port.number, port.variable, reason)
        for port in listening_ports(settings, otherwise)
        if (reason := _why_not(settings.host, port.number))
    ]


def _why_not(host: str, port: int) -> str:
    """Why nothing can listen there; empty if something can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return _IN_USE
            return (error.strerror or str(error)).lower()
    return ""
