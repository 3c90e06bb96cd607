"""Reasons for which a document is in no figure."""

from __future__ import annotations

from enum import StrEnum


class Exclusion(StrEnum):
    """A reason to leave a document out.

    * NOT_ROUND_TRIPPING: decoding its tokens does not reproduce the text, so its likelihood is that
      of another text. Its sums are known.
    * TOKEN_OUT_OF_RANGE: it has a token that the model has no embedding for, so it has no
      likelihood. Only its bytes are known.
    * EMPTY: it has no bytes.
    """

    NOT_ROUND_TRIPPING = "not_round_tripping"
    TOKEN_OUT_OF_RANGE = "token_out_of_range"  # noqa: S105  no password
    EMPTY = "empty"
