"""What identifies one measurement: the same subject, method and machine. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from services.common import machine

_OF_THE_MOMENT = frozenset({"load", "time"})
"""Fields of an environment about the moment rather than the machine."""


def identity(
    *,
    method: str,
    subject_digest: str,
    subject: Mapping[str, object],
    engine: Mapping[str, object],
    environment: Mapping[str, object],
    inputs: Sequence[str],
) -> str:
    """Return what repetitions of one measurement must share.

    That is method, subject, engine with its threads and precision, machine, versions, and inputs.
    Another engine, or another version of it, makes another measurement.
    """
    machine = {name: one for name, one in environment.items() if name not in _OF_THE_MOMENT}
    # A digest identifies the thing; a revision is for readers, and was not always stored.
    thing = {name: one for name, one in subject.items() if name != "revision"}
    parts = [method, subject_digest, thing, dict(engine), machine, list(inputs)]
    return json.dumps(parts, sort_keys=True, ensure_ascii=False)


def hardware_class(environment: Mapping[str, object]) -> str:
    """Return the name of the hardware in an environment; empty for none.

    Machines with the same processor, number of processors and accelerators are one class.
    """
    if not environment:
        return ""
    accelerators = environment.get("accelerators") or ()
    names = [str(name) for name in accelerators] if isinstance(accelerators, list | tuple) else []
    cpu, count = environment.get("cpu", "unknown"), environment.get("cpu_count", "?")
    return machine.hardware_class(cpu, count, names)
