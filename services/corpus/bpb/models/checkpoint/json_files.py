"""Reads the JSON files of a model's folder, and describes what a file contains instead."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.corpus.bpb.models.checkpoint.folder_kinds import NotAModelError, refuse_pointer

OBJECT, LIST, TEXT, NUMBER = "an object", "a list", "a text", "a number"
"""Kinds of JSON values, as `require` takes them."""

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def json_object(path: Path, entries: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read a file that holds one JSON object, each of its `entries` of a kind or null.

    Raises NotAModelError, naming the file and what it holds instead.
    """
    name = path.name
    if path.is_dir():
        raise NotAModelError(f"has a folder called {name}, where a file is needed")
    if not path.exists():
        raise NotAModelError(f"has no {name}")
    refuse_pointer(path)
    data = path.read_bytes()
    if not data.strip():
        raise NotAModelError(f"has an empty {name}; fetch it again")
    return parsed_object(data, name, entries)


def optional_json(path: Path, entries: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read a file as `json_object` does; nothing when it is not there."""
    return json_object(path, entries) if path.exists() else {}


def parsed_object(
    data: bytes, name: str, entries: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Parse the contents of the file `name` as `json_object` does. Raises NotAModelError."""
    if data.startswith(_BYTE_ORDER_MARKS):
        raise NotAModelError(
            f"has a {name} that begins with a byte order mark, which programs refuse: save it as "
            "UTF-8 without one"
        )
    try:
        values: Any = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise NotAModelError(
            f"has a {name} that is not UTF-8 (byte {error.start:,}); fetch it again"
        ) from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise NotAModelError(f"has a {name} that is not JSON: {reason}") from None
    if not isinstance(values, dict):
        raise NotAModelError(f"has a {name} that holds {kind(values)}, not a JSON object")
    for key, due in (entries or {}).items():
        require(values, key, due, name)
    return values


def require(values: Mapping[str, Any], key: str, due: str, where: str) -> None:
    """Refuse an entry that is neither of a kind nor null nor left out. Raises NotAModelError."""
    value = values.get(key)
    if value is not None and kind(value) != due:
        raise NotAModelError(f"has a {where} whose {key!r} is {kind(value)}, not {due}")


def require_all_of(values: Mapping[str, Any], due: Mapping[str, str], where: str) -> None:
    """Refuse what lacks an entry, or has one of another kind. Raises NotAModelError."""
    for key, of in due.items():
        if values.get(key) is None:
            raise NotAModelError(f"has a {where} without {key!r}, {of}")
        require(values, key, of, where)


def kind(value: object) -> str:
    """Say what a JSON value is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {dict: OBJECT, list: LIST, str: TEXT, int: NUMBER, float: NUMBER}
    return names[type(value)]
