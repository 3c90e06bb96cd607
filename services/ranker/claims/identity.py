"""What one measurement is of: the same subject, measured the same way on the same machine. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from services.common import machine

_OF_THE_MOMENT = frozenset({"load", "time"})
"""What an environment says of the moment and not of the machine."""


def identity(
    *,
    method: str,
    subject_digest: str,
    subject: Mapping[str, object],
    engine: Mapping[str, object],
    environment: Mapping[str, object],
    inputs: Sequence[str],
) -> str:
    """Return what measurements must share to be one measurement, made again.

    Method, subject, engine with its threads and precision, machine, versions, and what it was
    computed from. Another engine, or another version of it, is another measurement.
    """
    machine = {name: one for name, one in environment.items() if name not in _OF_THE_MOMENT}
    # A digest says which one it is; a revision says it to a reader, and was not always kept.
    thing = {name: one for name, one in subject.items() if name != "revision"}
    parts = [method, subject_digest, thing, dict(engine), machine, list(inputs)]
    return json.dumps(parts, sort_keys=True, ensure_ascii=False)


def hardware_class(environment: Mapping[str, object]) -> str:
    """Name of the hardware that an environment describes; empty for none.

    Machines with the same processor, count of processors and accelerators are one class.
    """
    if not environment:
        return ""
    accelerators = environment.get("accelerators") or ()
    names = [str(name) for name in accelerators] if isinstance(accelerators, list | tuple) else []
    cpu, count = environment.get("cpu", "unknown"), environment.get("cpu_count", "?")
    return machine.hardware_class(cpu, count, names)
