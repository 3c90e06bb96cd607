"""A Hugging Face directory's tokenizer: exactly what `tokenizer.json` says.

Libraries that rebuild it from its class's defaults can lose characters.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from tokenizers import Tokenizer

from services.corpus.bpb.models.checkpoint.model_directory import HuggingFaceModel
from services.errors import ModelUnusable

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class HuggingFaceTokenizer:
    """Text to tokens and back."""

    def __init__(self, name: str, model: HuggingFaceModel) -> None:
        """Read tokenizer.json. Raises ModelUnusable when it can't be."""
        try:
            self._tokenizer = Tokenizer.from_file(str(model.directory / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more specific
            raise ModelUnusable(f"{name}: tokenizer.json cannot be read: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.prefix_token = model.prefix_token

    def encode(self, text: str, *, special_tokens: bool = False) -> list[int]:
        """Tokenize a text.

        Tokenizers read Unicode, which has no lone surrogates: each is read as U+FFFD, and as the
        tokens then don't decode to the text, such a document counts as one that does not
        round-trip.
        """
        readable = _LONE_SURROGATE.sub("\ufffd", text)
        tokens: list[int] = self._tokenizer.encode(readable, add_special_tokens=special_tokens).ids
        return tokens

    def token_starts(self, text: str, *, special_tokens: bool = False) -> list[int]:
        """Return the first byte of each token that `encode` makes of a text, not falling."""
        readable = _LONE_SURROGATE.sub("\ufffd", text)
        sizes = (len(character.encode()) for character in readable)
        places = list(itertools.accumulate(sizes, initial=0))
        starts, start, end = [], 0, 0
        encoding = self._tokenizer.encode(readable, add_special_tokens=special_tokens)
        for first, after in encoding.offsets:
            # What a tokenizer cuts off a token's front, as GPT-2's spaces, belongs to it too.
            start = max(start, min(first, end))
            end = max(end, after)
            starts.append(places[start])
        return starts

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=False)
        return text
