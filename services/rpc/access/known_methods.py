"""The methods that a policy can name: of all services, which often share one policy file."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from assay_rpc.channel import service_config
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from services.errors import suggestion
from services.inference.v2 import open_inference_pb2

_BESIDE_THE_CONTRACT: tuple[Any, ...] = (
    open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
    health_pb2.DESCRIPTOR.services_by_name["Health"],
)


@cache
def known_methods() -> tuple[str, ...]:
    """Every "/package.Service/Method", sorted."""
    # The configuration lists every method of the contract; importing all stubs would take longer.
    config = json.loads(service_config())["methodConfig"]
    contract = [f"/{one['service']}/{one['method']}" for entry in config for one in entry["name"]]
    beside = [
        f"/{service.full_name}/{method.name}"
        for service in _BESIDE_THE_CONTRACT
        for method in service.methods
    ]
    return tuple(sorted((*contract, *beside)))


def matches(text: str, pattern: str) -> bool:
    """Whether `text` matches `pattern`, in which only "*" is special."""
    return fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))


def problem_of(pattern: str) -> str | None:
    """Why a pattern matches no method, with the nearest ones; None if it matches some."""
    methods = known_methods()
    if any(matches(one, pattern) for one in methods):
        return None
    offered = set(methods)
    if "*" in pattern:
        offered |= {f"{one.rpartition('/')[0]}/*" for one in methods}
        offered |= {f"{one.rpartition('/')[0].rpartition('.')[0]}.*" for one in methods}
    return f"there is no method {pattern!r}{suggestion(pattern, offered)}"
