"""Identity of a served corpus or language model: by its digest, never by its name.

Pure. Anybody may serve anything under any name. A thing with the stated digest is the claimed
thing; a thing made of files with stated digests is part of it. Everything else shares only the
name, and measurements of it are shown but decide nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from services.errors import nearest
from services.ranker.claims.findings import UnmeasuredReason
from services.ranker.claims.model import Artifact, Claim, Configuration, SubjectRelation
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import (
    CORPUS_KIND_REFERENCE,
    WEIGHTS_KIND_RANDOM,
    WEIGHTS_KIND_REFERENCE,
    CorpusDescription,
    CorpusSummary,
    LanguageModel,
    corpus_label,
)

_LEAST_TRUSTED = (SubjectRelation.NAMED, SubjectRelation.SAMPLE)


def weaker(one: SubjectRelation, other: SubjectRelation) -> SubjectRelation:
    """Return the relation of a figure of two things: the weaker of theirs to the claim."""
    return next((least for least in _LEAST_TRUSTED if least in (one, other)), one)


def corpus_named(
    corpora: Collection[CorpusSummary], name: str, reason: UnmeasuredReason
) -> CorpusSummary:
    """Return the corpus served under a name. Raises `UnobservableError` without any."""
    for one in corpora:
        if one.ref.name == name:
            return one
    served = ", ".join(sorted(one.ref.name for one in corpora))
    raise UnobservableError(
        f"the corpus service does not have {name}" + (f"; it has {served}" if served else ""),
        reason,
        f"give its documents: --shards {name}=DIR",
    )


def corpus_relation(
    description: CorpusDescription, stated: Configuration, subject: str
) -> SubjectRelation:
    """Return the relation of served documents to the dataset `subject` and its stated digests.

    All of it, part of it, or only the same name. Raises `UnobservableError` for documents of
    subsets that the dataset lacks.
    """
    corpus = description.corpus
    if stated.digest and corpus.ref.digest == stated.digest:
        return SubjectRelation.EXACT
    _check_subsets(description, stated.subsets, subject)
    known = set(stated.files.values())
    shards = [one.digest for one in corpus.shards]
    if shards and known.issuperset(shards):
        return SubjectRelation.SAMPLE
    return SubjectRelation.NAMED


def files_elsewhere(description: CorpusDescription, stated: Configuration) -> int:
    """Return how many of a dataset's stated files are not served."""
    here = (one.digest for one in description.corpus.shards)
    return len(set(stated.files.values()).difference(here))


def dataset_stated(claim: Claim, registered: Artifact | None) -> Configuration:
    """Return a dataset's stated configuration: by the claim, or else by its registration."""
    if claim.dataset_digest:
        return Configuration(digest=claim.dataset_digest)
    return registered.configuration if registered else Configuration()


def comes_with_it(corpus: CorpusSummary) -> bool:
    """Whether a corpus comes with every installation, so that its name identifies it."""
    return corpus.kind == CORPUS_KIND_REFERENCE


def check_subset(claim: Claim, description: CorpusDescription) -> None:
    """Refuse a subset without documents, with the nearest name. Raises `UnobservableError`."""
    here = sorted(one.name for one in description.subsets if one.name)
    if not claim.subset or claim.subset in here or not here:
        return
    near = nearest(claim.subset, here)
    told = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(here)}"
    raise UnobservableError(
        f"{corpus_label(description.corpus)} has no subset {claim.subset!r}; {told}",
        UnmeasuredReason.DATA_MISSING,
        "name a subset as its documents do",
    )


def language_model(
    models: Collection[LanguageModel], wanted: Artifact
) -> tuple[LanguageModel, SubjectRelation]:
    """Return the language model served under an artifact's id, and its known relation to it.

    Raises `UnobservableError` if its digests show another model, or if there is none.
    """
    remedy = f"serve it: --language-model {wanted.id}=DIR"
    for one in models:
        if one.ref.name != wanted.id:
            continue
        if one.weights == WEIGHTS_KIND_RANDOM:
            raise UnobservableError(
                f"the {wanted.id} that corpus serves has random weights",
                UnmeasuredReason.OTHER_SUBJECT,
                remedy,
            )
        if problem := _another(one, wanted.configuration):
            raise UnobservableError(
                f"the corpus service has a {wanted.id} {problem}",
                UnmeasuredReason.OTHER_SUBJECT,
                remedy,
            )
        return one, _known(one, wanted.configuration)
    served = ", ".join(sorted(one.ref.name for one in models))
    raise UnobservableError(
        f"the corpus service does not have the language model {wanted.id}"
        + (f"; it has {served}" if served else ""),
        UnmeasuredReason.NOT_SERVED,
        remedy,
    )


def _another(model: LanguageModel, stated: Configuration) -> str:
    """Why a model is not the stated one; empty if nothing shows that."""
    if stated.digest and model.ref.digest != stated.digest:
        alone = sorted(name for name, one in model.digests.items() if one == stated.digest)
        if alone:
            others = _listed(sorted(set(model.digests) - {alone[0]}))
            return (
                f"and the manifest's digest covers only {alone[0]}, but its figures depend on "
                f"{others} too: state the digest of all, {model.ref.digest}, or each file's under "
                "`files`"
            )
        return f"with the digest {model.ref.digest}, not the manifest's {stated.digest}"
    for name, digest in sorted(stated.files.items()):
        if name in model.digests and model.digests[name] != digest:
            return f"whose {name} has the digest {model.digests[name]}, not the manifest's {digest}"
    return ""


def _known(model: LanguageModel, stated: Configuration) -> SubjectRelation:
    """Whether everything that a figure depends on is known: weights, tokenizer and config."""
    files: Mapping[str, str] = model.digests
    all_stated = bool(files) and all(stated.files.get(name) == files[name] for name in files)
    # The one that every installation brings says itself what it is.
    if stated.digest or all_stated or model.weights == WEIGHTS_KIND_REFERENCE:
        return SubjectRelation.EXACT
    return SubjectRelation.NAMED


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


def _check_subsets(description: CorpusDescription, known: Collection[str], subject: str) -> None:
    if not known or not description.documents:
        return
    here = [one.name for one in description.subsets if one.name and one.documents]
    foreign = sorted(set(here) - set(known))
    if foreign or not here:
        what = f"has documents of {_listed(foreign)}" if foreign else "names no subset"
        raise UnobservableError(
            f"{corpus_label(description.corpus)} {what}, so it is not a sample of {subject}",
            UnmeasuredReason.OTHER_SUBJECT,
            f"serve documents of it as {subject!r}",
        )


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
