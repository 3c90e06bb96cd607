"""A Hugging Face directory's tokenizer: exactly what `tokenizer.json` says.

Libraries that rebuild it from its class's defaults can lose characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from services.corpus import tokenizing_memory
from services.corpus.bpb.models.checkpoint.model_directory import HuggingFaceModel
from services.errors import ModelUnusable

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class HuggingFaceTokenizer:
    """Text to tokens and back.

    Of the library's methods only those for batches let other threads run meanwhile: a document of
    10 MB takes many seconds, in which a service has to answer other calls.
    """

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
        round-trip. Raises TooLarge for a text that takes more memory than is left.
        """
        (encoding,) = self._encoded(
            self._tokenizer.encode_batch_fast,  # without places, which `ids` do not need
            text,
            special_tokens=special_tokens,
            memory=tokenizing_memory.TOKENS,
        )
        tokens: list[int] = encoding.ids
        return tokens

    def token_starts(self, text: str, *, special_tokens: bool = False) -> list[int]:
        """Return the first byte of each token that `encode` makes of a text, not falling.

        Raises what `encode` raises.
        """
        (encoding,) = self._encoded(
            self._tokenizer.encode_batch,
            text,
            special_tokens=special_tokens,
            memory=tokenizing_memory.PLACES,
        )
        offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
        del encoding
        firsts, ends = offsets[:, 0], np.maximum.accumulate(offsets[:, 1])
        # What a tokenizer cuts off a token's front, as GPT-2's spaces, belongs to it too.
        firsts = np.minimum(firsts, np.concatenate(([0], ends[:-1])))
        starts: list[int] = _first_bytes(text)[np.maximum.accumulate(firsts)].tolist()
        return starts

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        (text,) = self._tokenizer.decode_batch([list(tokens)], skip_special_tokens=False)
        return str(text)

    @staticmethod
    def _encoded(encode: Any, text: str, *, special_tokens: bool, memory: int) -> Any:
        tokenizing_memory.require(len(text.encode("utf-8", "surrogatepass")), memory)
        return encode([_LONE_SURROGATE.sub("\ufffd", text)], add_special_tokens=special_tokens)


def _first_bytes(text: str) -> npt.NDArray[np.int64]:
    """Return the first byte of each character of a text in UTF-8, and the one after the last."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    # A lone surrogate has three bytes, as U+FFFD, which is read in its place.
    sizes = sum((points >= least).astype(np.int8) for least in (0x80, 0x800, 0x10000)) + 1
    return np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
