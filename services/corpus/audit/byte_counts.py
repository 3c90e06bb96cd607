"""How a project counted bytes, inferred from its counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations_with_replacement

from services.corpus.audit.evidence import Evidence
from services.corpus.audit.scored_tokens import Pattern
from services.corpus.audit.tokenizer import Cut
from services.corpus.audit.verdict import Mistake

Predict = Callable[[int], int]

_WORD = re.compile(r"[^\W\d_]+")
_ASCII_WORD = re.compile(r"[A-Za-z]+")
_SPECIALS = (
    *("<|endoftext|>", "<s>", "</s>", "<|begin_of_text|>", "<|end_of_text|>", "<bos>", "<eos>"),
    *("<|startoftext|>", "<|bos|>", "<|eos|>", "[CLS]", "[SEP]", "<unk>", "<pad>"),
)


def size(text: str) -> int:
    """Return a text's bytes in UTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def special_sizes(evidence: Evidence) -> dict[int, str]:
    """Return the bytes that one or two special tokens can add to a text, with spellings."""
    own = tuple(evidence.cutter.specials) if evidence.cutter else ()
    found: dict[int, str] = {}
    for names in (own, own or _SPECIALS):
        for name in names:
            found.setdefault(size(name), name)
        for pair in combinations_with_replacement(names[:20], 2):
            found.setdefault(size("".join(pair)), "".join(pair))
    return found


def of_texts(evidence: Evidence) -> Iterator[tuple[Mistake, Predict]]:
    """Ways to count bytes that depend only on the text."""
    yield Mistake.CHARACTERS, lambda i: len(evidence.text(i))
    for fold in (str.lower, str.casefold):
        yield Mistake.CASE_FOLDED, lambda i, fold=fold: size(fold(evidence.text(i)))  # type: ignore[misc]
    yield Mistake.DECODED_BYTES, lambda i: size(_scored(evidence, i))


def special_tokens(evidence: Evidence) -> Iterator[tuple[Mistake, Predict]]:
    """Special tokens' spellings, around every text."""
    for added in special_sizes(evidence):
        yield Mistake.SPECIAL_TOKEN_BYTES, lambda i, n=added: (evidence.sources[i] or 0) + n  # type: ignore[misc]


def sentinels(evidence: Evidence) -> Iterator[tuple[Mistake, Predict]]:
    """Marks for capital letters: one a letter, one a word, or two around words in capitals.

    Of all letters, or of those from A to Z.
    """
    marks: dict[int, Sequence[tuple[int, int]]] = {}

    def at(place: int) -> Sequence[tuple[int, int]]:
        if place not in marks:
            text = evidence.text(place)
            marks[place] = (*_capitals(text, _WORD), *_capitals(text, _ASCII_WORD))
        return marks[place]

    for scheme in range(6):
        for width in (3, 1, 2, 4):
            yield (
                Mistake.SENTINELS_AS_TEXT,
                lambda i, s=scheme, w=width: at(i)[s][0] + w * at(i)[s][1],  # type: ignore[misc]
            )


def of_scored_tokens(cuts: Mapping[int, Cut], pattern: Pattern) -> Predict:
    """The bytes of the scored tokens only, which is a sound count."""
    return lambda i: pattern.covered(cuts[i].sizes)


def with_tokens(
    cuts: Mapping[int, Cut], sources: Sequence[int | None]
) -> Iterator[tuple[Mistake, Predict]]:
    """Mistaken ways to count bytes by tokens; `sources` are the texts' bytes by place."""
    if any(cut.replaced != _total(cut) for cut in cuts.values()):
        yield Mistake.REPLACEMENT_BYTES, lambda i: cuts[i].replaced
        yield Mistake.REPLACEMENT_BYTES, lambda i: cuts[i].replaced + cuts[i].own_space
    if any(cut.alone != cut.decoded for cut in cuts.values()):
        yield Mistake.REPLACEMENT_BYTES, lambda i: cuts[i].alone
    for total in (lambda i: _total(cuts[i]), lambda i: sources[i] or 0):
        for spaces in (lambda i: cuts[i].spaces, lambda i: cuts[i].marked):
            # The space that the tokenizer adds in front: counted as text, once or twice.
            for own in range(3):
                yield (
                    Mistake.LEADING_SPACE_TWICE,
                    lambda i, t=total, s=spaces, n=own: t(i) + s(i) + n * cuts[i].own_space,  # type: ignore[misc]
                )
    if any(cut.own_space for cut in cuts.values()):
        yield Mistake.OWN_SPACE_BYTES, lambda i: _total(cuts[i]) + cuts[i].own_space
    yield Mistake.DECODED_BYTES, lambda i: cuts[i].decoded
    yield Mistake.DECODED_BYTES, lambda i: cuts[i].spelled


def _total(cut: Cut) -> int:
    return int(cut.sizes.sum())


def _scored(evidence: Evidence, place: int) -> str:
    scored = evidence.documents[place].scored_text
    return evidence.text(place) if scored is None else scored


def _capitals(text: str, word: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Return the bytes of a text in lower case, and its number of marks, by scheme."""
    found = word.findall(text)
    words = [one for one in found if one[0].isupper()]
    whole = sum(1 for one in words if len(one) > 1 and one.isupper())
    letters = sum(letter.isupper() for one in found for letter in one)
    small = size(word.sub(lambda match: match[0].lower(), text))
    for marks in (len(words), letters, len(words) + whole):
        yield small, marks
