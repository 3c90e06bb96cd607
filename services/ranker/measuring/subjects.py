"""How near what is served is to what a claim is about: the same thing, a stand-in, or another.

Pure. A subject is a configuration and not a name. What was measured of one holds for another only
where every part of the configuration agrees that the fact depends on; a part that a manifest leaves
open agrees with nothing but the thing itself.
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
    CorpusDescription,
    CorpusSummary,
    LanguageModel,
    Model,
    corpus_label,
)

_RANDOM = SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS


def nearest_model(
    models: Collection[Model], wanted: Artifact, depends_on: Collection[Part]
) -> tuple[Model, SubjectRelation]:
    """Return the served model that shows a fact of `wanted`, and how.

    Raises `UnobservableError` that names what is different where none does.
    """
    if not models:
        raise UnobservableError(
            "segment serves no model", UnmeasuredReason.NOT_SERVED, _to_serve(wanted)
        )
    ordered = sorted(models, key=lambda one: one.ref.name)
    for relation in (SubjectRelation.EXACT, _RANDOM):
        for model in ordered:
            if not _differences(model, wanted, depends_on, relation):
                return model, relation
    raise _other(ordered, wanted, depends_on)


def _differences(
    model: Model, wanted: Artifact, depends_on: Collection[Part], relation: SubjectRelation
) -> tuple[str, ...]:
    """What keeps a model from being the thing itself, or from standing in for it."""
    if relation is SubjectRelation.EXACT:
        # What only a name says to be the thing has to be like it in every part.
        parts = depends_on if _has_digest(model, wanted) else tuple(Part)
        stated = [one for one in parts if one is Part.WEIGHTS or _wanted(wanted, one)]
        return tuple(_different(model, wanted, stated))
    kind = () if model.weights == WEIGHTS_KIND_RANDOM else ("weights (of another model)",)
    return tuple(kind) + tuple(_different(model, wanted, depends_on))


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
    """A part of the configuration as the manifest states it; empty where it does not."""
    subject = wanted.configuration
    if part is Part.ARCHITECTURE:
        return wanted.subject
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
    return bool(digest) and digest in (model.ref.digest, *model.digests.values())


def _other_weights(model: Model, wanted: Artifact) -> str:
    """Why the weights are not those of the thing itself; empty when they are."""
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
    """Say of the model that is least different what is."""
    of_it = [one for one in models if one.architecture == wanted.subject or _named(one, wanted)]
    if not of_it:
        served = ", ".join(f"{one.ref.name} ({one.architecture})" for one in models)
        problem = f"segment serves nothing of its architecture, {wanted.subject or 'not stated'}"
        return UnobservableError(
            f"{problem}, but {served}", UnmeasuredReason.NOT_SERVED, _to_serve(wanted)
        )

    def unlike(model: Model) -> tuple[str, ...]:
        relation = SubjectRelation.EXACT if _named(model, wanted) else _RANDOM
        return _differences(model, wanted, depends_on, relation)

    least = min(of_it, key=lambda one: len(unlike(one)))
    return UnobservableError(
        f"segment serves {least.ref.name}, which differs in {_listed(unlike(least))}",
        UnmeasuredReason.OTHER_SUBJECT,
        _to_serve(wanted),
    )


def _named(model: Model, wanted: Artifact) -> bool:
    return model.weights == WEIGHTS_KIND_TRAINED and model.ref.name == wanted.id


def _to_serve(wanted: Artifact) -> str:
    left_open = [one.value for one in ALL_BUT_WEIGHTS if not _wanted(wanted, one)]
    stated = f", and state its {_listed(sorted(left_open))} in the manifest" if left_open else ""
    return f"serve {wanted.id} under that name{stated}"


def nearest_corpus(
    corpora: Collection[CorpusSummary], wanted: Artifact
) -> tuple[CorpusSummary, SubjectRelation]:
    """Return the corpus that is served under an artifact's id, and whether it is the whole of it.

    Only a digest shows that it is: what has another, or whose digest the manifest does not state,
    is at most a sample. No manifest is of what is served under another id, whatever it states.
    Raises `UnobservableError` without any.
    """
    for one in corpora:
        if one.ref.name == wanted.id:
            whole = one.ref.digest == wanted.configuration.digest
            return one, SubjectRelation.EXACT if whole else SubjectRelation.SAMPLE
    served = ", ".join(sorted(one.ref.name for one in corpora))
    raise UnobservableError(
        f"corpus serves no {wanted.id}" + (f", but {served}" if served else ""),
        UnmeasuredReason.NOT_SERVED,
        f"serve documents of it as {wanted.id!r}",
    )


def dataset(
    corpora: Collection[CorpusSummary], name: str, registered: Artifact | None
) -> tuple[CorpusSummary, SubjectRelation]:
    """Return the corpus that is served under a name, and whether it is what the name stands for.

    For that of a registered data set only its digest says so; any other name is that of what is
    served. Raises `UnobservableError` without any.
    """
    for one in corpora:
        if one.ref.name == name:
            known = registered is None or one.ref.digest == registered.configuration.digest
            return one, SubjectRelation.EXACT if known else SubjectRelation.SAMPLE
    served = ", ".join(sorted(one.ref.name for one in corpora))
    raise UnobservableError(
        f"corpus serves no {name}" + (f", but {served}" if served else ""),
        UnmeasuredReason.DATA_MISSING,
        f"give documents of it: --shards {name}=DIR",
    )


def held_out(corpus: CorpusSummary) -> str:
    """Return the split that no model was trained on. Raises `UnobservableError` without any."""
    for split in ("test", "val", "validation"):
        if split in corpus.splits:
            return split
    raise UnobservableError(
        f"{corpus.ref.name} has no held-out split here, but {', '.join(corpus.splits)}",
        UnmeasuredReason.DATA_MISSING,
        "give shards with a test or val split",
    )


def language_model(models: Collection[LanguageModel], wanted: Artifact) -> LanguageModel:
    """Return the served language model that an artifact is: under its id, and of its digest.

    Raises `UnobservableError` that says what is served instead.
    """
    remedy = f"serve it: --language-model {wanted.id}=DIR"
    for one in models:
        if one.ref.name != wanted.id:
            continue
        digest = wanted.configuration.digest
        if digest and one.ref.digest != digest:
            raise UnobservableError(
                f"corpus serves a {wanted.id} with the digest {one.ref.digest}, not the "
                f"manifest's {digest}",
                UnmeasuredReason.OTHER_SUBJECT,
                remedy,
            )
        if one.weights == WEIGHTS_KIND_RANDOM:
            raise UnobservableError(
                f"the {wanted.id} that corpus serves has random weights",
                UnmeasuredReason.OTHER_SUBJECT,
                remedy,
            )
        return one
    served = ", ".join(sorted(one.ref.name for one in models))
    raise UnobservableError(
        f"corpus serves no language model {wanted.id}" + (f", but {served}" if served else ""),
        UnmeasuredReason.NOT_SERVED,
        remedy,
    )


def check_sample(description: CorpusDescription, wanted: Artifact) -> None:
    """Refuse documents that are of no subset of the artifact's. Raises `UnobservableError`."""
    known = wanted.configuration.subsets
    if not known or not description.documents:
        return
    here = [one.name for one in description.subsets if one.name and one.documents]
    foreign = sorted(set(here) - set(known))
    if foreign or not here:
        what = f"has documents of {_listed(foreign)}" if foreign else "names no subset"
        raise UnobservableError(
            f"{corpus_label(description.corpus)} {what}, so it is no sample of {wanted.id}",
            UnmeasuredReason.OTHER_SUBJECT,
            f"serve documents of it as {wanted.id!r}",
        )


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
