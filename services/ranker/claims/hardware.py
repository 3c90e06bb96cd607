"""Whether a measurement was made on the hardware that a claim names, in everyday names. Pure.

"CPU", "cpu" and "a GPU" are kinds; "Intel Xeon", "NVIDIA V100" and "AMD EPYC x2" are words of a
name. A machine may have an accelerator that a measurement did not use: only what ran it counts. If
any of several may have run it, the name must fit each. A count of cores means the whole machine: a
part of it is not recorded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

_CPU = frozenset({"cpu", "cpus", "processor", "processors"})
_ACCELERATOR = frozenset({"gpu", "gpus", "accelerator", "accelerators"})
_SAYS_NOTHING = frozenset(
    {"a", "an", "one", "single", "the", "on", "of", "with", "r", "tm", "core", "cores", "any"}
    | {"nvidia"}
)
_ON_ACCELERATOR = ("cuda", "tensorrt", "rocm", "gpu")
_ON_NVIDIA = ("cuda", "tensorrt")
# "Intel Core i7" is a name, and "one core" a count.
_CORES = re.compile(
    r"\b(one|single|\d+)[ -]*(?:physical |cpu )?(?:core|thread)(?:s|ed)?\b(?! *i\d)"
)


def is_on(named: str, environment: Mapping[str, object], engine: str) -> bool:
    """Return whether the hardware that a claim names ran a measurement.

    `engine` is the id of its engine, empty for one that uses no accelerator.
    """
    plain = _plain(named)
    cores = [found[1] for found in _CORES.finditer(plain)]
    said = _words(_CORES.sub(" cpu ", plain))
    accelerated = any(word in engine.casefold() for word in _ON_ACCELERATOR)
    if (said & _CPU and accelerated) or (said & _ACCELERATOR and not accelerated):
        return False
    if accelerated:
        listed = environment.get("accelerators") or ()
        names = [str(one) for one in listed] if isinstance(listed, list | tuple) else []
    else:
        count = str(environment.get("cpu_count", ""))
        names = [f"{environment.get('cpu', '')} x{count}"]
        if any({"one": "1", "single": "1"}.get(one, one) != count for one in cores):
            return False
    wanted = said - _CPU - _ACCELERATOR - _SAYS_NOTHING
    # "NVIDIA" alone is a kind, like "GPU"; next to a model, some drivers' names leave it out.
    if "nvidia" in said and not any(word in engine.casefold() for word in _ON_NVIDIA):
        return False
    return bool(said) and all(wanted <= _words(_plain(one)) for one in names or [""])


def names_device(named: str) -> bool:
    """Whether it names a device rather than only a kind or a number of cores: "CPU", "8 cores"."""
    said = _words(_CORES.sub(" cpu ", _plain(named)))
    return bool(said - _CPU - _ACCELERATOR - _SAYS_NOTHING)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _words(plain: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W_]+", plain))
