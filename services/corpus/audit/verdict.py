"""The findings and the verdict of an audit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mistake(StrEnum):
    """Ways in which published figures have been wrong. The value is the name in replies."""

    REPLACEMENT_BYTES = "replacement_bytes"
    LEADING_SPACE_TWICE = "leading_space_twice"
    SENTINELS_AS_TEXT = "sentinels_as_text"
    CASE_FOLDED = "case_folded"
    BOUNDARY_UNSCORED = "boundary_tokens_unscored"
    TRUNCATED = "truncated_numerator"
    TOKEN_WEIGHTED_MEAN = "token_weighted_mean"  # noqa: S105  no password
    FIRST_TOKEN_MISSING = "first_token_missing"  # noqa: S105
    SPECIAL_TOKEN_BYTES = "special_token_bytes"  # noqa: S105
    DECODED_BYTES = "decoded_bytes"
    CHARACTERS = "characters"
    GUIDE_WEIGHTS = "guide_weights"
    # Not of the twelve, but as easily recognised.
    OWN_SPACE_BYTES = "own_space_bytes"
    MEAN_OF_RATIOS = "mean_of_ratios"
    NATS_FOR_BITS = "nats_for_bits"
    PER_TOKEN = "per_token"  # noqa: S105


MEANINGS = {
    Mistake.REPLACEMENT_BYTES: (
        "tokens that are part of a character were decoded separately, and the three bytes of "
        "U+FFFD were counted for each"
    ),
    Mistake.LEADING_SPACE_TWICE: "the space in front of a word was counted with its token and once "
    "more beside it",
    Mistake.SENTINELS_AS_TEXT: "marks that stand for capital letters were counted as text",
    Mistake.CASE_FOLDED: "capital letters were removed before the model read the text, so the "
    "figure is of another text",
    Mistake.BOUNDARY_UNSCORED: "the first token of each chunk is counted with its bytes, and its "
    "likelihood is not",
    Mistake.TRUNCATED: "texts longer than the window were cut off for the model, and counted whole",
    Mistake.TOKEN_WEIGHTED_MEAN: "the documents' figures were averaged by tokens; bytes are what a "
    "bit per byte is weighted with",
    Mistake.FIRST_TOKEN_MISSING: "the first token of each document was not scored, and its bytes "
    "are counted",
    Mistake.SPECIAL_TOKEN_BYTES: "the spelling of special tokens was counted as text",
    Mistake.DECODED_BYTES: "the bytes are those of the decoded tokens, which differ from the "
    "source text",
    Mistake.CHARACTERS: "characters were counted, not bytes",
    Mistake.GUIDE_WEIGHTS: "windows were weighted as in Hugging Face's guide to perplexity: one "
    "token too few each, and the first token never scored",
    Mistake.OWN_SPACE_BYTES: "the space that the tokenizer puts in front of a text was counted as "
    "text",
    Mistake.MEAN_OF_RATIOS: "the documents' figures were averaged, each with the same weight",
    Mistake.NATS_FOR_BITS: "the figure is in nats: it was not divided by ln 2, unless what is "
    "published as nats is in bits",
    Mistake.PER_TOKEN: "the figure is a token's, not a byte's",
}


class Status(StrEnum):
    """The conclusion of an audit.

    SOUND: every part was checked against texts and holds. CONSISTENT: nothing contradicts the
    claim, but something could not be checked. WRONG: at least one mistake is recognised.
    IMPOSSIBLE: numbers that no evaluation gives. UNEXPLAINED: numbers that contradict each other,
    and no known mistake explains it.
    """

    SOUND = "sound"
    CONSISTENT = "consistent"
    WRONG = "wrong"
    IMPOSSIBLE = "impossible"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Finding:
    """One contradiction. `mistakes` explain it equally well; empty if none does.

    `detail` names the numbers that show it.
    """

    mistakes: tuple[Mistake, ...]
    detail: str


@dataclass(frozen=True)
class Verdict:
    """An audit's result.

    `recomputed` is the figure that the published sums give, `corrected` the figure without the
    mistakes (None if unknown), and `corrected_of` the text that it is about. `checked` and
    `unchecked` list what was checked and what could not be.
    """

    status: Status
    claimed: float
    recomputed: float | None
    corrected: float | None
    corrected_of: str
    impossible: tuple[str, ...]
    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    unchecked: tuple[str, ...]

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """All mistakes of findings that have one explanation."""
        return tuple(f.mistakes[0] for f in self.findings if len(f.mistakes) == 1)
