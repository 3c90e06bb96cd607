"""Tokenizes texts with a published tokenizer, and finds the bytes that each token covers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from services.corpus import tokenizing_memory
from services.corpus.bpb.models.checkpoint.folder_kinds import NotAModelError, refuse_dropout
from services.errors import EngineUnavailable, InvalidArgument

_NO_COUNTS = "no count of its tokens can be compared with a published one"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_CAPITALS = "Some Words In CAPITALS, And Others"

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """One text's tokens: `sizes` are the bytes of each, `decoded` the bytes of the decoded text.

    `spelled` are the decoded bytes including special tokens, such as the unknown token, `alone`
    the bytes when each token is decoded separately.

    `replaced` are the bytes of separately decoded tokens, where a part of a character becomes
    U+FFFD; `spaces` counts tokens that begin with a space, and `marked` those among them that are
    pieces of the vocabulary, not added tokens. None of these includes the space that the tokenizer
    adds in front of the text. `loses` is true if decoding does not reproduce the text.
    """

    sizes: Counts
    replaced: int
    spaces: int
    marked: int
    own_space: int
    decoded: int
    spelled: int
    alone: int
    loses: bool


class Cutter(Protocol):
    """The interface of a tokenizer for an audit."""

    @property
    def specials(self) -> Sequence[str]:
        """Spellings of its special tokens."""
        ...

    @property
    def folds_case(self) -> bool:
        """Whether it reads every text in small letters."""
        ...

    def cut(self, texts: Sequence[str]) -> list[Cut]:
        """Cut texts, without special tokens."""
        ...


def open_cutter(tokenizer: str) -> Cutter | None:
    """Open the tokenizer that a record names; None if it names none.

    Raises InvalidArgument for a file that cannot be read as a tokenizer.json.
    """
    if not tokenizer:
        return None
    return ByteCutter() if tokenizer == "bytes" else FileCutter(Path(tokenizer))


class ByteCutter:
    """Tokens are bytes."""

    specials: Sequence[str] = ()
    folds_case = False

    def cut(self, texts: Sequence[str]) -> list[Cut]:
        """Cut texts into bytes."""
        return [self._one(text.encode("utf-8", "surrogatepass")) for text in texts]

    def _one(self, data: bytes) -> Cut:
        sizes = np.ones(len(data), np.int64)
        replaced = sum(1 if byte < 0x80 else 3 for byte in data)
        spaces = data.count(b" ")
        return Cut(
            sizes, replaced, spaces, spaces, 0, len(data), len(data), alone=replaced, loses=False
        )


class TokenizerCutter:
    """A tokenizer.json."""

    def __init__(self, data: bytes, name: str) -> None:
        """Read the contents of a file of this name. Raises InvalidArgument for anything else."""
        try:
            from tokenizers import Tokenizer  # noqa: PLC0415  it is in an extra
        except ImportError as error:
            raise EngineUnavailable(
                "an audit with a tokenizer.json needs tokenizers, which is not installed: pip "
                "install 'assay-services[score]'"
            ) from error
        try:
            content = json.loads(data)
            self._tokenizer = Tokenizer.from_str(data.decode())
        except Exception as error:  # the library raises nothing more specific
            problem = f"{name} cannot be read as a tokenizer.json: {error}"
            raise InvalidArgument("tokenizer", problem) from error
        try:
            refuse_dropout(content)
        except NotAModelError as error:
            raise InvalidArgument("tokenizer", f"{error}; {_NO_COUNTS}") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        added = content.get("added_tokens") or []
        self.specials: Sequence[str] = [one["content"] for one in added if one.get("special")]
        probe = [_CAPITALS, _CAPITALS.lower()]
        read, folded = self._tokenizer.encode_batch(probe, add_special_tokens=False)
        self.folds_case = read.ids == folded.ids and len(set(read.ids)) > 2
        self._raw = raw = _raw_tokens(self._tokenizer, content)
        self._sizes = np.array([len(data) for data in raw], np.int64)
        self._replaced = np.array(
            [len(data.decode("utf-8", "replace").encode()) for data in raw], np.int64
        )
        self._spaces = np.array([data.startswith(b" ") for data in raw], np.int64)
        self._marked = self._spaces.copy()
        self._marked[[one["id"] for one in added if one["id"] < len(raw)]] = 0
        self._alone = np.full(len(raw), -1, np.int64)  # looked up when first seen

    def cut(self, texts: Sequence[str]) -> list[Cut]:
        """Tokenize texts. Lone surrogates, which the library refuses, are read as U+FFFD.

        Raises TooLarge if the texts together take more memory than is left.
        """
        readable = [_LONE_SURROGATE.sub("\ufffd", text) for text in texts]
        tokenizing_memory.require(sum(len(text.encode()) for text in readable))
        encodings = self._tokenizer.encode_batch_fast(readable, add_special_tokens=False)
        every = [np.array(one.ids, np.int64) for one in encodings]
        return [self._one(text, ids) for text, ids in zip(readable, every, strict=True)]

    def _one(self, text: str, ids: Counts) -> Cut:
        sizes = self._sizes[ids]
        data, pieces = text.encode(), b"".join(self._raw[token] for token in ids.tolist())
        space = bool(len(ids)) and bool(self._spaces[ids[0]])
        own = int(space and (not data.startswith(b" ") or pieces == b" " + data))
        sizes[:own] -= 1
        decoded = spelled = len(data)
        loses = pieces[own:] != data
        if loses:
            # Only decoding shows whether the text is reproduced.
            tokens = ids.tolist()
            # Only the methods for batches let other threads run meanwhile.
            decode = self._tokenizer.decode_batch
            decoded = len(decode([tokens])[0].encode())
            spelled = len(decode([tokens], skip_special_tokens=False)[0].encode())
        replaced = int(self._replaced[ids].sum()) - own
        spaces, marked = (int(table[ids].sum()) - own for table in (self._spaces, self._marked))
        for token in np.unique(ids[self._alone[ids] < 0]).tolist():
            text = self._tokenizer.decode([token], skip_special_tokens=False)
            self._alone[token] = len(text.encode())
        alone = int(self._alone[ids].sum())
        return Cut(sizes, replaced, spaces, marked, own, decoded, spelled, alone, loses)


class FileCutter(TokenizerCutter):
    """The same, read from a file."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises InvalidArgument if it cannot be read."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise InvalidArgument("tokenizer", f"there is no file {path}") from None
        except OSError as error:
            raise InvalidArgument(
                "tokenizer", f"{path} cannot be read: {error.strerror}"
            ) from error
        super().__init__(data, path.name)


def _raw_tokens(tokenizer: Any, content: dict[str, Any]) -> list[bytes]:
    """Return the bytes of each token by its id."""
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    added = {one["id"] for one in content.get("added_tokens") or ()}
    parts = json.dumps([content.get(name) for name in ("pre_tokenizer", "decoder")])
    byte_level = '"ByteLevel"' in parts
    model = content.get("model") or {}
    fallback = bool(model.get("byte_fallback"))
    prefix = model.get("continuing_subword_prefix") or ""
    raw = [b""] * (max(vocabulary.values(), default=-1) + 1)
    table = _byte_level_table()
    for piece, number in vocabulary.items():
        if number in added:
            raw[number] = piece.encode()
        elif byte_level and all(character in table for character in piece):
            raw[number] = bytes(table[character] for character in piece)
        elif fallback and len(piece) == 6 and piece.startswith("<0x"):
            raw[number] = bytes([int(piece[3:5], 16)])
        else:
            spelled = piece.removeprefix(prefix).replace("\u2581", " ")
            raw[number] = spelled.encode("utf-8", "replace")
    return raw


def _byte_level_table() -> dict[str, int]:
    """The characters that GPT-2's byte-level tokenizers write bytes with."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + i): byte for i, byte in enumerate(others)
    }
