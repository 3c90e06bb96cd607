"""Values that all services share, as messages of `assay.common.v1`."""

from __future__ import annotations

from functools import cache
from importlib import metadata

from assay_rpc.common.v1 import common_pb2

from services.common.license import UNREAD_WEIGHTS, UNSTATED, UNSTATED_WEIGHTS, License
from services.common.statistics.interval import Interval
from services.common.statistics.speed.restarts import Restart

# The distribution that an engine's library comes in, by the first word of the engine's id.
_DISTRIBUTIONS = {"openvino": "openvino", "onnxruntime": "onnxruntime", "torch": "torch",
                  "zstd": "zstandard"}  # fmt: skip


def license_message(value: License) -> common_pb2.License:
    """A licence; its terms are unknown if the id is empty, unstated or unread."""
    terms = common_pb2.TERMS_RESEARCH_ONLY if value.research_only else common_pb2.TERMS_OPEN
    if value.id in {"", UNSTATED, UNSTATED_WEIGHTS, UNREAD_WEIGHTS}:
        terms = common_pb2.TERMS_UNKNOWN
    return common_pb2.License(id=value.id, name=value.name, url=value.url, terms=terms)


def engine_message(
    engine: str, precision: str = "", *, threads: int = 0, instruction_set: str = ""
) -> common_pb2.Engine:
    """An engine's id and its library's version here; `precision` as "fp32", "" for none."""
    return common_pb2.Engine(
        id=engine,
        precision=common_pb2.Precision.Value(f"PRECISION_{precision.upper() or 'UNSPECIFIED'}"),
        threads=threads,
        version=_version(engine.partition("-")[0]),
        instruction_set=instruction_set,
    )


def interval_message(
    low: float | None, high: float | None, level: float, method: str, *, effective_n: float = 0
) -> common_pb2.Interval:
    """A confidence interval at `level` by a method, "name@version". None is an open end."""
    return common_pb2.Interval(
        low=low,
        high=high,
        level=level,
        kind=common_pb2.INTERVAL_KIND_CONFIDENCE,
        method=method,
        effective_n=effective_n,
    )


def interval_of(value: Interval) -> common_pb2.Interval:
    """An interval."""
    return common_pb2.Interval(
        low=value.low,
        high=value.high,
        level=value.level,
        kind=common_pb2.IntervalKind.Value(f"INTERVAL_KIND_{value.kind.name}"),
        method=value.method,
        effective_n=value.effective_n or 0,
    )


def load_message(seen: Restart, kernel_seconds: float, own: float) -> common_pb2.MachineLoad:
    """Load as a process saw it; `own` is the share of its threads' time that it used."""
    return common_pb2.MachineLoad(
        others_cores=seen.others,
        allowed_others_cores=seen.allowed,
        kernel_ratio=seen.kernel,
        kernel_seconds=kernel_seconds,
        steal=seen.steal,
        throttled=seen.throttled,
        own_share=own,
        clean=seen.clean,
    )


@cache
def _version(library: str) -> str:
    for name in (_DISTRIBUTIONS.get(library, ""), f"{library}-gpu"):
        try:
            return metadata.version(name) if name else ""
        except metadata.PackageNotFoundError:
            continue
    return ""
