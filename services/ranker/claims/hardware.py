"""Whether a measurement was made on the hardware that a claim names, as people name it. Pure.

"CPU", "cpu" and "a GPU" are kinds; "Intel Xeon", "NVIDIA V100" and "AMD EPYC x2" are words of a
name. A machine may have an accelerator that a measurement did not use: what counts is what ran it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_CPU = frozenset({"cpu", "cpus", "processor", "processors"})
_ACCELERATOR = frozenset({"gpu", "gpus", "accelerator", "accelerators"})
_SAYS_NOTHING = frozenset(
    {"a", "an", "one", "single", "the", "on", "with", "r", "tm", "core", "cores", "any", "nvidia"}
)
_ON_ACCELERATOR = ("cuda", "tensorrt", "rocm", "gpu")


def is_on(named: str, environment: Mapping[str, object], engine: str) -> bool:
    """Return whether what a claim names is what ran a measurement.

    `engine` is the id of its engine, empty for one that uses no accelerator.
    """
    said = _words(named)
    accelerated = any(word in engine.casefold() for word in _ON_ACCELERATOR)
    if (said & _CPU and accelerated) or (said & _ACCELERATOR and not accelerated):
        return False
    if accelerated:
        listed = environment.get("accelerators") or ()
        names = [str(one) for one in listed] if isinstance(listed, list | tuple) else []
    else:
        names = [str(environment.get("cpu", "")), f"x{environment.get('cpu_count', '')}"]
    wanted = said - _CPU - _ACCELERATOR - _SAYS_NOTHING
    # "NVIDIA" alone is a kind as "GPU" is; beside a model it is left out of some drivers' names.
    if "nvidia" in said and not accelerated:
        return False
    return wanted <= frozenset().union(*map(_words, names))


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]+", text.casefold()))
