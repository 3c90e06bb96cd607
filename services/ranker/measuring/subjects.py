"""How near a served thing is to a claim's subject: the same, a stand-in, or another.

Pure. A configuration identifies a subject, not a name. A measurement of one subject holds for
another only if every part of the configuration on which the fact depends agrees; a part that a
manifest leaves open agrees only with the thing itself, which only a digest shows. Corpora and
language models are in `services.ranker.measuring.served`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from services.ranker.claims.definition import ALL_BUT_WEIGHTS, Part
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import Artifact, SubjectRelation
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import (
    WEIGHTS_KIND_RANDOM,
    WEIGHTS_KIND_TRAINED,
    Model,
    weights_digests,
)

_EXACT = SubjectRelation.EXACT
_NAMED = SubjectRelation.NAMED
_RANDOM = SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS


def nearest_model(
    models: Collection[Model], wanted: Artifact, depends_on: Collection[Part]
) -> tuple[Model, SubjectRelation]:
    """Return the served model that shows a fact of `wanted`, and its relation to it.

    Raises `UnobservableError` naming the differences if none does.
    """
    if not models:
        raise UnobservableError(
            "the segment service serves no model", UnmeasuredReason.NOT_SERVED, _to_serve(wanted)
        )
    ordered = sorted(models, key=lambda one: one.ref.name)
    for relation in (_EXACT, _RANDOM, _NAMED):
        for model in ordered:
            if not _differences(model, wanted, depends_on, relation):
                return model, relation
    raise _other(ordered, wanted, depends_on)


def _differences(
    model: Model, wanted: Artifact, depends_on: Collection[Part], relation: SubjectRelation
) -> tuple[str, ...]:
    """Why a model is neither the thing itself nor a stand-in for it."""
    if relation is not _RANDOM and _has_digest(model, wanted):
        # Weights have an architecture and classes, and pictures of any size go through them.
        whole = wanted.configuration.digest == model.ref.digest
        fixed = ALL_BUT_WEIGHTS if whole else ALL_BUT_WEIGHTS - {Part.INPUT}
        told = [one for one in depends_on if one not in fixed or _wanted(wanted, one)]
        return tuple(_different(model, wanted, told))
    if relation is not _NAMED and Part.ARCHITECTURE in depends_on and _is_any(model):
        return (f"architecture ({model.architecture} is of many, and no digest of it is stated)",)
    if relation is _RANDOM:
        kind = () if model.weights == WEIGHTS_KIND_RANDOM else ("weights (of another model)",)
        return tuple(dict.fromkeys((*kind, *_different(model, wanted, depends_on))))
    # What only a name says to be the thing has to be like it in every part that is stated. It shows
    # what does not depend on its weights, where that is all stated; the rest it shows of itself.
    of_it = (Part.WEIGHTS, *(one for one in ALL_BUT_WEIGHTS if _wanted(wanted, one)))
    needed = () if relation is _NAMED else depends_on
    found = dict.fromkeys((*_different(model, wanted, of_it), *_different(model, wanted, needed)))
    if relation is _EXACT and Part.WEIGHTS in depends_on and not found:
        return ("weights (of its name, and no digest is stated)",)
    return tuple(found)


def _is_any(model: Model) -> bool:
    """Whether the model's architecture has no name of its own."""
    return model.architecture.endswith("-custom") or model.architecture.startswith("imported-")


def _different(model: Model, wanted: Artifact, parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        if part is Part.WEIGHTS:
            if problem := _other_weights(model, wanted):
                yield f"weights ({problem})"
            continue
        expected, found = _wanted(wanted, part), _found(model, part)
        if not expected:
            yield f"{part.value} ({found}, and the manifest does not say which it is about)"
        elif found != expected:
            yield f"{part.value} ({found}, not {expected})"


def _wanted(wanted: Artifact, part: Part) -> str:
    """A part of the configuration as stated in the manifest; empty if it is not."""
    subject = wanted.configuration
    if part is Part.ARCHITECTURE:
        return wanted.subject.lower()
    if part is Part.CLASSES:
        return str(subject.classes or "")
    return "x".join(map(str, subject.input)) if subject.input else ""


def _found(model: Model, part: Part) -> str:
    if part is Part.ARCHITECTURE:
        return model.architecture
    if part is Part.CLASSES:
        return str(len(model.classes))
    return f"{model.preprocessing.height}x{model.preprocessing.width}"


def _has_digest(model: Model, wanted: Artifact) -> bool:
    digest = wanted.configuration.digest
    return bool(digest) and digest in (model.ref.digest, *weights_digests(model))


def _other_weights(model: Model, wanted: Artifact) -> str:
    """Why the weights are not those of the thing itself; empty if they are."""
    if model.weights == WEIGHTS_KIND_RANDOM:
        return "random"
    if wanted.configuration.digest:
        return "" if _has_digest(model, wanted) else "no file of it has the manifest's digest"
    if model.weights != WEIGHTS_KIND_TRAINED or model.ref.name != wanted.id:
        return "of another model"
    return ""


def _other(
    models: Collection[Model], wanted: Artifact, depends_on: Collection[Part]
) -> UnobservableError:
    """Describe the differences of the most similar model."""
    named = _wanted(wanted, Part.ARCHITECTURE)
    of_it = [
        one
        for one in models
        if one.architecture == named or _named(one, wanted) or _has_digest(one, wanted)
    ]
    if not of_it:
        served = ", ".join(f"{one.ref.name} ({one.architecture})" for one in models)
        architecture = wanted.subject or "not stated"
        problem = f"the segment service has no model of this architecture ({architecture})"
        return UnobservableError(
            f"{problem}; it serves {served}", UnmeasuredReason.NOT_SERVED, _to_serve(wanted)
        )

    def unlike(model: Model) -> tuple[str, ...]:
        known = _named(model, wanted) or _has_digest(model, wanted)
        relation = _NAMED if known else _RANDOM
        return _differences(model, wanted, depends_on, relation)

    least = min(of_it, key=lambda one: len(unlike(one)))
    return UnobservableError(
        f"the segment service has {least.ref.name}, which differs in {_listed(unlike(least))}",
        UnmeasuredReason.OTHER_SUBJECT,
        _to_serve(wanted, least) + _or_to_state(wanted, least),
    )


def _named(model: Model, wanted: Artifact) -> bool:
    return model.weights == WEIGHTS_KIND_TRAINED and model.ref.name == wanted.id


def _to_serve(wanted: Artifact, served: Model | None = None) -> str:
    if served is not None and served.ref.name == wanted.id:
        return f"serve the {wanted.id} that the manifest describes, or correct the manifest"
    left_open = [one.value for one in ALL_BUT_WEIGHTS if not _wanted(wanted, one)]
    stated = f", and state its {_listed(sorted(left_open))} in the manifest" if left_open else ""
    return f"serve it (--model DIR, exported with --name {wanted.id}){stated}"


def _or_to_state(wanted: Artifact, served: Model) -> str:
    """The digest that a manifest must state to mean the trained model that is served."""
    digests = weights_digests(served)
    if wanted.configuration.digest or not digests or served.weights != WEIGHTS_KIND_TRAINED:
        return ""
    stated = [one for one in ALL_BUT_WEIGHTS if _wanted(wanted, one)]
    if any(_different(served, wanted, stated)):  # not the same, whatever its digest
        return ""
    return (
        f"; if {served.ref.name} is this artifact, add to its manifest digest: {digests[-1]} and "
        "a higher version"
    )


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
