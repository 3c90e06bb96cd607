"""Compares the desired, present and loaded models, and plans what to do next. Pure.

A replica that carries out plans repeatedly reaches the desired state. One model is loaded at a
time, and the model that it replaces takes requests until then. No plan removes the last model: an
undesired model keeps serving until a desired one can.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.segment.serving.desired import Desired, DesiredModel
from services.segment.serving.repository import Identity


@dataclass(frozen=True)
class Plan:
    """What to do next.

    `everything` means that every present model is wanted. `wanted` are the models that are present
    and should be served; `absent` those that are wanted but not present. `serving` are the loaded
    models that take requests; all other loaded ones should be retired. `load` is the next model to
    load, None if there is none.
    """

    everything: bool
    wanted: frozenset[Identity]
    absent: tuple[DesiredModel, ...]
    serving: frozenset[Identity]
    load: Identity | None


def plan(
    desired: Desired,
    present: Sequence[Identity],
    loaded: Collection[Identity],
    failed: Mapping[Identity, bool],
) -> Plan:
    """Plan the next step.

    `present` are the present models that may be served, by name and version, the latest version
    last, at most one of each name and version. `failed` maps those that could not be loaded to
    whether it is time to try again.

    * A wanted model that is loaded takes requests.
    * Until all wanted models of a name are loaded, everything loaded of that name stays.
    * While nothing is loaded of any wanted name, everything that is loaded stays.
    * If the latest version is wanted and cannot be loaded, and nothing of its name is loaded, the
      latest version that can be loaded replaces it.
    """
    wanted, absent = _wanted(desired, present)
    missing, ready = wanted - set(loaded), wanted & set(loaded)
    waiting = {identity.name for identity in missing} | {model.name for model in absent}
    if not any(x in ready or x.name in waiting for x in loaded):
        waiting = {identity.name for identity in loaded}
    replaced = {(identity.name, identity.version) for identity in ready}
    # Of one name and version the first loaded one, if its directory was replaced twice.
    kept = {(x.name, x.version): x for x in reversed([*loaded]) if x.name in waiting}
    stays = {x for key, x in kept.items() if key not in replaced}
    queue = [
        *(x for x in present if x in missing and x not in failed),
        *_substitutes(desired, present, loaded, failed),
        *(x for x in present if x in missing and x in failed),  # these have already been tried
    ]
    load = next((identity for identity in queue if failed.get(identity, True)), None)
    return Plan(not desired.models, frozenset(wanted), absent, frozenset(ready | stays), load)


def _wanted(
    desired: Desired, present: Sequence[Identity]
) -> tuple[set[Identity], tuple[DesiredModel, ...]]:
    if not desired.models:
        return set(present), ()
    wanted, absent = set[Identity](), list[DesiredModel]()
    for model in desired.models:
        versions = [identity for identity in present if identity.name == model.name]
        if model.version:
            versions = [identity for identity in versions if identity.version == model.version]
        if versions:
            wanted.add(versions[-1])
        else:
            absent.append(model)
    return wanted, tuple(absent)


def _substitutes(
    desired: Desired,
    present: Sequence[Identity],
    loaded: Collection[Identity],
    failed: Mapping[Identity, bool],
) -> list[Identity]:
    """Return what to load if the latest version failed and its name has nothing loaded."""
    names = {identity.name for identity in loaded}
    found = []
    for model in desired.models:
        if model.version or model.name in names:
            continue
        versions = [identity for identity in present if identity.name == model.name]
        if versions and versions[-1] in failed:
            found += [identity for identity in reversed(versions) if identity not in failed][:1]
    return found
