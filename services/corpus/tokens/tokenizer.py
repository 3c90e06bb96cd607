"""The tokenizers of the registered language models."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.corpus import tokenizing_memory
from services.corpus.bpb.models.checkpoint.folder_kinds import NotAModelError, refuse_dropout
from services.corpus.bpb.models.checkpoint.json_files import (
    NUMBER,
    json_object,
    optional_json,
    require_all_of,
)
from services.corpus.bpb.models.tokenizers.special_tokens import (
    read_tokenizer,
    read_tokenizer_config,
    special_tokens,
)
from services.corpus.tokens.cutter import Cutter, Ids
from services.errors import EngineUnavailable, InvalidArgument, NotFound

_MOST_IDS = 1 << 32  # an id is of four bytes at most, in files and in messages
# Counted up whenever the same tokenizer would give other tokens.
_VERSION = 1


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer: `digest` is of what decides its tokens, `end` the end of sequence if it has one.

    `vocabulary` is one more than its largest id.
    """

    name: str
    digest: str
    vocabulary: int
    end: int | None
    cutter: Cutter

    @property
    def id_bytes(self) -> int:
        """Bytes that an id takes, 2 or 4."""
        return 2 if self.vocabulary <= 1 << 16 else 4


class Tokenizers:
    """Tokenizers by the names of their language models, opened when first used; thread-safe."""

    def __init__(self, directories: Mapping[str, Path]) -> None:
        self._directories = directories
        self._open: dict[str, Tokenizer] = {}
        self._lock = threading.Lock()

    def open(self, name: str) -> Tokenizer:
        """Open a tokenizer. Blocks on the disk.

        Raises NotFound, listing those that are registered; InvalidArgument for a directory without
        a tokenizer; EngineUnavailable where the library is missing.
        """
        with self._lock:
            if name not in self._directories:
                raise NotFound("language model", name, self._directories)
            if name not in self._open:
                self._open[name] = _open(name, self._directories[name])
            return self._open[name]


def _open(name: str, directory: Path) -> Tokenizer:
    try:
        byte_model = optional_json(directory / "lm.json")
        if byte_model:
            require_all_of(byte_model, {"prefix_token": NUMBER}, "lm.json")
            end = int(byte_model["prefix_token"])
            _require_32_bits(end)
            digest = _digest(f"bytes {end}".encode())
            return Tokenizer(name, digest, max(256, end + 1), end, _Bytes())
        return _hugging_face(name, directory)
    except (NotAModelError, OSError, ValueError, OverflowError) as error:
        raise InvalidArgument(
            "tokens.tokenizer", f"{name!r} has no tokenizer that can be read ({error})"
        ) from None


def _require_32_bits(end: int) -> None:
    if not 0 <= end < _MOST_IDS:
        raise NotAModelError(f"lm.json has the prefix_token {end}, which is not of 32 bits")


def _hugging_face(name: str, directory: Path) -> Tokenizer:
    try:
        import tokenizers  # noqa: PLC0415  # an extra
    except ImportError:
        raise EngineUnavailable(
            "tokens.tokenizer: the package tokenizers is not installed on the server: "
            "pip install 'assay-services[score]'"
        ) from None
    values = read_tokenizer(directory)
    refuse_dropout(values)
    content = (directory / "tokenizer.json").read_bytes()
    try:
        opened = tokenizers.Tokenizer.from_str(content.decode())
    except Exception as error:  # noqa: BLE001  the library raises nothing more specific
        raise NotAModelError(f"tokenizer.json: {error}") from None
    # A length in the file would cut or fill texts.
    opened.no_truncation()
    opened.no_padding()
    begin, end = special_tokens(
        directory, json_object(directory / "config.json"), read_tokenizer_config(directory)
    )
    vocabulary = max(opened.get_vocab().values(), default=-1) + 1
    cutter = cutter_of(opened, values)
    return Tokenizer(name, _digest(content), vocabulary, begin if end is None else end, cutter)


def cutter_of(opened: Any, content: Mapping[str, Any]) -> Cutter:
    """Return the quickest cutter of a tokenizer of the library, with its tokenizer.json."""
    # Here, since numba takes a moment to load and a service that cuts nothing does not.
    from services.corpus.tokens import known_pieces  # noqa: PLC0415

    library = _Library(opened)
    return known_pieces.cutter_of(opened, library, content) or library


def _digest(content: bytes) -> str:
    return hashlib.sha256(b"%d %b" % (_VERSION, content)).hexdigest()


class _Bytes:
    """Tokens are the bytes."""

    def cut(self, texts: Sequence[bytes]) -> list[Ids]:
        return [np.frombuffer(text, np.uint8).astype(np.uint32) for text in texts]


class _Library:
    """A tokenizer.json, read by the library `tokenizers`."""

    def __init__(self, opened: object) -> None:
        self._opened = opened

    def cut(self, texts: Sequence[bytes]) -> list[Ids]:
        tokenizing_memory.require(sum(map(len, texts)))
        decoded = [text.decode("utf-8", "replace") for text in texts]
        encode = getattr(self._opened, "encode_batch_fast", None) or self._opened.encode_batch  # type: ignore[attr-defined]
        return [np.array(one.ids, np.uint32) for one in encode(decoded, add_special_tokens=False)]
