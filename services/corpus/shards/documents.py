"""One line of a shard as a document.

Lines of this form, which the Pile's own are, are read without looking at every byte twice:

    {"text": "...", "meta": {"pile_set_name": "Github"}}

Any other JSON object with a "text" is read as well, only slower.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from services.corpus.shards.blocks import json_problem
from services.corpus.shards.records import BadLineError, no_object, no_text, subset_of_record

_META = b'", "meta": {"'
_META_VALUE = len(b'", "meta": ')
# The Pile's name of a subset, and RedPajama's and SlimPajama's.
_NAMES = (b'pile_set_name": "', b'redpajama_set_name": "')
_END = b'"}}'
# Longer names than this are found by parsing.
_NAME_WINDOW = 256
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a corpus.

    `text` is UTF-8. A lone surrogate, which JSON can spell and UTF-8 can't, is encoded as its
    three bytes (WTF-8), so that no two texts become the same. `meta` is the "meta" value as it
    stands in the line, empty when there is none; `subset` is what the line names as well-known data
    sets do (`records.subset_of_record`), empty when it names none. `line` counts from 0 in `shard`,
    a path below the corpus's root, and so does `frame`, which is None where the shard has no index.
    """

    id: str
    subset: str
    text: bytes
    meta: bytes
    shard: str
    line: int
    frame: int | None = None


def parse_line(data: bytes, shard: str, line: int) -> Document:
    """Parse one line, without its newline.

    Raises BadLineError when it is not a JSON object with a string "text".
    """
    subset, meta = _tail(data)
    return _parse(data, shard, line, subset, meta)


def parse_wanted(data: bytes, shard: str, line: int, wanted: Mapping[str, bool]) -> Document | None:
    """Parse one line as `parse_line` does; None where its subset is not wanted.

    A line of the common form is not parsed then, so a broken one can go unnoticed.
    """
    subset, meta = _tail(data)
    if subset is not None:
        return _parse(data, shard, line, subset, meta) if wanted[subset] else None
    document = _parse(data, shard, line, subset, meta)
    return document if wanted[document.subset] else None


def _parse(data: bytes, shard: str, line: int, subset: str | None, meta: bytes) -> Document:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        # orjson refuses lone surrogates and NaN, which other readers of these files accept.
        return _parse_slowly(data, shard, line)
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        problem = no_text(value, "text") if isinstance(value, dict) else no_object(value)
        raise BadLineError(problem)
    if subset is None:
        if "meta" in value:
            meta = _spelled_meta(data, value)
            if not meta:
                return _parse_slowly(data, shard, line)
        subset = subset_of_record(value)
    return Document(f"{shard}:{line}", subset, text.encode(), meta, shard, line)


def subset_of(data: bytes) -> str:
    """Name the subset of a line, without its newline, as `parse_line` would.

    A line of the common form is not parsed, so that a broken one of another subset than the
    caller's can go unnoticed. Raises BadLineError for what is parsed and is not a document.
    """
    subset, _ = _tail(data)
    return parse_line(data, "", 0).subset if subset is None else subset


def _tail(data: bytes) -> tuple[str | None, bytes]:
    """Return subset and meta of a line of the common form, (None, b"") of any other.

    The end of the line is enough. In `", "meta": {"` the comma between the first
    two quotes must lie outside of strings: if the first quote were escaped, or opened a string,
    then a bare `meta` would follow the end of a string and the line would not be JSON. So a member
    "meta" begins here. The line ends after `"}}`, so it is the last member of the outermost object,
    with the subset's name alone in it.
    """
    if not data.endswith(_END):
        return None, b""
    start = data.rfind(_META, max(0, len(data) - _NAME_WINDOW))
    if start < 0:
        return None, b""
    member = data[start + len(_META) : -len(_END)]
    key = _NAMES[0] if member.startswith(_NAMES[0]) else _NAMES[1]
    if not member.startswith(key):
        return None, b""
    name = member[len(key) :]
    if b'"' in name or b"\\" in name:
        return None, b""
    try:
        return name.decode(), data[start + _META_VALUE : -1]
    except UnicodeDecodeError:
        return None, b""


def _spelled_meta(data: bytes, value: Mapping[str, object]) -> bytes:
    """Return how "meta" is spelled where it is the last member; else nothing."""
    if list(value)[-1] != "meta":
        return b""
    after = data[data.rfind(b'"meta"') + len(b'"meta"') :].strip()
    spelled = after[1:-1].strip()
    try:
        same = after[:1] == b":" and orjson.loads(spelled) == value["meta"]
    except orjson.JSONDecodeError:
        return b""
    return spelled if same else b""


def _parse_slowly(data: bytes, shard: str, line: int) -> Document:
    """Parse any line that Python's own json module reads, keeping `meta` as it is spelled."""
    try:
        members = _members(data.decode("utf-8", "surrogatepass"))
    except BadLineError:
        raise
    except (ValueError, RecursionError) as error:
        raise BadLineError(f"is not JSON ({json_problem(error)})") from None
    record = {name: value for name, (value, _) in members.items()}
    text = record.get("text")
    if not isinstance(text, str):
        raise BadLineError(no_text(record, "text"))
    _, meta = members.get("meta", (None, ""))
    return Document(
        f"{shard}:{line}",
        subset_of_record(record),
        text.encode("utf-8", "surrogatepass"),
        meta.encode("utf-8", "surrogatepass"),
        shard,
        line,
    )


def _members(source: str) -> dict[str, tuple[object, str]]:
    """Read an object's members: name to (value, its spelling). The last of equal names counts."""
    members: dict[str, tuple[object, str]] = {}

    def skip(position: int) -> int:
        match = _SPACE.match(source, position)
        return match.end() if match else position

    def expect(position: int, wanted: str) -> int:
        if source[position : position + 1] != wanted:
            raise ValueError(f"expected {wanted!r} at character {position}")
        return skip(position + 1)

    position = skip(0)
    if source[position : position + 1] != "{":
        raise BadLineError(no_object(json.loads(source)))
    position = expect(position, "{")
    if source[position : position + 1] != "}":
        while True:
            if source[position : position + 1] != '"':
                raise ValueError(f"expected a member's name at character {position}")
            name, position = _DECODER.raw_decode(source, position)
            position = expect(skip(position), ":")
            value, end = _DECODER.raw_decode(source, position)
            members[name] = (value, source[position:end])
            position = skip(end)
            if source[position : position + 1] != ",":
                break
            position = expect(position, ",")
    if expect(position, "}") != len(source):
        raise ValueError("something follows the object")
    return members
