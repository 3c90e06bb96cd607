"""Documents of any record: its text and its subset found, and its line written in the usual form.

    {"text": "...", "meta": {"pile_set_name": "Github", ...}}

A record that is not a line of JSON, or whose text is not its "text", is written so before anything
else reads it, so that clients and other readers of the result need know no key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from services.corpus.shards.formats import FOLDER_SUBSET, Keys
from services.corpus.shards.names import is_split

_SHOWN_KEYS = 6
_SHOWN_CHARACTERS = 40
# "meta" members that name the subset: The Pile's, RedPajama's and SlimPajama's.
_META_SUBSETS = ("pile_set_name", "redpajama_set_name", "red_pajama_subset")
# Members beside it, by which the records of Dolma and of FineWeb are known.
_DOLMA, _FINEWEB = ("id", "added"), ("url", "file_path", "language_score")


class BadLineError(ValueError):
    """The line is not a document; the message says why."""


def usual_line(record: object, keys: Keys, shard: str) -> bytes:
    """Write a record in the usual form, without a newline.

    What it has beside the text goes into "meta". Raises BadLineError if it has no text.
    """
    if not isinstance(record, dict):
        raise BadLineError(no_object(record))
    text = lookup(record, keys.text)
    if isinstance(text, bytes):  # a column of a table whose kind is not text
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            problem = f'has a "{keys.text}" that is not UTF-8 at byte {error.start}'
            raise BadLineError(problem) from None
    if not isinstance(text, str):
        raise BadLineError(no_text(record, keys.text))
    inner = _object(record.get("meta"))
    rest = {name: value for name, value in record.items() if name not in {keys.text, "meta"}}
    if inner is None and record.get("meta") is not None:
        rest["meta"] = record["meta"]
    meta: dict[str, Any] = {}
    subset = _chosen_subset(record, keys, shard)
    if subset:
        meta["pile_set_name"] = subset
    own_id = lookup(record, keys.id) if keys.id else None
    if own_id is not None:
        meta["id"] = own_id if isinstance(own_id, str) else str(own_id)
    for members in (inner or {}, rest):
        for name, value in members.items():
            meta.setdefault(str(name), value)
    if list(meta) == ["pile_set_name"]:
        # The Pile's own spelling, which is the quickest to read.
        spelled = b'{"pile_set_name": %b}' % _json(subset)
    else:
        spelled = _json(meta)
    return b'{"text": %b, "meta": %b}' % (_json(text), spelled)


def subset_of_record(record: Mapping[str, Any]) -> str:
    """Name the subset of a record of a well-known dataset; empty if it names none."""
    meta = _object(record.get("meta"))
    if meta is not None:
        for key in _META_SUBSETS:
            found = _name(meta.get(key))
            if found:
                return found
    found = _name(record.get("red_pajama_subset"))
    if found:
        return found
    if all(key in record for key in _DOLMA):
        return _name(record.get("source"))
    if all(key in record for key in _FINEWEB):
        return _name(record.get("dump"))
    return ""


def lookup(record: Mapping[str, Any], key: str) -> Any:
    """Return a member by its name, or by names joined by dots; None if there is none."""
    if key in record:
        return record[key]
    value: Any = record
    for part in key.split("."):
        value = _object(value)
        if value is None:
            return None
        value = value.get(part)
    return value


def no_object(value: object) -> str:
    """Say what a line is that is JSON and no object."""
    kind = "null" if value is None else _kind(value)
    return f"is {kind}, not a JSON object"


def no_text(record: Mapping[str, Any], key: str) -> str:
    """Say that a record has no text under `key`, and what it has."""
    if key in record:
        kind = "null" if record[key] is None else f"{_kind(record[key])}, not a string"
        return f'has no "{key}" of text: it is {kind}'
    named = [f'"{str(name)[:_SHOWN_CHARACTERS]}"' for name in list(record)[:_SHOWN_KEYS]]
    more = ", ..." if len(record) > _SHOWN_KEYS else ""
    has = f"; it has {', '.join(named)}{more}" if named else ""
    return f'has no "{key}"{has}'


def folder_subset(shard: str) -> str:
    """Name the subset that the folders of a shard's path say: the first that is no split."""
    for part in shard.split("/")[:-1]:
        if not is_split(part) and part.lower() not in {"data", "documents"}:
            return part
    return ""


def _chosen_subset(record: Mapping[str, Any], keys: Keys, shard: str) -> str:
    if not keys.subset:
        return subset_of_record(record)
    if keys.subset == FOLDER_SUBSET and lookup(record, FOLDER_SUBSET) is None:
        return folder_subset(shard)
    found = lookup(record, keys.subset)
    return str(found) if isinstance(found, int | float) else _name(found)


def _name(value: Any) -> str:
    """Return a subset's name: a string, or the only one of a list; else nothing."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        return ""
    # It goes into messages, which hold no lone surrogates.
    return value.encode("utf-8", "backslashreplace").decode()


def _object(value: Any) -> dict[str, Any] | None:
    """An object, or the object that a string spells."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str) and value.startswith("{"):
        try:
            spelled = json.loads(value)
        except (ValueError, RecursionError):
            return None
        return spelled if isinstance(spelled, dict) else None
    return None


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", bool: "true or false", str: "a string"}
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else "of no JSON")


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_spelled, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # Lone surrogates and integers of more than 64 bits.
        return json.dumps(value, default=_spelled).encode()


def _spelled(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)
