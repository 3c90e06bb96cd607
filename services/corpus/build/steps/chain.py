"""Runs the steps that look at one document at a time, in the recipe's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.corpus import languages
from services.corpus.build.recipe import Contamination, Filter, Language, Mask, Step
from services.corpus.build.steps.decontaminate import (
    Decontamination,
    test_set_digest,
    test_shards,
)
from services.corpus.build.steps.filters import filter_of
from services.corpus.build.steps.masking import mask
from services.corpus.build.steps.plugins import load_function, source_digest
from services.corpus.build.tally import Tally
from services.errors import InvalidArgument, PreconditionFailed


@dataclass(frozen=True, slots=True)
class Piece:
    """A document, or what a step has cut out of one.

    `cuts` are the numbers of the pieces that it is of, `done` what steps did to it, in words.
    """

    text: str
    cuts: tuple[int, ...] = ()
    done: tuple[str, ...] = ()


Apply = Callable[[Piece], list[Piece]]


@dataclass
class Chain:
    """Steps of these numbers in the recipe, ready to run."""

    steps: list[tuple[int, Apply]] = field(default_factory=list)

    def run(self, piece: Piece, source: int, subset: str, tally: Tally, where: str) -> list[Piece]:
        """Return what the steps leave of a document, and count it.

        Raises PreconditionFailed if a plug-in fails, which names `where` the document was.
        """
        pieces = [piece]
        for number, apply in self.steps:
            count = tally.of(number, source, subset)
            left: list[Piece] = []
            for one in pieces:
                size = size_of(one.text)
                count.documents_in += 1
                count.bytes_in += size
                try:
                    out = apply(one)
                except PreconditionFailed as error:
                    raise PreconditionFailed(f"steps[{number}]: {error} (document {where})") from (
                        error.__cause__
                    )
                for result in out:
                    changed = result.text is not one.text
                    count.documents_out += 1
                    count.bytes_out += size_of(result.text) if changed else size
                    count.changed += changed
                left += out
            if not left:
                return []
            pieces = left
        return pieces


def chain_of(
    steps: Sequence[tuple[int, Step]], variables: Mapping[str, str], folder: Path
) -> Chain:
    """Make steps ready. Raises InvalidArgument for a function that is none, and as test sets do."""
    return Chain([(number, _apply(number, step, variables, folder)) for number, step in steps])


def identity_of(
    number: int, step: Step, variables: Mapping[str, str], folder: Path
) -> dict[str, Any]:
    """Check a step and say what makes its result, beside the recipe: plug-ins and test sets.

    Raises as `chain_of`.
    """
    options, where = step.options, f"steps[{number}].{step.kind}"
    if isinstance(options, Filter):
        return {where: source_digest(filter_of(options.function, options.options, where))}
    if isinstance(options, Language):
        function = _language_function(options, where)
        model = function is languages.language_of
        return {where: languages.algorithm() if model else source_digest(function)}
    if isinstance(options, Contamination):
        return {where: test_set_digest(test_shards(options, variables, folder))}
    return {}


def _apply(number: int, step: Step, variables: Mapping[str, str], folder: Path) -> Apply:
    options, where = step.options, f"steps[{number}].{step.kind}"
    if isinstance(options, Filter):
        keeps = filter_of(options.function, options.options, where)
        return _filtering(keeps, options)
    if isinstance(options, Language):
        return _language(_language_function(options, where), options)
    if isinstance(options, Mask):
        return _masking(options)
    if isinstance(options, Contamination):
        found = Decontamination(options, test_shards(options, variables, folder), where)
        return _cutting(found)
    raise TypeError(f"{step.kind} compares documents")


def _language_function(options: Language, where: str) -> Callable[..., Any]:
    if options.function == languages.NAME:
        unknown = [code for code in options.keep if code not in languages.known()]
        if unknown:
            raise InvalidArgument(
                f"{where}.keep",
                f"{', '.join(map(repr, unknown))}: no language of {languages.NAME}, which knows "
                f"{', '.join(sorted(languages.known()))}",
            )
        return languages.language_of
    if ":" not in options.function:
        raise InvalidArgument(
            f"{where}.function",
            f"{options.function!r} is neither {languages.NAME} nor module:function",
        )
    return load_function(options.function, f"{where}.function")


def _filtering(keeps: Callable[..., Any], options: Filter) -> Apply:
    def apply(piece: Piece) -> list[Piece]:
        kept = _called(keeps, options.function, piece.text, options.options)
        if not isinstance(kept, bool):
            raise PreconditionFailed(
                f"{options.function} returned {kept!r:.60}, and a filter says True or False"
            )
        return [piece] if kept else []

    return apply


def _language(names: Callable[..., Any], options: Language) -> Apply:
    def apply(piece: Piece) -> list[Piece]:
        language = _called(names, options.function, piece.text, {})
        if not isinstance(language, str):
            raise PreconditionFailed(
                f"{options.function} returned {language!r:.60}, and a language is a string"
            )
        if language not in options.keep:
            return []
        return [Piece(piece.text, piece.cuts, (*piece.done, f"language: {language}"))]

    return apply


def _masking(options: Mask) -> Apply:
    def apply(piece: Piece) -> list[Piece]:
        text, emails, ips = mask(piece.text, email=options.email, ip=options.ip)
        if not emails and not ips:
            return [piece]
        done = f"mask: {emails} e-mail addresses, {ips} IP addresses"
        return [Piece(text, piece.cuts, (*piece.done, done))]

    return apply


def _cutting(found: Decontamination) -> Apply:
    def apply(piece: Piece) -> list[Piece]:
        texts, hits = found.pieces(piece.text)
        if not hits:
            return [piece]
        done = (*piece.done, f"contamination: cut at {hits} hits")
        return [Piece(text, (*piece.cuts, place), done) for place, text in enumerate(texts)]

    return apply


def _called(function: Callable[..., Any], name: str, text: str, options: Mapping[str, Any]) -> Any:
    try:
        return function(text, **options)
    except (Exception, SystemExit) as error:  # whatever a plug-in raises
        raise PreconditionFailed(f"{name} failed ({type(error).__name__}: {error})") from error


def size_of(text: str) -> int:
    """Return how many bytes of UTF-8 a text is."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
