"""Which tokens begin and end a sequence, as lm-evaluation-harness finds them.

It takes the token before a document from the tokenizer that transformers builds: the beginning of
sequence, or else the end. Folders spell them out in tokenizer_config.json, or leave them to the
defaults of the tokenizer's class, as GPT-2's does. Where that gives neither token,
lm-evaluation-harness fails; here config.json and generation_config.json are read, and then the only
special token of tokenizer.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from services.corpus.bpb.models.checkpoint.folder_kinds import NotAModelError
from services.corpus.bpb.models.checkpoint.json_files import (
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    json_object,
    kind,
    optional_json,
    require_all_of,
)

_TOKENIZER, _TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
_KEYS = ("bos_token", "eos_token")


def read_tokenizer(directory: Path) -> dict[str, Any]:
    """Read tokenizer.json. Raises NotAModelError, naming what in it is of another kind."""
    content = json_object(directory / _TOKENIZER, {"model": OBJECT, "added_tokens": LIST})
    for token in content.get("added_tokens") or ():
        if not isinstance(token, dict):
            raise NotAModelError(f"has a {_TOKENIZER} with {kind(token)} among its added_tokens")
        require_all_of(token, {"content": TEXT, "id": NUMBER}, f"{_TOKENIZER} with an added token")
    return content


def read_tokenizer_config(directory: Path) -> dict[str, Any]:
    """Read tokenizer_config.json, if there is one.

    Raises NotAModelError, naming what in it is of another kind than it is.
    """
    entries = {"added_tokens_decoder": OBJECT, "model_max_length": NUMBER}
    config = optional_json(directory / _TOKENIZER_CONFIG, entries)
    for number, token in (config.get("added_tokens_decoder") or {}).items():
        if not number.isdecimal() or not isinstance(token, dict):
            raise NotAModelError(
                f"has a {_TOKENIZER_CONFIG} whose added_tokens_decoder has {kind(token)} under "
                f"{number!r}, where a token is needed under its id"
            )
        where = f"{_TOKENIZER_CONFIG} with an added token"
        require_all_of(token, {"content": TEXT}, where)
    return config


def special_tokens(
    directory: Path, config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]
) -> tuple[int | None, int | None]:
    """Return the ids of the beginning and the end of a sequence, None if there is none.

    Raises NotAModelError when tokenizer_config.json names one that tokenizer.json does not have.
    """
    content = read_tokenizer(directory)
    if not content.get("model"):
        return None, None  # it is not a tokenizer, which is an error where it is loaded
    ids = _Ids(content)
    named = {**optional_json(directory / "special_tokens_map.json"), **tokenizer_config}
    found = [ids.of(_text(named.get(key))) for key in _KEYS]
    for key, number in zip(_KEYS, found, strict=True):
        if number is None and _text(named.get(key)) is not None:
            raise NotAModelError(
                f"names the {key} {_text(named.get(key))!r} in tokenizer_config.json, which "
                "tokenizer.json does not have: they are of two models"
            )
    if not all(key in named for key in _KEYS):
        found = [
            number if key in named else ids.known(default)
            for key, number, default in zip(_KEYS, found, _defaults(directory), strict=True)
        ]
    for values in (config, optional_json(directory / "generation_config.json")):
        if found == [None, None]:
            found = [ids.known(values.get(f"{key}_id")) for key in _KEYS]
    if found == [None, None] and len(ids.special) == 1:
        found = [None, ids.special[0]]
    return found[0], found[1]


class _Ids:
    """The ids of tokenizer.json, which is read once: it may hold hundreds of thousands."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        vocabulary = content["model"].get("vocab") or {}
        added = content.get("added_tokens") or ()
        odd: list[object]
        try:
            self._ids: dict[str, int] = (
                dict(vocabulary)
                if isinstance(vocabulary, dict)
                else {piece[0]: number for number, piece in enumerate(vocabulary)}
            )
            odd = [one for one in self._ids.values() if not isinstance(one, int)]
        except (TypeError, KeyError, IndexError):
            odd = [vocabulary]
        if odd:
            raise NotAModelError(
                f"has a {_TOKENIZER} whose vocab does not map tokens to their ids: it holds "
                f"{kind(odd[0])}"
            )
        self._ids |= {str(token["content"]): int(token["id"]) for token in added}
        self._known = set(self._ids.values())
        self.special = [int(token["id"]) for token in added if token.get("special")]

    def of(self, text: str | None) -> int | None:
        return None if text is None else self._ids.get(text)

    def known(self, number: object) -> int | None:
        """The first of one id or a list of them, if the tokenizer has it."""
        first = next(iter(number), None) if isinstance(number, list) else number
        return first if isinstance(first, int) and first in self._known else None


def _text(value: object) -> str | None:
    """Read a special token, which is spelled as text or as an object with its content."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) and content else None


def _defaults(directory: Path) -> Iterable[int | None]:
    """Ask transformers for both, with the defaults of the tokenizer's class; it may have none."""
    try:
        # It is in an extra, and imports torch.
        from transformers import AutoTokenizer  # noqa: PLC0415

        tokenizer: Any = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    except Exception:  # noqa: BLE001  the library raises nothing more specific; then it has none
        return None, None
    return tokenizer.bos_token_id, tokenizer.eos_token_id
